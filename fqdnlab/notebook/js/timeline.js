// The live timeline on a canvas: bars, the life of names, bands and changes on one time axis.

const LEFT = 168;
const RIGHT = 12;
const TOP = 34;
const UP = 58;
const DOWN = 34;
const LANE = 21;
const MARK_GAP = 11;

/** Colours of the theme, read from the CSS variables of the panel. */
function palette(el) {
  const style = getComputedStyle(el);
  const get = (name) => style.getPropertyValue(`--fq-${name}`).trim();
  return Object.fromEntries(
    ["bg", "ink", "dim", "line", "allow", "drop", "wait", "wait-ink", "drop-ink", "allow-ink"].map((n) => [n, get(n)]));
}

function hatch(context, colour) {
  const tile = new OffscreenCanvas(7, 7);
  const c = tile.getContext("2d");
  c.strokeStyle = colour;
  c.lineWidth = 1.6;
  c.beginPath();
  for (const d of [-7, 0, 7]) {
    c.moveTo(d, 7);
    c.lineTo(d + 7, 0);
  }
  c.stroke();
  return context.createPattern(tile, "repeat");
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((m) => m * power).find((m) => m >= value);
}

class Drawing {
  constructor(canvas, el) {
    this.canvas = canvas;
    this.el = el;
    this.scale = 1;
  }

  lanes(picture) {
    return picture.names.reduce((sum, n) => sum + Math.max(1, n.lanes.length), 0);
  }

  draw(picture) {
    const { canvas } = this;
    const width = Math.max(320, canvas.parentNode.clientWidth);
    const lanes = Math.max(5, this.lanes(picture));
    const height = TOP + UP + DOWN + 14 + lanes * LANE + 26;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    Object.assign(this, { c, width, height, picture, colours: palette(this.el) });
    const style = getComputedStyle(this.el);
    this.font = `11px ${style.fontFamily}`;
    this.mono = `10.5px ${style.getPropertyValue("--fq-mono")}`;
    this.bottom = height - 24;
    c.fillStyle = this.colours.bg;
    c.fillRect(0, 0, width, height);
    c.textBaseline = "middle";
    this.bands();
    this.bars();
    this.names();
    this.changes();
    this.axis();
  }

  x(time) {
    const { now, seconds } = this.picture;
    const at = Math.max(now - seconds, Math.min(now, time));
    return LEFT + ((at - now + seconds) / seconds) * (this.width - LEFT - RIGHT);
  }

  text(words, x, y, colour, font = this.font, align = "left") {
    this.c.font = font;
    this.c.textAlign = align;
    this.c.fillStyle = colour;
    this.c.fillText(words, x, y);
  }

  fit(words, room) {
    this.c.font = this.font;
    if (this.c.measureText(words).width <= room) return words;
    let cut = words.length;
    while (cut > 1 && this.c.measureText(`…${words.slice(-cut)}`).width > room) cut -= 1;
    return `…${words.slice(-cut)}`;
  }

  bands() {
    const { c, colours } = this;
    let free = -Infinity;
    for (const band of this.picture.bands) {
      const bad = band.what !== "upgraded";
      const from = this.x(band.start);
      const to = Math.max(from + 3, this.x(band.stop));
      c.globalAlpha = bad ? 0.11 : 0.16;
      c.fillStyle = bad ? colours.drop : colours.dim;
      c.fillRect(from, TOP - 8, to - from, this.bottom - TOP + 8);
      c.globalAlpha = 1;
      c.font = this.font;
      const room = c.measureText(band.text).width;
      const x = Math.min(from, this.width - RIGHT - room);
      if (x < free) continue;
      this.text(band.text, x, 8, bad ? colours["drop-ink"] : colours.dim);
      free = x + room + 8;
    }
  }

