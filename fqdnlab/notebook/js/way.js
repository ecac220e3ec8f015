// The way of a flow as SVG.  Two layouts: wide, and one for narrow columns; what is drawn comes from
// way_model.py, where it goes stands here.

const SVG = "http://www.w3.org/2000/svg";
const NARROW = 500;
const HALF = { w: 60, h: 21 };

// Places: centre of each node.  Edges: path, then where the label stands and its anchor.
const LAYOUTS = {
  wide: {
    box: "0 0 700 276",
    nodes: { endpoint: [66, 156], enforcer: [256, 156], proxy: [428, 52], agent: [428, 244], server: [634, 52], address: [634, 156] },
    edges: {
      query: ["M126,148 H192", 159, 126],
      redirect: ["M256,135 C256,84 300,60 364,58", 262, 92],
      ask: ["M488,44 H570", 530, 20],
      answer: ["M574,60 H492", 530, 92],
      mapping: ["M428,73 V219", 436, 122, "start"],
      entries: ["M368,250 C300,250 268,226 264,181", 330, 270],
      release: ["M368,44 C200,20 74,50 66,131", 180, 26],
      packet: ["M126,164 H192", 159, 196],
      forward: ["M316,156 H570", 534, 176],
      taken: ["M270,135 C280,96 330,70 372,73", 340, 112],
      deliver: ["M196,164 H130", 159, 196],
      arrive: ["M574,156 H320", 534, 176],
    },
    cross: { enforcer: [336, 156, 346, 178, "start"], proxy: [428, 90, 440, 94, "start"] },
  },
  narrow: {
    box: "-60 0 460 430", // with room for labels on both sides
    nodes: { server: [290, 30], proxy: [290, 130], agent: [290, 270], endpoint: [68, 130], enforcer: [68, 270], address: [68, 400] },
    edges: {
      query: ["M52,151 V245", 46, 202, "end"],
      redirect: ["M128,262 C200,256 230,210 262,155", 190, 228],
      ask: ["M276,109 V55", 270, 84, "end"],
      answer: ["M304,51 V105", 310, 84, "start"],
      mapping: ["M304,151 V245", 352, 186, "end"],
      entries: ["M230,276 H132", 186, 296],
      release: ["M230,130 H132", 182, 112],
      packet: ["M84,151 V245", 92, 202, "start"],
      forward: ["M68,291 V375", 78, 350, "start"],
      taken: ["M128,270 C210,264 240,216 274,155", 200, 246],
      deliver: ["M84,249 V155", 92, 202, "start"],
      arrive: ["M68,379 V295", 78, 350, "start"],
    },
    cross: { enforcer: [68, 310, 84, 326, "start"], proxy: [216, 152, 204, 170, "middle"] },
  },
};

function s(tag, attrs = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attrs)) made.setAttribute(key, String(value));
  made.append(...children.flat());
  return made;
}

const number = (n) => n.toLocaleString("en");

function drawNode(node, [x, y]) {
  return s("g", { class: "fq-node", "data-node": node.id, "data-state": node.state },
    s("rect", { x: x - HALF.w, y: y - HALF.h, width: 2 * HALF.w, height: 2 * HALF.h, rx: 6 }),
    s("text", { class: "fq-title", x, y: y - 3, ...squeezed(node.title, 15) }, node.title),
    s("text", { class: "fq-kind", x, y: y + 12 }, node.kind));
}

/** Long titles (IPv6) are squeezed into their box. */
const squeezed = (text, most) =>
  text.length > most ? { textLength: 2 * HALF.w - 10, lengthAdjust: "spacingAndGlyphs" } : {};

