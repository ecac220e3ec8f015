// The form of one policy document: cards of fields, each the picture of one place in the YAML.

const WIDE = new Set(["names", "peers", "networks"]);
const HINTS = {
  names: "one a line; a star makes it a pattern", ports: "443/TCP, 8000-8080/ANY, or all",
  labels: "app=web, tier=db, or all", peers: "k8s-app=kube-dns, a=b; app=db", list: "commas between", word: "",
  networks: "one a line; 10.0.0.0/8 except 10.1.0.0/16", icmps: "8/IPv4, EchoRequest/IPv6",
};
const ADDS = [["names", "+ Names"], ["dns", "+ Look-ups"], ["network", "+ Network"], ["deny", "+ Denial"]];
const TYPING_MS = 350;

/** What a field's text says, however it is written: line breaks that nothing follows yet say nothing. */
function said(kind, text) {
  const parts = { peers: /[^\s,;]+|;/g, networks: /[^\s,;]+|[\n;]/g }[kind] ?? /[^\s,]+/g;
  const joined = (text.match(parts) ?? []).join(" ").replaceAll("\n", ";");
  return joined.split(";").map((part) => part.trim()).filter(Boolean).join("; ");
}

/** One field: what is being written stays; what cannot be is said beside it. */
class FormField {
  constructor(given, send) {
    this.given = given;
    this.send = send;
    this.refused = "";
    this.timer = 0;
    const wide = WIDE.has(given.kind);
    const hint = `fq-hint-${crypto.randomUUID()}`;
    this.input = h(wide ? "textarea" : "input", {
      class: "fq-mono", spellcheck: "false", autocomplete: "off", "data-where": given.where, "aria-describedby": hint,
      oninput: () => { this.grow(); clearTimeout(this.timer); this.timer = setTimeout(() => this.commit(), TYPING_MS); },
      onblur: () => { this.commit(); this.settle(); },
      onkeydown: (event) => {
        if (event.key === "Enter" && (!wide || event.ctrlKey || event.metaKey)) this.commit();  // before Apply hears of it
        else if (event.key === "Escape") this.reset();
      },
    });
    this.problem = h("span", { class: "fq-problem", id: hint });
    const label = h("span", { class: "fq-label" }, given.label, HINTS[given.kind] ? h("small", {}, HINTS[given.kind]) : "");
    this.el = h("div", { class: `fq-field fq-k-${given.kind}` }, h("label", {}, label, this.input), this.problem);
    this.fill(given);
  }

  commit() {
    clearTimeout(this.timer);
    const value = this.input.value;
    if (value === (this.sent ?? this.given.text)) return;
    this.sent = value;
    this.send({ do: "field", path: this.given.path, where: this.given.where, value });
  }

  /** Out of the hands: show what the YAML has. */
  settle() {
    setTimeout(() => {
      if (document.activeElement !== this.input) this.reset();
    }, 600);
  }

  /** What the YAML has. */
  reset() {
    clearTimeout(this.timer);
    this.sent = undefined;
    this.input.value = this.given.text;
    this.refuse("");
    this.grow();
  }

  fill(given) {
    const old = this.given.text;
    if (old !== given.text) this.refused = "";
    this.given = given;
    const written = this.sent !== undefined || this.input.value !== old;  // here, and no echo may write over it
    const same = said(given.kind, this.input.value) === said(given.kind, given.text);
    if (document.activeElement !== this.input || !(written || same)) {
      this.sent = undefined;  // the same again, typed after another text came, is to be sent again
      this.input.value = given.text;
    }
    this.grow();
  }

  grow() { if (this.input.tagName === "TEXTAREA") this.input.rows = Math.max(1, this.input.value.split("\n").length); }

  /** A fault of the YAML at this field; what the form refused goes before. */
  blame(text) {
    this.fault = text;
    this.say(this.refused || text);
  }

  refuse(text) {
    this.refused = text;
    this.say(text || this.fault || "");
  }

  say(text) {
    this.problem.textContent = text;
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }
}

