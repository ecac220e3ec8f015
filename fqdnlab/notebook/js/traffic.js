// Traffic: a row for each that runs, filled in place once a second, and a form for more.

const COLUMNS = ["endpoint", "does", "to", "rate", "started", "ok", "failed", "last"];
const NUMBERS = new Set(["rate", "started", "ok", "failed"]);

class TrafficRow {
  constructor(row, send) {
    this.cells = COLUMNS.map((c) => h("td", { role: "cell", "data-field": c, class: NUMBERS.has(c) ? "fq-mono fq-num" : null }));
    this.button = h("button", {
      "data-do": "stop", "aria-label": `Stop: ${row.endpoint}, ${row.does}, ${row.to}`,
      onclick: () => {
        this.button.disabled = true;
        send({ do: "stop", number: row.number });
      },
    }, "stop");
    this.el = h("tr", { role: "row", "data-number": row.number }, ...this.cells, h("td", { role: "cell" }, this.button));
  }

  fill(row) {
    COLUMNS.forEach((c, i) => {
      const value = typeof row[c] === "number" ? row[c].toLocaleString("en") : row[c];
      const text = c === "last" && !row.running ? `ended: ${value}` : value;
      if (this.cells[i].textContent !== text) this.cells[i].textContent = text;
      if (c === "last" || c === "to" || c === "does") this.cells[i].title = c === "last" ? row.whole : text;
    });
    this.el.dataset.running = row.running;
  }
}

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const send = (message) => tell(model, message);
    const told = h("div", { class: "fq-told fq-keeps", role: "status", "aria-live": "polite" });
    const rows = new Map();
    const body = h("tbody", {});
    const head = h("tr", { role: "row" }, ...[...COLUMNS, ""].map((t) =>
      h("th", { scope: "col", role: "columnheader", class: NUMBERS.has(t) ? "fq-num" : null }, t)));
    const none = h("p", { class: "fq-dim fq-none" }, "Nothing was started from this panel.");
    const endpoint = h("select", { "data-field": "endpoint" });
    const kind = h("select", { "data-field": "kind" });
    const list = h("datalist", { id: `fq-names-${Math.random().toString(36).slice(2)}` });
    const input = (field, value, width, more = {}) =>
      h("input", { "data-field": field, value, style: `width:${width}`, class: "fq-mono", spellcheck: "false", ...more });
    const name = input("name", "", "15em", { list: list.id });
    const port = input("port", "443", "5em", { inputmode: "numeric" });
    const rate = input("rate", "5", "5em", { inputmode: "decimal" });
    const label = (text, one) => h("label", {}, h("span", { class: "fq-dim" }, text), one);
    const start = () => send({
      do: "start", endpoint: endpoint.value, kind: kind.value, name: name.value, port: port.value, rate: rate.value,
    });
    for (const one of [name, port, rate]) {
      one.addEventListener("keydown", ({ key }) => { if (key === "Enter") start(); });
    }
    const form = h("div", { class: "fq-form fq-start", role: "group", "aria-label": "Start traffic" },
      label("endpoint", endpoint), label("does", kind), label("name", name), label("port", port),
      label("per s", rate), h("button", { "data-do": "start", onclick: start }, "Start"), list);
    el.prepend(h("section", { class: "fq-panel", "aria-label": "Traffic" },
      h("h2", {}, "Traffic", h("small", {}, "of the lab's endpoints")),
      h("div", { class: "fq-wide" }, h("table", { class: "fq-traffic", role: "table" }, h("thead", {}, head), body)), none, form, told));

    const options = (select, key, pairs) => {
      const chosen = select.value;
      const made = pairs.map(([value, text]) => h("option", { value }, text));
      if (put(select, key, ...made) && pairs.some(([v]) => v === chosen)) select.value = chosen;
    };
    const draw = () => {
      const now = model.get("rows");
      const wanted = new Set(now.map((r) => r.number));
      for (const [key, row] of rows) {
        if (wanted.has(key)) continue;
        if (row.el.contains(document.activeElement)) name.focus();
        row.el.remove();
        rows.delete(key);
      }
      for (const one of now) {
        if (!rows.has(one.number)) {
          rows.set(one.number, new TrafficRow(one, send));
          body.append(rows.get(one.number).el);
        }
        rows.get(one.number).fill(one);
      }
      none.hidden = now.length > 0;
      const endpoints = model.get("endpoints");
      options(endpoint, endpoints.join(" "), endpoints.map((e) => [e, e]));
      options(kind, "kinds", model.get("kinds"));
      const names = model.get("names");
      if (put(list, names.join(" "), ...names.map((n) => h("option", { value: n }))) && !name.value) {
        name.value = names[0] ?? "";
      }
    };
    touch.on("told", ({ what, text, well }) => {
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
      if (!well && what.startsWith("stop:")) {
        const row = rows.get(Number(what.slice(5)));
        if (row) row.button.disabled = false;
      }
    });
    follow(model, signal, ["rows", "endpoints", "names", "kinds"], draw);
    return end;
  },
};
