// The policy author.  The form and the YAML are two views of one text; the kernel judges it.

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const input = (label, change = "change") =>
      h("input", { "aria-label": label, placeholder: label, class: "fq-mono", style: "width:100%", [`on${change}`]: () => sendForm() });
    const name = input("Name");
    const space = input("Namespace");
    const labels = input("Endpoint labels, as app=web");
    const names = input("Allowed names and patterns");
    const ports = input("Ports, as 443/TCP");
    const dns = h("input", { type: "checkbox", "aria-label": "DNS server rule", onchange: () => sendForm() });
    const yaml = h("textarea", { "aria-label": "YAML", rows: 18, spellcheck: "false", class: "fq-mono", style: "width:100%" });
    const [faults, told] = [1, 2].map(() => h("div", { class: "fq-told", role: "status", "aria-live": "polite", style: "white-space:pre-wrap" }));
    const [remarks, effect, diff] = [1, 2, 3].map(() => h("div", { class: "fq-dim fq-mono", style: "white-space:pre-wrap;overflow-wrap:anywhere" }));
    const words = (field) => field.value.split(/[\s,]+/).filter(Boolean);
    const pairs = (field, mark, other) => words(field).map((w) => [w.split(mark)[0], w.split(mark)[1] ?? other]);
    const form = h("div", { style: "flex:1 1 200px;display:grid;gap:6px;align-content:start" }, name, space, labels, names, ports, h("label", {}, dns, " DNS server rule"));

    let timer = 0;
    let last = "";
    const sendForm = () => tell(model, { do: "form", text: yaml.value, form: {
      name: name.value, namespace: space.value, labels: pairs(labels, "=", ""), names: words(names),
      ports: pairs(ports, "/", "ANY"), dns: dns.checked } });
    yaml.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => tell(model, { do: "yaml", text: yaml.value }), 250);
    });
    const button = (label, message, primary) =>
      h("button", { class: primary ? "fq-primary" : null, onclick: () => tell(model, message()) }, label);
    const act = (what) => () => ({ do: what, text: yaml.value, name: last });
    el.prepend(h("section", { class: "fq-panel", "aria-label": "Policy" }, h("h2", {}, "Policy"),
      h("div", { class: "fq-row" }, ...[["Allow names", "names"], ["DNS only", "dns"], ["Deny CIDR", "deny"]].map(([t, n]) => button(t, () => ({ do: "template", name: n })))),
      h("div", { style: "display:flex;flex-wrap:wrap;gap:10px;margin:8px 0" }, form, h("div", { style: "flex:2 1 260px" }, yaml)),
      h("div", { class: "fq-row" }, button("Apply", act("apply"), true), button("Revert", act("revert")), button("Diff", act("diff"))),
      faults, told, remarks, effect, diff));

    touch.on("judged", (judged) => {
      if (judged.text !== null) yaml.value = judged.text;
      for (const field of form.querySelectorAll("input")) field.disabled = !judged.form;
      if (judged.form) {
        const f = judged.form;
        last = f.name;
        [name.value, space.value, dns.checked] = [f.name, f.namespace, f.dns];
        [labels.value, ports.value] = [f.labels.map((l) => l.join("=")).join(" "), f.ports.map((p) => p.join("/")).join(" ")];
        names.value = f.names.join(" ");
      }
      faults.textContent = [judged.faults, judged.why].filter(Boolean).join("\n");
      faults.dataset.level = judged.faults ? "bad" : "ok";
      remarks.textContent = judged.remarks.join("\n");
      if (judged.faults) effect.textContent = "";
    });
    touch.on("effect", ({ text }) => { effect.textContent = text; });
    touch.on("diff", ({ text }) => { diff.textContent = text; });
    touch.on("told", ({ text, well }) => {
      if (!text) return;
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
    });
    queueMicrotask(() => tell(model, { do: "begin" }));
    return end;
  },
};