  bars() {
    const { c, colours, picture } = this;
    const base = TOP + UP;
    const top = nice(Math.max(4, ...picture.allowed));
    const low = nice(Math.max(2, ...picture.dropped));
    const scale = Math.min(UP / top, (DOWN / low));
    const tall = (n) => Math.min(n * scale, n > 0 ? Infinity : 0);
    for (const value of [top, top / 2]) {
      const y = base - value * scale;
      if (y < TOP - 2) continue;
      c.strokeStyle = colours.line;
      c.beginPath();
      c.moveTo(LEFT, Math.round(y) + 0.5);
      c.lineTo(this.width - RIGHT, Math.round(y) + 0.5);
      c.stroke();
      this.text(value.toLocaleString("en"), LEFT - 8, y, colours.dim, this.mono, "right");
    }
    this.text("▲ allowed /s", 0, base - UP / 2 + 6, colours.ink);
    this.text("✕ dropped /s", 0, base + 12, colours.ink);
    picture.allowed.forEach((count, i) => {
      const from = this.x(picture.first + i);
      const wide = this.x(picture.first + i + 1) - from - 1;
      if (wide <= 0) return;
      c.fillStyle = colours.allow;
      const up = count ? Math.max(1, tall(count)) : 0;
      c.fillRect(from, base - up, wide, up);
      const dropped = picture.dropped[i];
      c.fillStyle = colours.drop;
      c.fillRect(from, base + 1, wide, dropped ? Math.max(1, tall(dropped)) : 0);
    });
    c.strokeStyle = colours.ink;
    c.beginPath();
    c.moveTo(LEFT, base + 0.5);
    c.lineTo(this.width - RIGHT, base + 0.5);
    c.stroke();
  }

  names() {
    const { c, colours, picture } = this;
    let y = TOP + UP + DOWN + 14;
    picture.names.forEach((one, i) => {
      if (i) {
        c.strokeStyle = colours.line;
        c.beginPath();
        c.moveTo(0, Math.round(y) + 0.5);
        c.lineTo(this.width - RIGHT, Math.round(y) + 0.5);
        c.stroke();
      }
      this.text(this.fit(one.name, LEFT - 12), 0, y + LANE / 2, colours.ink);
      one.lanes.forEach((lane, j) => lane.spans.forEach((s) => this.span(lane.address, s, y + j * LANE)));
      let last = Infinity; // from the right: the newest is always there, one on another never
      for (const at of one.refused.slice().reverse()) {
        const x = this.x(at);
        if (last - x < MARK_GAP) continue;
        this.cross(x, y + LANE / 2);
        last = x;
      }
      y += LANE * Math.max(1, one.lanes.length);
    });
    if (!picture.names.length) this.text("No name has been looked up yet.", LEFT, y + LANE / 2, colours.dim);
    if (picture.hidden) this.text(`${picture.hidden} more lanes`, 0, this.bottom + 14, colours.dim);
  }

  span(address, [start, stop, state], y) {
    const { c, colours } = this;
    const from = this.x(start);
    const wide = Math.max(2, this.x(stop) - from);
    const box = [from, y + 4, wide, LANE - 8];
    if (state === "enforced") {
      c.fillStyle = colours.allow;
      c.fillRect(...box);
    } else if (state === "waits") {
      c.fillStyle = hatch(c, colours.wait);
      c.fillRect(...box);
      c.strokeStyle = colours.wait;
      c.strokeRect(from + 0.5, y + 4.5, wide - 1, LANE - 9);
    } else {
      c.globalAlpha = 0.3;
      c.fillStyle = state === "zombie" ? colours.allow : colours.dim;
      c.fillRect(...box);
      c.globalAlpha = 1;
    }
    this.label(address, state, from, wide, y + LANE / 2);
  }

  label(address, state, from, wide, y) {
    const { c, colours } = this;
    const words = { enforced: "", zombie: " expired, connection alive", waits: " resolved, waits for the agent", resolved: " resolved, no rule" }[state];
    c.font = this.mono;
    const whole = c.measureText(address + words).width;
    const short = c.measureText(address).width;
    const inside = state === "enforced" ? colours.bg : colours.ink;
    if (state === "waits") {
      const ink = colours["wait-ink"];
      if (from - LEFT > whole + 20) this.text(`${address}${words} →`, from - 6, y, ink, this.mono, "right");
      else if (this.width - RIGHT - from - wide > whole + 10) this.text(`← ${address}${words}`, from + wide + 5, y, ink, this.mono);
      else {
        c.fillStyle = colours.bg;
        c.fillRect(from + 4, y - 6, whole + 6, 12);
        this.text(address + words, from + 7, y, ink, this.mono);
      }
    } else if (wide > whole + 10) this.text(address + words, from + 6, y, inside, this.mono);
    else if (wide > short + 8) this.text(address, from + 6, y, inside, this.mono);
    else if (from - LEFT > short + 8) this.text(address, from - 6, y, colours.dim, this.mono, "right");
  }

