// The sentence on top: seen with its numbers, heard only when the state changes.

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const name = h("b", { class: "fq-lab" });
    const facts = h("span", { class: "fq-dim" });
    const time = h("span", { class: "fq-dim fq-mono fq-right" });
    const words = h("div", {});
    const numbers = h("div", { class: "fq-dim fq-numbers" });
    const says = h("div", { class: "fq-says" }, words, numbers);
    const aloud = h("div", { class: "fq-aloud", role: "status", "aria-live": "polite" });
    el.prepend(h("div", { class: "fq-top" }, name, facts, time), says, aloud);
    follow(model, signal, ["lab_name", "facts", "said"], () => {
      name.textContent = model.get("lab_name");
      facts.textContent = model.get("facts");
      const { text = "", more = "", level = "ok" } = model.get("said");
      says.dataset.level = level;
      const now = touch.clock();
      put(words, text, ...marked(text, now));
      put(numbers, more, ...marked(more, now));
      if (aloud.dataset.text !== text) {
        aloud.dataset.text = text;
        aloud.textContent = unmarked(text, now);
      }
    });
    const ticking = setInterval(() => {
      time.textContent = new Date(touch.clock() * 1000).toLocaleTimeString("en-GB");
    }, 500);
    signal.addEventListener("abort", () => clearInterval(ticking));
    return end;
  },
};
