// The pages of a job as tiles. A document may have thousands, so an update touches only the tiles that changed.

import { byId, el, setText } from "./element.js";
import { pageNumbers, pageState, pageWord } from "./state.js";

export class Grid {
  #tiles = new Map();
  #jobId;
  #urlOf;

  constructor(jobId, urlOf) {
    this.#jobId = jobId;
    this.#urlOf = urlOf;
    byId("grid").replaceChildren();
  }

  update(job) {
    const added = [];
    for (const number of pageNumbers(job)) {
      const page = job.pages[number];
      let tile = this.#tiles.get(number);
      if (!tile) {
        tile = new Tile(this.#jobId, number);
        this.#tiles.set(number, tile);
        added.push(tile.node);
      }
      tile.update(page, job, this.#urlOf);
    }
    if (added.length) byId("grid").append(...added);
  }
}

class Tile {
  #state = null;
  #image = null;

  constructor(jobId, number) {
    this.number = number;
    this.sheet = el("span", { class: "tile-sheet" });
    this.word = el("span", { class: "tile-word" });
    this.link = el(
      "a",
      { href: `#/jobs/${encodeURIComponent(jobId)}/pages/${number}`, class: "tile" },
      this.sheet,
      el("span", { class: "tile-caption" }, el("span", { class: "tile-number" }, String(number)), this.word),
    );
    this.node = el("li", {}, this.link);
  }

  update(page, job, urlOf) {
    const state = pageState(page, job);
    if (state !== this.#state) {
      this.#state = state;
      this.link.dataset.state = state;
      this.link.setAttribute("aria-label", `Page ${this.number}, ${pageWord(state).toLowerCase()}`);
      setText(this.word, pageWord(state));
    }
    if (page.image && page.image !== this.#image) {
      this.#image = page.image;
      const url = urlOf(page.image);
      if (url) this.sheet.replaceChildren(el("img", { loading: "lazy", decoding: "async", alt: "", src: url }));
    }
  }
}
