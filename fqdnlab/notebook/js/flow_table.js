// The live table: rows come in batches, at most 100 are in the page, the newest on top.
// Columns of a row: n, time, endpoint, name, detail, kind, word, why, short rule, rule, uuid, port (rows.py).

const KEPT = 4000;
const SHOWN = 100;
const GLYPH = { a: "▲", d: "✕", w: "◆", q: "→" };
const PLACE = { endpoint: 2, name: 3, to: 3, address: 4, verdict: 6, why: 7, rule: 9, port: 11 };
const POINTING_MS = 3000;

/** A test from words: all must be there; `column:word`, `-word`; `*` for anything. */
function compile(text) {
  const tests = text.trim().toLowerCase().split(/\s+/).filter(Boolean).map((given) => {
    const not = given.length > 1 && given.startsWith("-");
    const word = not ? given.slice(1) : given;
    const [, key, rest] = /^(\w+):(.*)$/.exec(word) ?? [null, null, word];
    const place = key === null ? undefined : PLACE[key];
    const wanted = key !== null && place === undefined ? word : rest;
    const pattern = new RegExp(wanted.split("*").map((p) => p.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*"));
    const where = place === undefined ? (row) => row.slice(2, 10).join(" ")
      : place === 3 ? (row) => `${row[3]} ${row[4]}` : (row) => row[place];
    const exact = key === "port";
    return (row) => {
      const value = String(where(row)).toLowerCase();
      return (exact ? value === wanted : pattern.test(value)) !== not;
    };
  });
  return (row) => tests.every((test) => test(row));
}

const two = (n, width = 2) => String(n).padStart(width, "0");
function clockText(ms) {
  const t = new Date(ms);
  return `${two(t.getMinutes())}:${two(t.getSeconds())}.${two(t.getMilliseconds(), 3)}`;
}

/** A table row made once and filled again and again. */
class Line {
  constructor(choose) {
    const cell = (c) => h("td", { class: c });
    this.name = h("span", {});
    this.detail = h("span", { class: "fq-mono fq-dim" });
    this.cells = ["fq-mono", "", "fq-to", "fq-v", "", "fq-dim"].map(cell);
    this.cells[2].append(h("div", { class: "fq-where" }, this.name, this.detail));
    this.el = h("tr", { tabindex: -1, onclick: () => choose(this) }, ...this.cells);
    this.row = null;
  }

  fill(row, chosen) {
    const selected = row[10] === chosen;
    if (this.selected !== selected) {
      this.selected = selected;
      if (selected) this.el.setAttribute("aria-current", "true");
      else this.el.removeAttribute("aria-current");
    }
    if (this.row === row) return;
    this.row = row;
    const [time, endpoint, , verdict, why, rule] = this.cells;
    time.textContent = clockText(row[1]);
    time.title = new Date(row[1]).toLocaleString("en-GB");
    endpoint.textContent = row[2];
    this.name.textContent = row[3] || "(no name)";
    this.detail.textContent = row[4];
    verdict.textContent = `${GLYPH[row[5]]} ${row[6]}`;
    verdict.dataset.kind = row[5];
    why.textContent = why.title = row[7];
    rule.textContent = row[8] || "–";
    rule.title = row[9];
    this.cells[2].title = `${row[3]} ${row[4]}`;
  }
}

/** Rows that are kept and match; how many of them were never painted. */
class Rows {
  constructor(filter) {
    this.all = [];
    this.last = 0;
    this.fresh = 0;
    this.unpainted = 0;
    this.counts = [];
    this.use(filter);
  }

  use(text) {
    this.test = compile(text);
    this.matching = this.all.filter(this.test);
    this.fresh = 0;
  }

  add(rows, again) {
    for (const row of rows) {
      if (row[0] <= this.last) continue;
      // Rows are counted from 1 on: those between were not sent, for want of a sign of life.
      if (this.last) this.unpainted += row[0] - this.last - 1;
      this.last = row[0];
      this.all.push(row);
      if (!this.test(row)) continue;
      this.matching.push(row);
      if (!again) this.fresh += 1;
    }
    if (this.all.length > KEPT * 1.25) this.all = this.all.slice(-KEPT);
    if (this.matching.length > KEPT * 1.25) this.matching = this.matching.slice(-KEPT);
  }

  /** The newest, newest first; what came since the last time and is not among them is lost. */
  newest() {
    const some = this.matching.slice(-SHOWN).reverse();
    this.unpainted += Math.max(0, this.fresh - SHOWN);
    this.fresh = 0;
    return some;
  }

  rate(clock) {
    this.counts.push([clock, this.last]);
    while (this.counts.length > 2 && clock - this.counts[0][0] > 3) this.counts.shift();
    const [t, n] = this.counts[0];
    return clock > t ? (this.last - n) / (clock - t) : 0;
  }
}

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const rows = new Rows(model.get("filter"));
    const stats = { painted: 0, lags: [], frames: 0, unpainted: () => rows.unpainted };
    el.fqdnlab = stats; // for measurements
    let paused = false;
    let pointed = -Infinity;
    let cursor = -1;
    let asked = false;

    const note = h("small", {});
    const filter = h("input", {
      type: "search", class: "fq-filter", placeholder: "filter: dropped endpoint:web port:443 -dns",
      "aria-label": "Filter flows", spellcheck: "false", value: model.get("filter"),
    });
    const pause = h("button", { "aria-pressed": "false" }, "Pause");
    const told = h("p", { class: "fq-told", role: "status", "data-level": "bad" });
    const body = h("tbody", {});
    const widths = ["80px", "64px", "", "118px", "126px", "50px"];
    const heads = ["time", "endpoint", "to", "verdict", "why", "rule"];
    const table = h("table", { class: "fq-flows", "aria-label": "Flows, newest first" },
      h("colgroup", {}, ...widths.map((w) => h("col", w ? { style: `width:${w}` } : {}))),
      h("thead", {}, h("tr", {}, ...heads.map((t) => h("th", { scope: "col" }, t)))), body);
    const scroll = h("div", { class: "fq-scroll", tabindex: 0, role: "group", "aria-label": "Flows: arrow keys move, Enter explains, Escape follows again" }, table);
    el.prepend(h("div", { class: "fq-panel" },
      h("h2", {}, "Flows", note, h("span", { class: "fq-tools" }, filter, pause)), told, scroll));

    const lines = Array.from({ length: SHOWN }, () => new Line((line) => choose(line)));
    const held = () => paused ? "paused" : cursor >= 0 ? "held: Escape follows"
      : scroll.scrollTop > 4 ? "held while you scroll"
      : performance.now() - pointed < POINTING_MS ? "held while you point" : "";

    const choose = (line) => {
      const row = line?.row;
      if (!row) return;
      told.textContent = "";
      tell(model, { do: "choose", uuid: row[10], time: row[1] });
      paint([...lines].map((l) => l.row).filter(Boolean), row[10]);
    };
    const paint = (some, chosen = model.get("chosen_uuid")) => {
      // What is painted already moves by itself: only as many lines as are new are filled.
      const top = body.firstChild ? lines[0].row : null;
      const gone = top ? some.indexOf(top) : -1;
      if (gone > 0) {
        const reused = lines.splice(lines.length - gone, gone);
        lines.unshift(...reused);
        body.prepend(...reused.map((l) => l.el));
      }
      some.forEach((row, i) => {
        lines[i].fill(row, chosen);
        if (lines[i].el.parentNode !== body) body.append(lines[i].el);
      });
      for (const line of lines.slice(some.length)) {
        line.el.remove();
        line.row = null;
      }
    };
    const repaint = () => paint(lines.map((l) => l.row).filter(Boolean));
    const frame = () => {
      stats.frames += 1;
      asked = false;
      const why = held();
      if (!why) {
        const before = stats.top ?? 0;
        const some = rows.newest();
        paint(some);
        stats.top = some[0]?.[0] ?? before;
        const now = touch.clock() * 1000;
        for (const row of some) {
          if (row[0] <= before) break;
          stats.painted += 1;
          stats.lags.push(now - row[1]);
        }
        if (stats.lags.length > 200_000) stats.lags.splice(0, 100_000);
      } else if (rows.fresh) soon();
    };
    const soon = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(frame);
    };
    const say = () => {
      const why = held();
      const parts = [`${Math.round(rows.rate(touch.clock())).toLocaleString("en")}/s`];
      if (filter.value) parts.push(`${rows.matching.length.toLocaleString("en")} match`);
      parts.push(why ? `${why} · ${rows.fresh.toLocaleString("en")} new` : "following");
      if (rows.unpainted) parts.push(`${rows.unpainted.toLocaleString("en")} not painted`);
      const text = parts.join(" · ");
      if (note.textContent !== text) note.textContent = text;
    };

    touch.on("rows", (message) => {
      rows.add(message.rows, message.again);
      soon();
    });
    touch.on("told", ({ text, well }) => {
      told.textContent = well ? "" : text;
      repaint(); // what could not be chosen is not marked any more
    });
    const refilter = () => {
      rows.use(filter.value);
      cursor = -1;
      paint(rows.newest());
      say();
    };
    filter.addEventListener("input", () => {
      model.set("filter", filter.value);
      model.save_changes();
      refilter();
    });
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.textContent = paused ? "Follow" : "Pause";
      pause.setAttribute("aria-pressed", String(paused));
      say();
      soon();
    });
    scroll.addEventListener("pointermove", () => { pointed = performance.now(); });
    scroll.addEventListener("pointerleave", () => { pointed = -Infinity; });
    scroll.addEventListener("focusout", ({ relatedTarget }) => {
      if (scroll.contains(relatedTarget)) return;
      cursor = -1; // who goes on with the keyboard elsewhere wants to see what comes of it
      soon();
    });
    scroll.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (step !== undefined) {
        cursor = Math.max(0, Math.min(body.children.length - 1, cursor + step));
        lines[cursor]?.el.focus();
      } else if (event.key === "Enter") choose(lines[cursor]);
      else if (event.key === "Escape") {
        cursor = -1;
        scroll.scrollTop = 0;
        scroll.focus();
        soon();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    follow(model, signal, ["chosen_uuid"], repaint);
    follow(model, signal, ["filter"], () => {
      if (filter.value === model.get("filter")) return;
      filter.value = model.get("filter");
      refilter();
    });
    const saying = setInterval(() => {
      say();
      if (rows.last !== stats.told) {
        stats.told = rows.last;
        tell(model, { do: "painted", n: rows.last });
      }
      if (rows.fresh) soon();
    }, 500);
    signal.addEventListener("abort", () => clearInterval(saying));
    return end;
  },
};
