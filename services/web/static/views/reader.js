// The reader: one page's image beside its text, each line marked on both.

import { byId, setText } from "../element.js";
import { Again } from "../reader/again.js";
import { Prose } from "../reader/prose.js";
import { Reading } from "../reader/reading.js";
import { Scan } from "../reader/scan.js";
import { isEnded, pageNumbers } from "../state.js";

export class Reader {
  #jobId;
  #leave;
  #job = null;
  #urlOf = null;
  #page = null;
  #shown = "";
  // The place that was chosen last on this page: it stays marked while nothing is pointed at.
  #chosen = null;
  #scan;
  #prose;
  #reading;
  #again;
  #keys = (event) => this.#key(event);

  // `retry(pages)` reads failed pages again and shows a fault itself; `again(page, choices)` reads any page again, with
  // another `engine`, `ocr` or `dpi`, and throws Problem; `leave()` goes back to the document.
  constructor(jobId, { retry, again, leave }) {
    [this.#jobId, this.#leave] = [jobId, leave];
    const pointed = (place) => {
      this.#scan.mark(place ?? this.#chosen);
      this.#prose.mark(place ?? this.#chosen);
    };
    this.#scan = new Scan({
      pointed,
      chosen: (place) => {
        this.#chosen = place;
        this.#tab("text");
        this.#reading.switch(false);
        this.#prose.mark(place, { reveal: true });
      },
    });
    this.#prose = new Prose({
      pointed,
      chosen: (place) => {
        this.#chosen = place;
        this.#scan.mark(place, { reveal: true });
      },
    });
    this.#reading = new Reading(jobId, this.#prose, {
      retry,
      filled: (json) => {
        // An earlier reading may be of an image at another resolution.
        this.#scan.show(this.#urlOf(json.image), `Image of page ${json.page_no}`);
        this.#scan.place(json.blocks, json.rotation);
      },
    });
    this.#again = new Again(async (page, choices) => {
      await again(page, choices);
      this.#reading.awaitNext();
    });
    byId("again-open").onclick = () => this.#again.open(this.#page, this.#job, this.#reading.engine);
    byId("tab-picture").onclick = () => this.#tab("picture");
    byId("tab-text").onclick = () => this.#tab("text");
    byId("reader-back").onclick = (event) => this.#follow(event, () => this.#leave());
    for (const name of ["reader-prev", "reader-next"]) byId(name).onclick = (event) => this.#follow(event, () => this.#turn(name));
    this.#tab("text");
  }

  get page() {
    return this.#page;
  }

  open(page) {
    if (page === this.#page) return;
    if (this.#page === null) document.addEventListener("keydown", this.#keys);
    this.#page = page;
    this.#shown = "";
    this.#chosen = null;
    this.#draw();
  }

  close() {
    this.#page = null;
    this.#again.close();
    this.#reading.stop();
    document.removeEventListener("keydown", this.#keys);
  }

  // No page of this document is opened any more.
  end() {
    this.close();
    this.#scan.close();
    this.find(null);
  }

  update(job, urlOf) {
    this.#job = job;
    this.#urlOf = urlOf;
    if (this.#page !== null) this.#draw();
  }

  // Emphasises what matches the pattern, on every page; nothing where it is null.
  find(pattern) {
    this.#scan.find(pattern);
    this.#prose.find(pattern);
  }

  complain(problem) {
    this.#reading.complain(problem);
  }

  #href(page) {
    return `#/jobs/${encodeURIComponent(this.#jobId)}/pages/${page}`;
  }

  #draw() {
    const job = this.#job;
    if (!job) return this.#blank("Loading…");
    const pages = pageNumbers(job);
    const at = pages.indexOf(this.#page);
    const back = byId("reader-back");
    back.href = `#/jobs/${encodeURIComponent(this.#jobId)}`;
    setText(back, job.file_info.filename);
    setText(byId("reader-title"), `Page ${this.#page} of ${job.file_info.total_pages || pages.length}`);
    const beside = (by) => (at < 0 ? undefined : pages[at + by]);
    step(byId("reader-prev"), beside(-1), (page) => this.#href(page));
    step(byId("reader-next"), beside(1), (page) => this.#href(page));
    const page = job.pages[this.#page];
    if (!page) return this.#blank(pages.length ? "This page is not part of this document's selection." : "The document is being opened…");
    // A page that has an outcome is read again only once all others have theirs.
    byId("again-open").title = isEnded(job) ? "" : "A page can be read again when all pages have been read.";
    byId("again-open").disabled = !isEnded(job) || !["completed", "failed"].includes(page.status);
    const version = [this.#page, page.status, page.image, page.run, page.error, page.reread?.read_in, page.reread?.error, isEnded(job)].join("|");
    if (version === this.#shown) return undefined;
    this.#shown = version;
    this.#image(page, beside(1));
    if (page.status === "failed") this.#tab("text");
    return this.#reading.show(this.#page, page, job);
  }

  #blank(message) {
    this.#shown = "";
    byId("again-open").disabled = true;
    this.#scan.show(null, "");
    this.#reading.say(message);
    return undefined;
  }

  #image(page, next) {
    this.#scan.show(page.image && this.#urlOf ? this.#urlOf(page.image) : null, `Image of page ${this.#page}`);
    // Preloaded: the next page is most likely to be opened next.
    const after = next === undefined ? null : this.#job.pages[next].image;
    if (after) new Image().src = this.#urlOf(after);
  }

  // On narrow windows one of the two is shown.
  #tab(name) {
    byId("spread").dataset.tab = name;
    byId("tab-picture").setAttribute("aria-pressed", String(name === "picture"));
    byId("tab-text").setAttribute("aria-pressed", String(name === "text"));
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.closest("dialog")) return;
    // Shift is how many keyboards type a plus.
    const act = { "+": () => this.#scan.zoom(1), "-": () => this.#scan.zoom(-1), 0: () => this.#scan.zoom(0), r: () => this.#scan.turn() }[event.key];
    if (act) {
      event.preventDefault();
      act();
      return;
    }
    if (event.shiftKey) return;
    if (event.key === "Escape") {
      event.preventDefault();
      this.#leave();
      return;
    }
    const link = { ArrowLeft: "reader-prev", ArrowRight: "reader-next" }[event.key];
    if (!link || !byId(link).hasAttribute("href")) return;
    // The same keys scroll a wide table or a long Markdown line sideways.
    if (event.target.scrollWidth > event.target.clientWidth + 1 && event.target.closest("#rendered, #raw")) return;
    event.preventDefault();
    this.#turn(link);
  }

  // A plain click goes on in this window without an entry in its history for every page.
  #follow(event, go) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go();
  }

  #turn(link) {
    const href = byId(link).getAttribute("href");
    if (!href) return;
    location.replace(href);
    // hashchange comes later: without this, a second key before it would go to the same page again.
    this.open(Number(href.split("/").at(-1)));
  }
}

function step(link, page, href) {
  if (page === undefined) {
    link.removeAttribute("href");
    link.setAttribute("aria-disabled", "true");
  } else {
    link.href = href(page);
    link.removeAttribute("aria-disabled");
  }
}
