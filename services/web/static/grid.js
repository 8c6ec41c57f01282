// The pages of a job as tiles. A document may have thousands, so an update touches only the tiles that changed.

import { byId, el, setText, show } from "./element.js";
import { pageNumbers, pageState, pageWord } from "./state.js";

// Pixels: the width of a tile, twice, for screens of that density.
const THUMBNAIL = 300;

export class Grid {
  #tiles = new Map();
  #jobId;
  #shown = "all";

  constructor(jobId) {
    this.#jobId = jobId;
    byId("grid").replaceChildren();
  }

  // Which pages are shown: "all", "check" or "failed".
  get shown() {
    return this.#shown;
  }

  get counts() {
    const counts = { check: 0, failed: 0 };
    for (const { state } of this.#tiles.values()) {
      if (state === "doubtful") counts.check += 1;
      else if (state === "failed") counts.failed += 1;
    }
    return counts;
  }

  show(name) {
    this.#shown = name;
    for (const tile of this.#tiles.values()) this.#hide(tile);
  }

  #hide(tile) {
    const wanted = { all: true, check: tile.state === "doubtful", failed: tile.state === "failed" }[this.#shown];
    show(tile.node, wanted);
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
      tile.update(page, job);
      this.#hide(tile);
    }
    if (added.length) byId("grid").append(...added);
  }
}

class Tile {
  state = null;
  #image = null;
  #address;

  constructor(jobId, number) {
    this.#address = `/api/jobs/${encodeURIComponent(jobId)}/pages/${number}/image?width=${THUMBNAIL}`;
    this.sheet = el("span", { class: "tile-sheet" });
    this.word = el("span", { class: "tile-word" });
    this.link = el(
      "a",
      { href: `#/jobs/${encodeURIComponent(jobId)}/pages/${number}`, class: "tile" },
      this.sheet,
      el(
        "span",
        { class: "tile-caption" },
        el("span", { class: "tile-number" }, el("span", { class: "visually-hidden" }, "Page "), String(number)),
        this.word,
      ),
    );
    this.node = el("li", {}, this.link);
  }

  update(page, job) {
    const state = pageState(page, job);
    if (state !== this.state) {
      this.state = state;
      this.link.dataset.state = state;
      setText(this.word, pageWord(state));
    }
    if (page.image && page.image !== this.#image) {
      this.#image = page.image;
      this.sheet.replaceChildren(el("img", { loading: "lazy", decoding: "async", alt: "", src: this.#address }));
    }
  }
}