  cross(x, y) {
    this.text("✕", x, y, this.colours.drop, `bold 11px ${getComputedStyle(this.el).fontFamily}`, "center");
  }

  changes() {
    const { c, colours } = this;
    let free = -Infinity;
    for (const change of this.picture.changes) {
      const x = Math.round(this.x(change.time)) + 0.5;
      c.strokeStyle = colours.ink;
      c.setLineDash([2, 3]);
      c.beginPath();
      c.moveTo(x, TOP - 8);
      c.lineTo(x, this.bottom);
      c.stroke();
      c.setLineDash([]);
      c.font = this.font;
      const room = c.measureText(change.text).width;
      const at = Math.min(x + 4, this.width - RIGHT - room);
      if (at < free) continue;
      this.text(change.text, at, 22, colours.ink);
      free = at + room + 8;
    }
  }

  axis() {
    const { now, seconds } = this.picture;
    const step = seconds <= 120 ? 15 : 60;
    for (let t = -Math.floor(seconds / step) * step; t <= 0; t += step) {
      const align = t === 0 ? "right" : "center";
      this.text(t ? `${t} s` : "now", this.x(now + t), this.bottom + 12, this.colours.dim, this.font, align);
    }
  }
}

/** What the picture shows, in words, for who cannot see it. */
function inWords(picture) {
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const waits = picture.names.flatMap((n) => n.lanes.filter((l) => l.spans.at(-1)?.[2] === "waits").map((l) => `${l.address} of ${n.name}`));
  return `Last ${picture.seconds} seconds: ${sum(picture.allowed)} flows allowed, ${sum(picture.dropped)} dropped. ` +
    picture.bands.map((b) => `${b.text}. `).join("") + (waits.length ? `Waiting for the agent: ${waits.join(", ")}.` : "");
}

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const canvas = h("canvas", { role: "img" });
    const box = h("div", { class: "fq-canvas" }, canvas);
    const drawing = new Drawing(canvas, el);
    let picture = null;
    let paused = false;
    let asked = false;
    const name = () => `${model.get("lab_name")}-timeline`;
    const pause = h("button", {
      onclick: () => {
        paused = !paused;
        pause.textContent = paused ? "Follow" : "Pause";
        pause.setAttribute("aria-pressed", String(paused));
      },
      "aria-pressed": "false",
    }, "Pause");
    const png = h("button", { onclick: () => canvas.toBlob((blob) => save(`${name()}.png`, blob)) }, "PNG");
    const html = h("button", { onclick: () => { html.disabled = true; tell(model, { do: "html" }); } }, "HTML");
    const note = h("small", {}, `last ${model.get("seconds")} s, one time axis`);
    const told = h("small", { class: "fq-told", role: "status" });
    el.prepend(h("div", { class: "fq-panel" },
      h("h2", {}, "Flows and names", note, told, h("span", { class: "fq-tools" }, pause, png, html)), box));

    const frame = () => {
      asked = false;
      if (!picture || !canvas.isConnected) return;
      drawing.draw(picture);
      const words = inWords(picture);
      canvas.setAttribute("aria-label", words);
      el.fqdnlab = { picture };
    };
    const soon = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(frame);
    };
    touch.on("picture", (message) => {
      if (paused) return;
      picture = message.picture;
      soon();
    });
    touch.on("html", ({ page }) => {
      html.disabled = false;
      save(`${name()}.html`, new Blob([page], { type: "text/html" }));
    });
    touch.on("told", ({ text, well }) => {
      html.disabled = false;
      told.textContent = well ? "" : text;
    });
    const sized = new ResizeObserver(soon);
    sized.observe(box);
    const themed = new MutationObserver(soon);
    themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    signal.addEventListener("abort", () => {
      sized.disconnect();
      themed.disconnect();
    });
    return end;
  },
};
