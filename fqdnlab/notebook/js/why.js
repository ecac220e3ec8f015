// An explanation: what decided, step by step, and a button that does the one thing that helps.

const WORDS = { ok: "holds", missing: "is missing", denied: "denies", unknown: "is not known", note: "to know" };

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    let asked = false;

    const title = h("span", {}, "Why?");
    const about = h("p", { class: "fq-about fq-mono fq-dim" });
    const headline = h("p", { class: "fq-headline" });
    const steps = h("ol", { class: "fq-steps", tabindex: 0, "aria-label": "Steps" });
    const remedy = h("div", { class: "fq-remedy", hidden: true });
    const told = h("p", { class: "fq-told", role: "status", "aria-live": "polite" });
    const aloud = h("div", { class: "fq-aloud", role: "status", "aria-live": "polite" });

    const list = `fq-names-${crypto.randomUUID()}`;
    const names = h("datalist", { id: list });
    const who = h("select", { name: "endpoint", "aria-label": "From endpoint" });
    const target = h("input", { name: "target", "aria-label": "To name or address", placeholder: "name or address", list, spellcheck: "false", autocomplete: "off" });
    const port = h("input", { name: "port", "aria-label": "Port", value: "443", inputmode: "numeric" });
    const ask = h("form", { class: "fq-ask", "aria-label": "A packet that is not sent yet" }, who, target, port, names, h("button", {}, "Explain"));
    ask.addEventListener("submit", (event) => {
      event.preventDefault();
      told.textContent = "";
      tell(model, { do: "ask", endpoint: who.value, target: target.value.trim(), port: port.value.trim() });
    });
    el.prepend(h("div", { class: "fq-panel fq-why" }, h("h2", {}, title), about, headline, steps, remedy, told, ask, aloud));

    const drawStep = (step) => h("li", { "data-state": step.state },
      h("span", { class: "fq-glyph", "aria-hidden": "true" }, step.glyph),
      h("b", {}, step.title), h("span", { class: "fq-aloud" }, ` ${WORDS[step.state]}`),
      h("div", { class: "fq-detail" }, step.detail, ...step.more.map((entry) => h("span", { class: "fq-entry" }, entry))));

    const drawRemedy = (found) => {
      remedy.hidden = !found;
      if (!found) return;
      const held = remedy.contains(document.activeElement);
      const button = found.label && h("button", {
        class: "fq-primary", "data-do": "remedy", disabled: asked,
        onclick: () => {
          asked = true;
          told.textContent = "";
          drawRemedy(found);
          tell(model, { do: "remedy" });
        },
      }, found.label);
      remedy.replaceChildren(
        h("p", {}, found.text, found.then ? h("span", { class: "fq-dim" }, ` Then ${found.then}.`) : ""),
        ...(button ? [button] : []),
        ...(found.policy ? [h("details", {}, h("summary", {}, "The policy"), h("pre", {}, found.policy))] : []));
      if (held) (asked ? steps : button || steps).focus();
    };

    const draw = () => {
      const found = model.get("explained");
      if (!found.about) {
        title.textContent = "Why?";
        headline.textContent = "";
        about.textContent = "Choose a flow in the table: click it, or arrow keys and Enter. Or ask about a packet before it is sent.";
        about.classList.remove("fq-mono");
        return;
      }
      about.classList.add("fq-mono");
      title.textContent = found.title;
      about.textContent = found.about;
      headline.textContent = `${found.passes ? "▲" : "✕"} ${found.headline}`;
      headline.dataset.passes = String(found.passes);
      const unknown = found.unknown.map((what) => ({ glyph: "?", state: "unknown", title: "Cannot be known", detail: what, more: [] }));
      steps.replaceChildren(...[...found.steps, ...unknown].map(drawStep));
      drawRemedy(found.remedy);
      const text = `${found.about}: ${found.headline}. ${found.remedy?.text ?? ""}`;
      if (aloud.textContent !== text) aloud.textContent = text;
    };

    touch.on("told", ({ what, text, well }) => {
      if (what === "remedy") {
        asked = false;
        drawRemedy(model.get("explained").remedy);
      }
      if (what === "endpoints" && well) return;
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
    });
    follow(model, signal, ["explained"], draw);
    follow(model, signal, ["endpoints"], () => {
      const chosen = who.value;
      put(who, model.get("endpoints").join(), ...model.get("endpoints").map((name) => h("option", { value: name }, name)));
      if (chosen) who.value = chosen;
    });
    follow(model, signal, ["names"], () =>
      put(names, model.get("names").join(), ...model.get("names").map((name) => h("option", { value: name }))));
    return end;
  },
};
