// The text of a page, rendered: the line that is pointed at, words that were searched for, formulas.
//
// Places are those of scan.js.

import { byId } from "../element.js";
import { renderFormulas } from "./formula.js";
import { matches } from "./matches.js";
import { Roving } from "./roving.js";
import { placeOf } from "./scan.js";

// The name of the highlight in styles/base.css.
const FOUND = "found";

export class Prose {
  #article = byId("rendered").cloneNode(false);
  #roving;
  #pattern = null;

  constructor({ pointed, chosen }) {
    // A new element: what the reader of the document before listened to is gone with the old one.
    byId("rendered").replaceWith(this.#article);
    const over = (event) => pointed(placeOf(event.target));
    const out = () => pointed(null);
    this.#article.addEventListener("pointerover", over);
    this.#article.addEventListener("pointerout", out);
    this.#article.addEventListener("focusin", over);
    this.#article.addEventListener("focusout", out);
    this.#article.addEventListener("click", (event) => {
      const place = placeOf(event.target);
      if (place && getSelection().isCollapsed) chosen(place);
    });
    this.#roving = new Roving(this.#article, "[data-line]");
  }

  get text() {
    return this.#article.innerText;
  }

  // The page's HTML, which the service has sanitised, and its JSON.
  async fill(html, json) {
    // Parsed into a document of its own, it runs and loads nothing until inserted.
    const parsed = new DOMParser().parseFromString(html, "text/html");
    for (const block of json.blocks) if (block.cells) nameCells(parsed, block);
    for (const node of parsed.querySelectorAll("[data-line]")) node.tabIndex = -1;
    this.#article.replaceChildren(...parsed.body.childNodes);
    this.#roving.renew();
    this.find(this.#pattern);
    // Only models write formulas into running text: elsewhere dollars are money.
    if (await renderFormulas(this.#article, json.source === "model")) this.find(this.#pattern);
  }

  mark(place, { reveal = false } = {}) {
    for (const node of this.#article.querySelectorAll(".marked")) node.classList.remove("marked");
    if (!place) return;
    const blocks = [...this.#article.querySelectorAll(`[data-block~="${CSS.escape(place.block)}"]`)];
    const exact = blocks.flatMap((block) => place.lines.flatMap((line) => [...block.querySelectorAll(`[data-line~="${CSS.escape(line)}"]`)]));
    const nodes = exact.length ? exact : blocks;
    for (const node of nodes) node.classList.add("marked");
    if (reveal) nodes[0]?.scrollIntoView({ block: "nearest" });
  }

  // Highlights what matches; nothing where `pattern` is null.
  find(pattern) {
    this.#pattern = pattern;
    if (!CSS.highlights) return;
    CSS.highlights.delete(FOUND);
    const ranges = pattern ? matches(this.#article, pattern) : [];
    if (ranges.length) CSS.highlights.set(FOUND, new Highlight(...ranges));
  }
}

// Names the lines that each cell of a table was printed on: those whose middle is in the cell's box.
function nameCells(parsed, block) {
  const shown = parsed.querySelectorAll(`table[data-block="${CSS.escape(block.id)}"] :is(td, th)`);
  const cells = [...block.cells].sort((a, b) => a.row - b.row || a.column - b.column);
  if (shown.length !== cells.length) return;
  cells.forEach(({ box }, at) => {
    if (!box) return;
    const inside = ({ box: corners }) => {
      const [x, y] = [0, 1].map((axis) => corners.reduce((sum, corner) => sum + corner[axis], 0) / corners.length);
      return x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3];
    };
    const lines = (block.lines ?? []).flatMap((line, number) => (inside(line) ? [number] : []));
    if (lines.length) shown[at].dataset.line = lines.join(" ");
  });
}
