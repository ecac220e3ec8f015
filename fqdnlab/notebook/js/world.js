// The world's table: cells are inputs, Enter applies, Escape takes back; what is being written stays.

const FIELDS = [["name", "name"], ["addresses", "addresses"], ["ttl", "TTL"]];
const HOWS = [["slow", "Slow"], ["silent", "Silent"], ["lying", "Lie"], ["forging", "Forge"], ["normal", "Normal"]];

/** One name: made once, filled again and again; an input that was changed keeps its text. */
class NameRow {
  constructor(name, { send, choose }) {
    this.name = name;
    this.shown = {};
    this.mark = h("span", { class: "fq-mark" });
    this.inputs = Object.fromEntries(FIELDS.map(([field, label]) => [field, h("input", {
      class: "fq-cell fq-mono", "data-field": field, "aria-label": `${label} of ${name}`, spellcheck: "false",
      inputmode: field === "ttl" ? "numeric" : null,
      oninput: ({ target }) => { target.dataset.dirty = String(target.value !== this.shown[field]); },
      onkeydown: (event) => {
        if (event.key === "Enter") send({ do: "edit", name, field, text: event.target.value });
        else if (event.key === "Escape") this.settle(field, this.shown[field]);
      },
    })]));
    this.move = h("button", {
      "data-do": "move", "aria-label": `Move ${name} to the next address`,
      onclick: () => send({ do: "name", name, action: "move" }),
    }, "move");
    this.el = h("tr", { role: "row", "data-name": name, onfocusin: () => choose(name) },
      h("td", { role: "cell", class: "fq-first" }, this.mark, this.inputs.name), h("td", { role: "cell" }, this.inputs.addresses),
      h("td", { role: "cell" }, this.inputs.ttl), h("td", { role: "cell" }, this.move));
  }

  settle(field, text) {
    const input = this.inputs[field];
    input.value = text;
    input.dataset.dirty = "false";
    input.removeAttribute("aria-invalid");
  }

  fill(row, faults) {
    for (const [field] of FIELDS) {
      const text = String(row[field]);
      const input = this.inputs[field];
      input.title = text;
      if (text !== this.shown[field]) {
        const writing = input.dataset.dirty === "true";
        this.shown[field] = text;
        if (!writing || input.value === text) this.settle(field, text);
      }
    }
    const words = faults.filter((f) => f.name === row.name).map((f) => f.words).join("; ");
    this.mark.textContent = words ? "◆" : "";
    this.mark.title = words;
    this.el.dataset.fault = words;
  }
}

const said = ({ name, server, words }) =>
  `${name || "every name"}${server ? ` at ${server}` : ""}: ${words}`;

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const told = h("div", { class: "fq-told fq-keeps", role: "status", "aria-live": "polite" });
    const send = (message) => tell(model, message);
    const rows = new Map();
    const body = h("tbody", {});
    const head = h("tr", { role: "row" }, ...["name", "addresses", "TTL", ""].map((t) => h("th", { scope: "col", role: "columnheader" }, t)));
    const table = h("table", { class: "fq-world", role: "table" }, h("thead", {}, head), body);
    const target = h("select", { "aria-label": "For which name", "data-field": "target" });
    const choose = (name) => { if ([...target.options].some((o) => o.value === name)) target.value = name; };
    const behave = HOWS.map(([how, label]) => h("button", {
      "data-do": how, onclick: () => send({ do: "behave", name: target.value, how }),
    }, label));
    const change = [["rotate", "Rotate"], ["more", "+ address"], ["remove", "Remove"]].map(([action, label]) =>
      h("button", { "data-do": action, onclick: () => send({ do: "name", name: target.value, action }) }, label));
    const set = h("div", { class: "fq-set fq-dim" });

    const form = (className, does, ...parts) => {
      for (const one of parts) {
        if (one.tagName === "BUTTON") one.addEventListener("click", does);
        else one.addEventListener("keydown", ({ key }) => { if (key === "Enter") does(); });
      }
      return h("div", { class: `fq-form ${className}`, role: "group" }, ...parts);
    };
    const field = (name, label, value, width) => h("input", {
      "data-field": name, "aria-label": label, placeholder: label, value, style: `width:${width}`, class: "fq-mono",
    });
    const name = field("new-name", "new name", "", "9.5em");
    const addresses = field("new-addresses", "addresses", "", "9.5em");
    const ttl = field("new-ttl", "TTL, s", "60", "4em");
    const adding = form("fq-add", () =>
      send({ do: "add", name: name.value, addresses: addresses.value, ttl: ttl.value }),
    name, addresses, ttl, h("button", { "data-do": "add" }, "+ name"));
    const seconds = field("seconds", "seconds", "5", "4em");
    const seed = field("seed", "seed", "1", "4em");
    const churn = h("button", { "data-do": "churn" }, "Start");
    const churned = h("span", { class: "fq-dim fq-churned" });
    const churning = form("fq-churn", () =>
      send({ do: "churn", on: !model.get("churn").on, seconds: seconds.value, seed: seed.value }),
    h("span", { class: "fq-dim" }, "Churn every"), seconds, h("span", { class: "fq-dim" }, "s, seed"), seed,
    churn, churned);

    el.prepend(h("section", { class: "fq-panel", "aria-label": "World" },
      h("h2", {}, "World", h("small", {}, "what the internet answers · Enter applies")),
      h("div", { class: "fq-worldscroll" }, table),
      h("div", { class: "fq-row fq-act" }, target, ...change),
      h("div", { class: "fq-row fq-act", role: "group", "aria-label": "How it answers" }, ...behave),
      set, adding, churning, told));

    const draw = () => {
      const names = model.get("names");
      const faults = model.get("faults");
      const wanted = new Set(names.map((n) => n.name));
      for (const [key, row] of rows) {
        if (wanted.has(key)) continue;
        row.el.remove();
        rows.delete(key);
      }
      names.forEach((one, index) => {
        if (!rows.has(one.name)) rows.set(one.name, new NameRow(one.name, { send, choose }));
        const row = rows.get(one.name);
        row.fill(one, faults);
        if (body.children[index] !== row.el) body.insertBefore(row.el, body.children[index] ?? null);
      });
      const chosen = target.value;
      if (put(target, [...wanted].join(" "), h("option", { value: "" }, "every name (the resolver)"),
        ...[...wanted].map((n) => h("option", { value: n }, n)))) target.value = wanted.has(chosen) ? chosen : "";
      set.textContent = faults.length ? `Set: ${faults.map(said).join(" · ")}` : "All answers are normal.";
      set.dataset.level = faults.length ? "bad" : "ok";
      const { on, steps, last } = model.get("churn");
      churn.textContent = on ? "Stop" : "Start";
      churned.textContent = on || steps ? `${steps} ${steps === 1 ? "change" : "changes"}` : "";
      churned.title = last;
    };

    touch.on("told", ({ what, text, well }) => {
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
      const [kind, of, which] = what.split(":");
      const input = kind === "edit" ? rows.get(of)?.inputs[which] : null;
      if (input && well) {
        input.dataset.dirty = "false";
        input.removeAttribute("aria-invalid");
      } else if (input) input.setAttribute("aria-invalid", "true");
      if (what === "add" && well) for (const one of [name, addresses]) one.value = "";
    });
    follow(model, signal, ["names", "faults", "churn"], draw);
    return end;
  },
};
