// The policy author: the text is in the kernel's widget; form, YAML and what it does are its views.

const KINDS = {
  fault: ["✕", "fault"], void: ["◆", "not enforced"], beside: ["◇", "not enforced, voids nothing"], mind: ["!", "mind"],
};
const ORDER = ["fault", "void", "mind", "beside"];
const WHATS = { selects: "selects", opens: "▲ opens", denies: "✕ denies", "look-ups": "◆ looks up" };
const WOULD = { selects: "would select", opens: "would open", denies: "would deny", "look-ups": "would look up" };
const PANES = [["yaml", "YAML"], ["form", "Form"], ["does", "What it does"]];

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    let timer = 0;
    const sent = [];  // what was typed here and is on its way: each comes back as the kernel's text, older than the field
    const editor = new Editor("YAML", () => {
      clearTimeout(timer);
      timer = setTimeout(typed, 250);
    });
    const typed = () => {
      clearTimeout(timer);
      timer = 0;
      if (note()) tell(model, { do: "yaml", text: editor.text });
    };
    const note = () => {  // whether the field holds what the kernel does not have, nor is about to
      if (editor.text === (sent.at(-1) ?? model.get("text"))) return false;
      sent.push(editor.text);
      return true;
    };
    const send = (message) => {  // the kernel's text may be newer than the field: only what is typed and not sent goes along
      const unsent = timer && note() ? { text: editor.text } : {};
      clearTimeout(timer);
      timer = 0;
      tell(model, { ...message, ...unsent });
    };
    const go = (line) => { show("yaml"); editor.go(line); };
    const form = new Form(send, go);

    const standing = h("small", {});
    const begin = h("select", { "aria-label": "Begin with" });
    const load = h("button", { "data-do": "load", onclick: () => {  // a choice by arrow keys must not load each it passes
      told.textContent = begin.value ? "" : "Choose a policy or a template first.";
      if (begin.value) send({ do: "load", what: begin.value });
    } }, "Load");
    const undo = h("button", { onclick: () => send({ do: "undo" }) }, "Undo");
    const documents = h("div", { class: "fq-row fq-docs", role: "group", "aria-label": "Document in the form" });
    const status = h("div", { class: "fq-status" });
    const remarks = h("ul", { class: "fq-remarks", "aria-label": "Remarks" });
    const matches = h("div", {});
    const chips = h("div", { class: "fq-chips", role: "group", "aria-label": "Matches now, in short" });
    const says = h("div", { class: "fq-sentences" });
    const changes = h("div", { class: "fq-wide" });
    const told = h("div", { class: "fq-told fq-keeps", role: "status", "aria-live": "polite" });
    const aloud = h("div", { class: "fq-aloud", role: "status", "aria-live": "polite" });
    const diff = h("pre", { class: "fq-diff", tabindex: 0, "aria-label": "Difference", hidden: true });
    const button = (what, label, primary) => h("button", {
      "data-do": what, class: primary ? "fq-primary" : null, onclick: () => { told.textContent = ""; send({ do: what }); },
    }, label);
    const pane = (name, ...parts) => h("div", { class: "fq-pane", "data-pane": name }, ...parts);
    const tabs = PANES.map(([name, label]) => h("button", { "data-tab": name, onclick: () => show(name) }, label));
    const body = h("div", { class: "fq-author", "data-show": "yaml" },
      h("div", { class: "fq-row fq-tabs", role: "group", "aria-label": "What is shown" }, ...tabs),
      documents,
      h("div", { class: "fq-cols" },
        pane("form", form.el),
        pane("yaml", chips, editor.el)),
      status, remarks,  // beside no pane: told whichever of them is shown
      h("div", { class: "fq-row fq-do" }, button("apply", "Apply", true), button("diff", "Diff"), button("revert", "Revert"), undo, told),
      diff,
      pane("does", h("div", { class: "fq-does" },
        h("section", { "aria-label": "Matches now" }, h("h3", {}, "Matches now"), matches),
        h("section", { "aria-label": "If applied" }, h("h3", {}, "If applied"), says, changes))));
    function show(name) {
      body.dataset.show = name;
      for (const one of tabs) one.setAttribute("aria-pressed", String(one.dataset.tab === name));
    }
    show("yaml");
    body.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      body.querySelector("[data-do=apply]").click();
    });
    body.addEventListener("beforeinput", (event) => {  // JupyterLab, which hears of keys first, takes line breaks from all fields of a cell
      if (event.inputType === "insertLineBreak") event.stopPropagation();
    }, { capture: true });
    el.prepend(h("section", { class: "fq-panel", "aria-label": "Policy" },
      h("h2", {}, "Policy", standing, h("span", { class: "fq-tools" }, begin, load)), body, aloud));

    // ------------------------------------------------------------ drawing

    const jump = (line, label) => line
      ? h("button", { class: "fq-link", "aria-label": `Line ${line} of the YAML`, onclick: () => go(line) }, label ?? `line ${line}`) : "";
    const drawText = () => {
      const text = model.get("text");
      const at = sent.indexOf(text);
      sent.splice(0, at + 1);
      if (at >= 0 || sent.length) return;  // own; or older than what is on its way, and Undo will have it
      if (timer && editor.text !== text) tell(model, { do: "keep", text: editor.text });
      clearTimeout(timer);
      timer = 0;
      editor.put(text);
    };
    const drawJudged = () => {
      const judged = model.get("judged");
      if (!judged.form) return;
      const faults = judged.faults.map((f) => ({ ...f, kind: "fault", profiles: [] }));
      const every = [...faults, ...judged.remarks];
      const marks = new Map();
      for (const kind of [...ORDER].reverse()) {
        for (const one of every.filter((r) => r.kind === kind)) {
          marks.set(one.line, { level: kind, glyph: KINDS[kind][0] });
        }
      }
      editor.mark(marks);
      form.faults = judged.faults;
      form.draw(judged.form);
      put(documents, JSON.stringify([judged.documents, judged.index]), ...(judged.documents.length > 1
        ? [h("span", { class: "fq-dim" }, "In the form"), ...judged.documents.map((name, index) => h("button", {
          "aria-pressed": String(index === judged.index), onclick: () => tell(model, { do: "document", index }),
        }, name))] : []));
      put(status, JSON.stringify([judged.status, judged.valid, faults.length]), ...drawStatus(judged, faults.length));
      put(remarks, JSON.stringify(every), ...every.map(remark));
      const heard = judged.valid ? `Valid; ${judged.remarks.length} remarks.` : `${faults.length} faults; first: ${faults[0]?.text ?? ""}`;
      if (aloud.textContent !== heard) aloud.textContent = heard;
    };
    const drawStatus = (judged, faults) => judged.valid
      ? judged.status.map((one) => h("span", { class: "fq-chip", "data-level": one.enforced ? "ok" : "void", title: one.why },
        h("span", { "aria-hidden": "true" }, one.enforced ? "✓" : "◆"), h("b", {}, one.profile), ` ${one.word}`))
      : [h("span", { class: "fq-chip", "data-level": "fault" }, h("span", { "aria-hidden": "true" }, "✕"),
        faults ? `${faults} ${faults === 1 ? "fault" : "faults"}: Apply changes nothing` : "no policy yet")];
    const remark = (one) => h("li", { "data-level": one.kind },
      h("span", { class: "fq-sign", "aria-hidden": "true" }, KINDS[one.kind][0]),
      h("div", {}, jump(one.line), h("b", {}, ` ${KINDS[one.kind][1]}`), one.profiles.length ? ` by ${one.profiles.join(" and ")}` : "",
        one.path ? h("span", { class: "fq-mono fq-path" }, ` ${one.path}`) : "", h("div", {}, one.text)));

    const drawMatch = (one) => h("tr", { role: "row", "data-what": one.void ? "void" : one.what },
      h("td", { role: "cell" }, (one.void ? WOULD : WHATS)[one.what]), h("td", { role: "cell", class: "fq-mono" }, jump(one.line, one.text)),
      h("td", { role: "cell" }, one.words, one.items.length ? h("div", { class: "fq-mono fq-dim fq-items" }, one.items.join(" · ")) : ""));
    const outcome = (one) => [one.word, h("div", { class: "fq-by" }, one.line ? jump(one.line, one.by) : one.by)];
    const drawChange = (one) => h("tr", { role: "row", "data-kind": one.kind },
      h("td", { role: "cell", class: "fq-sign", "aria-label": one.kind }, one.glyph),
      h("td", { role: "cell" }, one.count ? h("b", {}, `${one.count} × `) : "", one.who, " → ", h("span", { class: "fq-mono" }, one.target),
        h("div", { class: "fq-by fq-mono" }, [one.where, one.addresses].filter(Boolean).join(" · "))),
      h("td", { role: "cell" }, ...outcome(one.before)),
      h("td", { role: "cell", class: "fq-then" }, ...outcome(one.after), one.asks ? h("div", { class: "fq-by" }, "after a look-up") : ""));
    const table = (label, rows, draw) => rows.length
      ? [h("table", { role: "table", class: "fq-changes", "aria-label": label },
        h("thead", {}, h("tr", { role: "row" }, ...["", label, "now", "then"].map((t) => h("th", { scope: "col", role: "columnheader" }, t)))),
        h("tbody", {}, ...rows.map(draw)))] : [];
    const does = (words) => { tabs.at(-1).textContent = words ? `What it does: ${words}` : "What it does"; };
    const drawEffect = () => {
      const effect = model.get("effect");
      const trouble = effect.trouble ?? "";
      if (trouble || !effect.matches) {
        put(says, trouble, h("p", {}, trouble));
        put(matches, "", h("p", { class: "fq-none fq-dim" }, trouble ? "–" : ""));
        put(changes, "", "");
        put(chips, "");
        does("");
        return;
      }
      put(chips, JSON.stringify(effect.matches), ...effect.matches.map((one) => h("button", {
        class: "fq-chip", "data-what": one.void ? "void" : one.what, onclick: () => go(one.line), title: one.items.join("\n"),
      }, `${one.text} → ${one.words}`)));
      const count = (kind) => effect.changes.filter((c) => c.kind === kind).length;
      does(["closes", "opens", "steers"].filter(count).map((kind) => `${effect.changes.find((c) => c.kind === kind).glyph} ${count(kind)}`).join(" "));
      put(matches, JSON.stringify(effect.matches), h("table", { role: "table", class: "fq-matches", "aria-label": "Matches now" },
        h("tbody", {}, ...effect.matches.map(drawMatch))));
      put(says, JSON.stringify(effect.says), ...effect.says.map((text) => h("p", {}, text)));
      const open = changes.querySelector("details")?.open;
      put(changes, JSON.stringify([effect.changes, effect.stays, effect.flows]),
        ...table("flows seen lately", effect.flows, drawChange), ...table("packets and look-ups", effect.changes, drawChange),
        ...(effect.more ? [h("p", { class: "fq-dim" }, `and ${effect.more} more`)] : []),
        ...(effect.stays.length ? [h("details", { open: open || null }, h("summary", {}, `What stays as it is (${effect.stays.length})`),
          ...table("as before", effect.stays, drawChange))] : []));
    };
    const drawState = () => {
      const state = model.get("state");
      if (!state.templates) return;
      standing.textContent = `${state.standing} · revision ${state.revision}`;
      standing.dataset.standing = state.standing;
      undo.disabled = !state.undo;
      const option = (value, label) => h("option", { value }, label);
      const chosen = begin.value;
      put(begin, JSON.stringify([state.applied, state.templates]), option("", "Begin with…"),
        h("optgroup", { label: "Applied" }, ...state.applied.map((key) => option(key, key.split("/").slice(1).filter(Boolean).join("/")))),
        h("optgroup", { label: "Templates" }, ...state.templates.map(([name, title]) => option(name, title))));
      if ([...begin.options].some((one) => one.value === chosen)) begin.value = chosen;
    };
    const drawDiff = () => {
      const text = model.get("diff");
      diff.hidden = !text;
      const kind = (line) => (/^(---|\+\+\+|@@)/.test(line) ? "head" : { "+": "new", "-": "old" }[line[0]] ?? "same");
      put(diff, text, ...text.split("\n").map((line) => h("div", { "data-diff": kind(line) }, line || " ")));
    };

    touch.on("told", ({ what, text, well }) => {
      if (what.includes(".")) form.refuse(what, well ? "" : text);  // a field: said beside it
      if (what && well && !text) return;  // it has nothing to say: the words of another deed stay
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
    });
    follow(model, signal, ["text"], drawText);
    follow(model, signal, ["judged"], drawJudged);
    follow(model, signal, ["effect"], drawEffect);
    follow(model, signal, ["state"], drawState);
    follow(model, signal, ["diff"], drawDiff);
    signal.addEventListener("abort", typed);
    return end;
  },
};
