// A field for YAML: coloured, its lines numbered and marked.  The textarea on top is the real one.

const TOKEN = /(?<=^|\s)#.*$|"(?:[^"\\]|\\.)*"|'[^']*'|[\w./-]+(?=:(?:\s|$))/g;

/** A line as spans: comments, quoted texts, keys. */
function coloured(line) {
  const made = [];
  let at = 0;
  for (const match of line.matchAll(TOKEN)) {
    made.push(line.slice(at, match.index));
    const kind = { "#": "comment", '"': "quoted", "'": "quoted" }[match[0][0]] ?? "key";
    made.push(h("span", { class: `fq-y-${kind}` }, match[0]));
    at = match.index + match[0].length;
  }
  made.push(line.slice(at) || (at ? "" : "\u200b"));
  return made;
}

class Editor {
  constructor(label, onedit) {
    this.lines = h("pre", { "aria-hidden": "true" });
    this.area = h("textarea", {
      "aria-label": label, wrap: "off", spellcheck: "false", autocomplete: "off", autocapitalize: "off",
      oninput: () => { this.draw(); onedit(); },
    });
    this.el = h("div", { class: "fq-editor" }, h("div", { class: "fq-sheet" }, this.lines, this.area));
    this.marks = new Map();
    this.drawn = [];
  }

  get text() { return this.area.value; }

  /** Another text; the caret stays where it was, as far as it can. */
  put(text) {
    if (this.area.value === text) return;
    const { selectionStart, selectionEnd } = this.area;
    const { scrollTop } = this.el;
    this.area.value = text;
    this.area.setSelectionRange(Math.min(selectionStart, text.length), Math.min(selectionEnd, text.length));
    this.draw();
    this.el.scrollTop = scrollTop;
  }

  /** Marks beside lines: line → { level, glyph }. */
  mark(marks) {
    this.marks = marks;
    this.draw();
  }

  draw() {
    const texts = this.area.value.split("\n");
    texts.forEach((text, n) => {
      const mark = this.marks.get(n + 1);
      const key = JSON.stringify([text, mark ?? null]);
      if (this.drawn[n] === key) return;
      this.drawn[n] = key;
      const line = h("div", {
        class: "fq-line", "data-n": n + 1, "data-level": mark?.level ?? null, "data-glyph": mark?.glyph ?? "",
      }, ...coloured(text));
      const old = this.lines.children[n];
      if (old) old.replaceWith(line);
      else this.lines.append(line);
    });
    while (this.lines.children.length > texts.length) this.lines.lastElementChild.remove();
    this.drawn.length = texts.length;
  }

  /** Put the caret on a line, and show it. */
  go(line) {
    const before = this.area.value.split("\n").slice(0, line - 1);
    const start = before.reduce((sum, one) => sum + one.length + 1, 0);
    const end = this.area.value.indexOf("\n", start);
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(start, end < 0 ? this.area.value.length : end);
    this.lines.children[line - 1]?.scrollIntoView({ block: "nearest" });
  }
}
