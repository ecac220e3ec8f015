// The cards.  A button is greyed from its press until the lab has done it; places never change.

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const grid = h("div", { class: "fq-cards" });
    const told = h("div", { class: "fq-told", role: "status", "aria-live": "polite" });
    const maps = h("div", { class: "fq-maps", hidden: true, tabindex: 0 });
    const asked = new Set();
    const shown = new Map();
    const speeds = h("select", {
      "aria-label": "Speed of lab time", "data-do": "speed",
      onchange: ({ target }) => {
        wanted = Number(target.value);
        told.textContent = "";
        tell(model, { do: "speed", scale: wanted });
      },
    });
    const obstacle = h("span", { class: "fq-dim" });
    let wanted = null;
    el.prepend(grid, h("div", { class: "fq-speed" },
      h("label", {}, h("span", { class: "fq-dim" }, "Lab time (TTLs)"), speeds), obstacle, told), maps);

    const press = (card, button) => {
      asked.add(`${card}:${button.do}`);
      told.textContent = "";
      if (button.do === "maps") {
        if (!maps.hidden) {
          asked.delete("kernel:maps");
          maps.hidden = true;
        } else tell(model, { do: "maps" });
      } else tell(model, { do: "fault", process: card, action: button.do });
      draw();
    };

    const drawButton = (card, button) =>
      h("button", {
        class: button.primary ? "fq-primary" : null,
        disabled: !button.enabled || asked.has(`${card.name}:${button.do}`),
        "data-do": button.do,
        "aria-label": `${button.label}: ${card.title}`,
        title: button.hint || null,
        onclick: () => press(card.name, button),
      }, button.label);

    const drawCard = (card) => {
      let made = shown.get(card.name);
      if (!made) {
        const parts = ["h", "kv", "row"].map((c) => h("div", { class: `fq-${c}` }));
        made = { box: h("section", { class: "fq-card", "data-process": card.name }, ...parts), parts };
        shown.set(card.name, made);
        grid.append(made.box);
      }
      const [head, lines, row] = made.parts;
      made.box.dataset.level = card.level;
      made.box.setAttribute("aria-label", `${card.title}: ${card.word}`);
      put(head, card.title + card.word, h("i", { class: "fq-dot", "aria-hidden": "true" }),
        h("span", {}, card.title), h("span", { class: "fq-word" }, card.word));
      put(lines, card.lines.join("\n"),
        ...card.lines.map((line) => h("div", {}, ...marked(line, touch.clock()))));
      const state = JSON.stringify([card.buttons, [...asked].filter((a) => a.startsWith(card.name))]);
      const focus = row.contains(document.activeElement) ? document.activeElement.dataset : null;
      const index = focus ? [...row.children].indexOf(document.activeElement) : -1;
      if (put(row, state, ...card.buttons.map((b) => drawButton(card, b))) && focus) {
        const again = row.children[index];
        (again.disabled ? row.querySelector("button:not([disabled])") ?? again : again).focus();
      }
    };
    const drawSpeed = () => {
      const { scale, offered = [], obstacle: why } = model.get("speed");
      put(speeds, offered.join(" "), ...offered.map((s) => h("option", { value: s }, `${s}×`)));
      // what was chosen stays chosen until the lab says so
      if (wanted === null || wanted === scale) {
        wanted = null;
        speeds.value = String(scale);
      }
      speeds.disabled = Boolean(why);
      speeds.title = obstacle.textContent = why ?? "";
    };
    const draw = () => {
      model.get("cards").forEach(drawCard);
      drawSpeed();
    };

    touch.on("told", ({ what, text, well }) => {
      asked.delete(what);
      told.textContent = text;
      told.dataset.level = well ? "ok" : "bad";
      if (what === "speed" && !well) wanted = null;
      draw();
    });
    touch.on("maps", ({ rows, more }) => {
      const row = ([map, key, value]) => h("tr", {}, h("td", {}, map), h("td", {}, key), h("td", {}, value));
      const head = h("tr", {}, ...["map", "key", "value"].map((t) => h("th", { scope: "col" }, t)));
      const rest = more ? [h("p", { class: "fq-dim" }, `${more.toLocaleString("en")} more: lab.evidence()`)] : [];
      maps.replaceChildren(h("table", { class: "fq-mono" }, head, ...rows.map(row)), ...rest);
      maps.hidden = false;
    });
    follow(model, signal, ["cards", "speed"], draw);
    return end;
  },
};
