// Shared by all panels (put before each): elements, marked text, time, and staying in touch.

/** An element; `on…` attributes are listeners, `null` and `false` are left out. */
function h(tag, attrs = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat());
  return made;
}

/** A span of time in a word or two; its width changes rarely. */
function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.floor(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return `${Math.floor(s / 3600)} h`;
}

const MARK = /\*\*(.+?)\*\*|\{ago:([\d.]+)\}/g;

/** Text with marks (see sentence.py) as nodes; what passes with time is filled by `tick`. */
function marked(text, now) {
  const made = [];
  let at = 0;
  for (const match of text.matchAll(MARK)) {
    made.push(text.slice(at, match.index));
    if (match[1] !== undefined) made.push(h("b", {}, ...marked(match[1], now)));
    else {
      const since = Number(match[2]);
      made.push(h("span", { class: "fq-ago", "data-since": since }, span(now - since)));
    }
    at = match.index + match[0].length;
  }
  made.push(text.slice(at));
  return made;
}

/** The same without marks, for a screen reader. */
const unmarked = (text, now) =>
  text.replace(MARK, (_, bold, since) =>
    bold !== undefined ? unmarked(bold, now) : span(now - Number(since)));

/** Fills every passing time below `el`. */
function tick(el, now) {
  for (const one of el.querySelectorAll(".fq-ago")) {
    const text = span(now - Number(one.dataset.since));
    if (one.textContent !== text) one.textContent = text;
  }
}

/** Puts `made` into `el` only if it differs: nothing flickers, focus stays. */
function put(el, key, ...made) {
  if (el.dataset.key === key) return false;
  el.dataset.key = key;
  el.replaceChildren(...made);
  return true;
}

/** Sends a message to the kernel; without one there is nobody to hear it, as the note says. */
function tell(model, message) {
  try {
    model.send(message);
  } catch {
    // "Cannot send": the kernel is gone or on its way back.
  }
}

/**
 * Keeps JupyterLab's own keys away from what has the focus in a panel ("d d" would delete the cell).
 * It asks the focused element itself, not those around it: each is marked as it gets the focus.
 */
function keepKeys() {
  if (window.fqdnlabKeepsKeys) return;
  window.fqdnlabKeepsKeys = true;
  document.addEventListener("focusin", ({ target }) => {
    if (target.closest?.(".fqdnlab, .fqdnlab-dashboard")) target.dataset.lmSuppressShortcuts = "true";
  });
}

/**
 * Keeps a view in touch with the kernel: says hello, and every 10 s that it is there; shows when no
 * news has come for 6 s, or the panel failed.  Returns a clock (the lab's Unix seconds) and `on(type, handler)`.
 */
function attend(model, el, signal) {
  el.classList.add("fqdnlab");
  keepKeys();
  const note = h("div", { class: "fq-stale", role: "status", hidden: true });
  el.append(note);
  const handlers = {};
  let offset = 0;
  let heard = performance.now();
  let failed = "";
  const clock = () => Date.now() / 1000 + offset;
  const hear = (message) => {
    heard = performance.now();
    if (message.type === "beat") offset = message.time - Date.now() / 1000;
    if (message.type === "failed") failed = message.text;
    handlers[message.type]?.(message);
  };
  model.on("msg:custom", hear);
  const alive = setInterval(() => tell(model, { do: "alive" }), 10_000);
  const watch = setInterval(() => {
    const silent = (performance.now() - heard) / 1000;
    const old = silent < 6 ? ""
      : `No news from the kernel for ${span(silent)}: what is shown is old. If it was restarted, ` +
        "run this cell and the one that makes the lab again; the lab itself goes on.";
    note.hidden = !(old || failed);
    if (note.textContent !== (old || failed)) note.textContent = old || failed;
    tick(el, clock());
  }, 500);
  signal.addEventListener("abort", () => {
    model.off("msg:custom", hear);
    clearInterval(alive);
    clearInterval(watch);
  });
  queueMicrotask(() => tell(model, { do: "hello" }));
  return { clock, on: (type, handler) => { handlers[type] = handler; }, note };
}

/** Calls `draw` now and at each change of the traits. */
function follow(model, signal, traits, draw) {
  for (const trait of traits) model.on(`change:${trait}`, draw);
  signal.addEventListener("abort", () => {
    for (const trait of traits) model.off(`change:${trait}`, draw);
  });
  draw();
}

/** An abort signal for a view: anywidget's own, or one that the returned `end` fires. */
function lifetime(given) {
  const own = new AbortController();
  given?.addEventListener("abort", () => own.abort());
  return { signal: own.signal, end: () => own.abort() };
}

/** Lets the browser save something. */
function save(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