function drawEdge(edge, layout, heads) {
  const key = edge.id === "packet" && edge.from === "address" ? "arrive" : edge.id;
  const [d, x, y, anchor = "middle"] = layout.edges[key];
  const lit = edge.state !== "pale";
  const path = s("path", { d, ...(lit ? { "marker-end": `url(#${heads}-${edge.state})` } : {}) });
  const label = s("text", { x, y, style: `text-anchor:${anchor}` }, `${edge.step} ${edge.text}`);
  if (edge.count) label.append(s("tspan", { class: "fq-count" }, ` · ${number(edge.count)}`));
  return s("g", { class: "fq-edge", "data-edge": edge.id, "data-state": edge.state },
    s("title", {}, `way ${edge.way}: ${edge.text}`), path, ...(lit ? [label] : []));
}

function drawCross(cross, layout) {
  const [x, y, tx, ty, anchor] = layout.cross[cross.at];
  const label = s("text", { x: tx, y: ty, style: `text-anchor:${anchor}` }, cross.text);
  if (cross.count) label.append(` · ${number(cross.count)}`);
  return s("g", { class: "fq-cross", "data-at": cross.at },
    s("path", { d: `M${x - 6},${y - 6} l12,12 m0,-12 l-12,12` }), label);
}

/** Arrow heads, in the colour of their line. */
function arrows(heads) {
  const one = (state, colour) => s("marker", { id: `${heads}-${state}`, viewBox: "0 0 8 8", refX: 4, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
    s("path", { d: "M0,0 L8,4 L0,8 z", style: `fill:var(${colour})` }));
  return s("defs", { class: "fq-heads" }, one("lit", "--fq-allow"), one("waits", "--fq-wait"));
}

export default {
  render({ model, el, signal: given }) {
    const { signal, end } = lifetime(given);
    const touch = attend(model, el, signal);
    const heads = `fq-${crypto.randomUUID()}`;
    const title = h("span", {}, "Way of the selected packet");
    const note = h("small", {});
    const hint = h("p", { class: "fq-dim" }, "Choose a flow in the table: click it, or arrow keys and Enter.");
    const canvas = h("div", {});
    const key = h("p", { class: "fq-key fq-dim", hidden: true }, "Numbers are steps in their order; after “·” stands how many of this endpoint’s last flows went there. Dashed: away or waiting. Pale: not reached.");
    const told = h("p", { class: "fq-told", role: "status" });
    const aloud = h("div", { class: "fq-aloud", role: "status", "aria-live": "polite" });
    el.prepend(h("div", { class: "fq-panel fq-way" }, h("h2", {}, title, note), hint, canvas, key, told, aloud));

    const draw = () => {
      const found = model.get("picture");
      hint.hidden = Boolean(found.nodes);
      key.hidden = !found.nodes;
      if (!found.nodes) {
        put(canvas, "");
        note.textContent = "";
        return;
      }
      const narrow = el.clientWidth > 0 && el.clientWidth < NARROW;
      const layout = LAYOUTS[narrow ? "narrow" : "wide"];
      note.textContent = found.note;
      const drawn = s("svg", { viewBox: layout.box, "data-layout": narrow ? "narrow" : "wide", role: "img", "aria-label": found.told });
      put(canvas, JSON.stringify([narrow, found]), drawn);
      if (canvas.firstChild !== drawn) return;
      const pale = found.edges.filter((e) => e.state === "pale");
      const rest = found.edges.filter((e) => e.state !== "pale");
      drawn.append(arrows(heads), ...[...pale, ...rest].map((e) => drawEdge(e, layout, heads)),
        ...found.nodes.map((n) => drawNode(n, layout.nodes[n.id])),
        ...(found.cross ? [drawCross(found.cross, layout)] : []));
      if (aloud.textContent !== found.told) aloud.textContent = found.told;
    };
    touch.on("told", ({ text, well }) => {
      told.textContent = well ? "" : text;
      told.dataset.level = well ? "ok" : "bad";
    });
    follow(model, signal, ["picture"], draw);
    const sized = new ResizeObserver(draw);
    sized.observe(el);
    signal.addEventListener("abort", () => sized.disconnect());
    return end;
  },
};
