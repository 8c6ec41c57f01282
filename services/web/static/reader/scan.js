// The image of a page with the places of its lines over it: zoom, turn, and the line that is pointed at.
//
// A place is { block, lines }: the id of a block of the page's JSON and the indexes of lines in it, none for the whole
// block. `pointed(place)` is called while the pointer or the focus is on a line, with null after it; `chosen(place)` when
// the line is clicked or Enter is pressed on it.

import Panzoom from "../vendor/panzoom.js";
import { byId, el, setText, show } from "../element.js";
import { Roving } from "./roving.js";

const SVG = "http://www.w3.org/2000/svg";
// The largest zoom. Chosen: print of 4 points at 150 DPI, some 8 pixels, is then as high as a heading.
const LARGEST = 6;

export class Scan {
  #pointed;
  #chosen;
  #url = null;
  #size = null;
  #turned = 0;
  #blocks = [];
  #found = null;
  #rotation = 0;
  #panzoom;
  #roving;
  #image = svg("image", { role: "img" });
  #places = svg("g", { class: "places" });
  #upright = svg("g");
  #drawing = svg("svg", { class: "scan-drawing", role: "group", "aria-label": "Page image" });
  #sheet = el("div", { class: "scan-sheet" });

  constructor({ pointed, chosen }) {
    [this.#pointed, this.#chosen] = [pointed, chosen];
    this.#upright.append(this.#image, this.#places);
    this.#drawing.append(this.#upright);
    this.#sheet.append(this.#drawing);
    byId("scan-window").replaceChildren(this.#sheet);
    this.#roving = new Roving(this.#sheet, ".place-line", (polygon) => this.#reveal(polygon));
    this.#listen();
    this.#panzoom = Panzoom(this.#sheet, {
      minScale: 1,
      maxScale: LARGEST,
      contain: "outside",
      panOnlyWhenZoomed: true,
      cursor: "default",
      touchAction: "pan-y",
      // By default every press is cancelled: then no line could be clicked, and no page scrolled.
      handleStartEvent: (event) => this.#panzoom.getScale() > 1 && event.preventDefault(),
    });
    this.#sheet.addEventListener("panzoomchange", () => this.#zoomed());
    this.#sheet.addEventListener("wheel", (event) => (event.ctrlKey || event.metaKey) && this.#panzoom.zoomWithWheel(event), {
      passive: false,
    });
    byId("zoom-in").onclick = () => this.zoom(1);
    byId("zoom-out").onclick = () => this.zoom(-1);
    byId("zoom-fit").onclick = () => this.zoom(0);
    byId("turn").onclick = () => this.turn();
    this.#zoomed();
  }

  close() {
    this.#panzoom.destroy();
    this.#url = null;
  }

  // Shows an image, or that there is none where `url` is null.
  async show(url, label) {
    show(byId("scan-window"), Boolean(url));
    show(byId("scan-tools"), Boolean(url));
    show(byId("scan-empty"), !url);
    setText(byId("scan-empty"), "There is no image of this page.");
    this.#image.setAttribute("aria-label", label);
    if (url === this.#url) return;
    this.#url = url;
    this.#turned = 0;
    this.#rotation = 0;
    this.#size = null;
    this.place([], 0);
    if (!url) return;
    byId("scan-link").href = url;
    this.#sheet.classList.add("loading");
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      if (this.#url !== url) return;
      show(byId("scan-window"), false);
      show(byId("scan-empty"), true);
      setText(byId("scan-empty"), "The image of this page could not be loaded.");
      return;
    }
    if (this.#url !== url) return;
    this.#size = { width: image.naturalWidth, height: image.naturalHeight };
    for (const name of ["width", "height"]) this.#image.setAttribute(name, this.#size[name]);
    this.#image.setAttribute("href", url);
    this.#sheet.classList.remove("loading");
    this.#panzoom.reset({ animate: false });
    this.#lay();
    this.#draw();
  }

  // The blocks of the page's JSON, and the clockwise turn in degrees that sets the image upright.
  place(blocks, rotation) {
    this.#blocks = blocks;
    if (rotation !== this.#rotation) {
      this.#rotation = rotation;
      this.#lay();
    }
    this.#draw();
  }

  // Emphasises a place, or none.
  mark(place, { reveal = false } = {}) {
    for (const node of this.#places.querySelectorAll(".marked")) node.classList.remove("marked");
    if (!place) return;
    const nodes = this.#nodes(place);
    for (const node of nodes) node.classList.add("marked");
    if (reveal && nodes.length) this.#reveal(nodes[0]);
  }

  // Emphasises the lines that match; none where `pattern` is null.
  find(pattern) {
    this.#found = pattern;
    for (const polygon of this.#places.querySelectorAll(".place-line")) {
      polygon.classList.toggle("found", Boolean(pattern) && polygon.getAttribute("aria-label").search(pattern) >= 0);
    }
  }

  // One step larger (1) or smaller (-1), or the whole page (0).
  zoom(step) {
    // Not animated: a reset in the middle of an animation measures the image as it is then, and does not end at 1.
    const at = { animate: false };
    if (step === 0) this.#panzoom.reset(at);
    else if (step > 0) this.#panzoom.zoomIn(at);
    else this.#panzoom.zoomOut(at);
  }

  turn() {
    this.#turned = (this.#turned + 90) % 360;
    this.#panzoom.reset({ animate: false });
    this.#lay();
  }

  #listen() {
    // On the sheet: Chromium lets the Tab key stop at an SVG group that listens to the focus.
    const over = (event) => this.#pointed(placeOf(event.target));
    const out = () => this.#pointed(null);
    this.#sheet.addEventListener("pointerover", over);
    this.#sheet.addEventListener("pointerout", out);
    this.#sheet.addEventListener("focusin", over);
    this.#sheet.addEventListener("focusout", out);
    const choose = (event) => {
      const place = placeOf(event.target);
      if (place) this.#chosen(place);
    };
    this.#sheet.addEventListener("click", choose);
    this.#sheet.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(event);
    });
  }

  #lay() {
    if (!this.#size) return;
    const { width, height } = this.#size;
    const turn = (((this.#rotation + this.#turned) % 360) + 360) % 360;
    const moved = { 0: "", 90: `translate(${height} 0) rotate(90)`, 180: `translate(${width} ${height}) rotate(180)`, 270: `translate(0 ${width}) rotate(270)` };
    this.#upright.setAttribute("transform", moved[turn] ?? "");
    this.#drawing.setAttribute("viewBox", turn % 180 ? `0 0 ${height} ${width}` : `0 0 ${width} ${height}`);
  }

  #draw() {
    this.#places.replaceChildren(...(this.#size ? this.#blocks.flatMap(drawn) : []));
    this.#roving.renew();
    this.find(this.#found);
  }

  #nodes({ block, lines }) {
    const own = [...this.#places.children].filter((node) => node.dataset.block === block);
    const exact = own.filter((node) => lines.includes(node.dataset.line));
    return exact.length ? exact : own;
  }

  // Moves a zoomed image until the line can be seen.
  #reveal(node) {
    const scale = this.#panzoom.getScale();
    if (scale <= 1) return;
    const [line, frame] = [node.getBoundingClientRect(), byId("scan-window").getBoundingClientRect()];
    const shift = (low, high, from, to) => (low >= from && high <= to ? 0 : (from + to - low - high) / 2);
    const [x, y] = [shift(line.left, line.right, frame.left, frame.right), shift(line.top, line.bottom, frame.top, frame.bottom)];
    if (x || y) this.#panzoom.pan(x / scale, y / scale, { relative: true });
  }

  #zoomed() {
    const scale = this.#panzoom.getScale();
    const touchAction = scale > 1 ? "none" : "pan-y";
    if (this.#panzoom.getOptions().touchAction !== touchAction) this.#panzoom.setOptions({ touchAction, cursor: scale > 1 ? "grab" : "default" });
    byId("zoom-out").disabled = byId("zoom-fit").disabled = scale <= 1;
    byId("zoom-in").disabled = scale >= LARGEST;
  }
}

export function placeOf(node) {
  const block = node.closest?.("[data-block]");
  if (!block) return null;
  const line = node.closest("[data-line]");
  return { block: block.dataset.block.split(" ")[0], lines: line ? line.dataset.line.split(" ") : [] };
}

function drawn(block) {
  const nodes = [];
  const lines = block.lines ?? [];
  if (block.box) {
    const [left, top, right, bottom] = block.box;
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    // A block without lines, such as a figure, takes the part of a line.
    if (lines.length) nodes.push(svg("polygon", { class: "place-block", points: points(corners), "data-block": block.id }));
    else nodes.push(line(block.id, null, corners, block.text || block.kind.replace("_", " ")));
  }
  lines.forEach(({ text, box }, at) => nodes.push(line(block.id, at, box, text)));
  return nodes;
}

function line(block, at, corners, text) {
  const node = svg("polygon", { class: "place-line", points: points(corners), "data-block": block, role: "button", "aria-label": text, tabindex: "-1" });
  if (at !== null) node.dataset.line = at;
  return node;
}

const points = (corners) => corners.map(([x, y]) => `${x},${y}`).join(" ");

function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