class Form {
  constructor(send, go) {
    this.send = send;
    this.go = go;
    this.fields = new Map();
    this.key = "";
    this.faults = [];
    this.head = h("div", { class: "fq-head" });
    this.cards = h("div", { class: "fq-rules" });
    this.adds = ADDS.map(([what, label]) => h("button", {
      "data-add": what, onclick: () => { this.added = what; send({ do: "rule", what }); },
    }, label));
    this.why = h("p", { class: "fq-none fq-dim" });
    this.rest = h("div", {});
    this.el = h("div", { class: "fq-theform" }, this.why, this.head, this.cards,
      h("div", { class: "fq-row fq-adds", role: "group", "aria-label": "Add a rule" }, ...this.adds), this.rest);
  }

  draw(form) {
    this.why.textContent = form.why;
    this.why.hidden = !form.why;
    for (const one of this.adds) one.disabled = Boolean(form.why);
    if (form.why && this.fields.size) {  // what was there stays to be seen, and cannot be edited
      this.el.classList.add("fq-held");
      for (const one of this.fields.values()) one.input.readOnly = true;
      return;
    }
    this.el.classList.remove("fq-held");
    const every = [...form.head, ...form.rules.flatMap((rule) => rule.fields)];
    const key = JSON.stringify([every.map((f) => [f.where, f.kind, f.label]), form.rules.map((r) => [r.path, r.title, r.line, r.rest]), form.rest]);
    if (key !== this.key) this.build(form, key);
    for (const given of every) {
      const field = this.fields.get(given.where);
      field.fill(given);
      field.input.readOnly = false;
    }
    this.check();
    this.focusAdded(form);
  }

  build(form, key) {
    const active = document.activeElement;
    const kept = this.el.contains(active) ? { where: active.dataset.where, start: active.selectionStart, end: active.selectionEnd } : null;
    const old = this.fields;
    this.key = key;
    this.fields = new Map();
    const field = (given) => {
      const known = old.get(given.where);
      const made = known && known.given.kind === given.kind && known.given.label === given.label ? known : new FormField(given, this.send);
      this.fields.set(given.where, made);
      return made.el;
    };
    this.head.replaceChildren(...form.head.map(field));
    this.cards.replaceChildren(...form.rules.map((rule) => this.card(rule, field)));
    this.rest.replaceChildren(...rest(form.rest, "Beside the rules, as it stands in the YAML"));
    const again = kept?.where && this.fields.get(kept.where)?.input;
    if (again && document.activeElement !== again) {
      again.focus({ preventScroll: true });
      again.setSelectionRange?.(kept.start, kept.end);
    }
  }

  card(rule, field) {
    const name = `${rule.deny ? "Deny" : "Allow"}: ${rule.title}`;
    return h("fieldset", { class: "fq-rule", "data-deny": rule.deny },
      h("legend", {}, h("span", { class: "fq-sign", "aria-hidden": "true" }, rule.deny ? "✕" : "▲"), name),
      h("div", { class: "fq-tools" },
        h("button", { class: "fq-link", "aria-label": `${name}, line ${rule.line} of the YAML`, onclick: () => this.go(rule.line) }, `line ${rule.line}`),
        h("button", { class: "fq-link", "aria-label": `Remove ${name}`, onclick: () => this.send({ do: "unrule", path: rule.path }) }, "Remove")),
      ...rule.fields.map(field), ...rest(rule.rest, "As it stands in the YAML"));
  }

  /** Into the first field of a rule that was just added. */
  focusAdded(form) {
    if (!this.added) return;
    const rules = form.rules.filter((r) => r.deny === (this.added === "deny"));
    const rule = this.added === "dns" ? rules[0] : rules.at(-1);
    this.added = undefined;
    const kind = (f) => f.kind === "names" || f.kind === "list";
    const input = this.fields.get(rule?.fields.find(kind)?.where)?.input;
    input?.focus();
    input?.select();
  }

  /** Faults of the YAML, at their fields. */
  check(faults = this.faults) {
    this.faults = faults;
    for (const [where, field] of this.fields) {
      const own = faults.find((f) => f.path === where || f.path.startsWith(`${where}.`) || f.path.startsWith(`${where}[`));
      field.blame(own?.text ?? "");
    }
  }

  refuse(where, text) { this.fields.get(where)?.refuse(text); }
}

const rest = (lines, title) => lines.length
  ? [h("div", { class: "fq-rest" }, h("small", {}, title), h("pre", {}, lines.join("\n")))] : [];
