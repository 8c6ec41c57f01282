// The reader: one page's image beside its text, each line marked on both.

import { byId, el, setText, show } from "../element.js";
import { problemBox, request } from "../http.js";
import { Prose } from "../reader/prose.js";
import { provenanceOf } from "../reader/provenance.js";
import { Scan } from "../reader/scan.js";
import { isEnded, pageNumbers, pageState, reason } from "../state.js";
import { html, render } from "../vendor/lit-html/lit-html.js";

// Pages whose text is kept for going back to them.
const KEPT_PAGES = 40;

export class Reader {
  #jobId;
  #retry;
  #leave;
  #job = null;
  #urlOf = null;
  #page = null;
  #shown = "";
  #asMarkdown = false;
  #markdown = "";
  #kept = new Map();
  #loading = null;
  #copied = 0;
  // The place that was chosen last on this page: it stays marked while nothing is pointed at.
  #chosen = null;
  #scan;
  #prose;
  #keys = (event) => this.#key(event);

  // `retry(pages)` reads pages again; `leave()` goes back to the document.
  constructor(jobId, { retry, leave }) {
    [this.#jobId, this.#retry, this.#leave] = [jobId, retry, leave];
    const pointed = (place) => {
      this.#scan.mark(place ?? this.#chosen);
      this.#prose.mark(place ?? this.#chosen);
    };
    this.#scan = new Scan({
      pointed,
      chosen: (place) => {
        this.#chosen = place;
        this.#tab("text");
        this.#switch(false);
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
    byId("as-text").onclick = () => this.#switch(false);
    byId("as-markdown").onclick = () => this.#switch(true);
    byId("copy").onclick = () => this.#copy();
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
    this.#loading?.abort();
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
    const box = byId("reader-state");
    box.replaceChildren(problemBox(problem));
    show(box, true);
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
    const version = [this.#page, page.status, page.image, page.processing_completed_at, page.error, isEnded(job)].join("|");
    if (version === this.#shown) return undefined;
    this.#shown = version;
    this.#image(page, beside(1));
    return this.#text(page, version);
  }

  #blank(message) {
    this.#shown = "";
    this.#scan.show(null, "");
    this.#state(el("p", {}, message));
    return undefined;
  }

  #image(page, next) {
    this.#scan.show(page.image && this.#urlOf ? this.#urlOf(page.image) : null, `Image of page ${this.#page}`);
    // Preloaded: the next page is most likely to be opened next.
    const after = next === undefined ? null : this.#job.pages[next].image;
    if (after) new Image().src = this.#urlOf(after);
  }

  async #text(page, version) {
    this.#loading?.abort();
    this.#loading = null;
    switch (pageState(page, this.#job)) {
      case "waiting":
        return this.#state(el("p", { class: "busy" }, "This page is being extracted…"));
      case "rendered":
        return this.#state(el("p", {}, "This page waits its turn to be read."));
      case "unread":
        return this.#state(el("p", {}, "This page was not read."));
      case "reading":
        return this.#state(el("p", { class: "busy" }, "This page is being read…"));
      case "blank":
        return this.#state(el("p", {}, "Nothing is printed on this page."));
      case "failed":
        return this.#failed(page);
      default:
        return this.#load(version, page);
    }
  }

  #failed(page) {
    this.#tab("text");
    const again = el("button", { type: "button", class: "button" }, "Retry this page");
    const number = this.#page;
    again.addEventListener("click", async () => {
      again.disabled = true;
      await this.#retry([number]);
      again.disabled = false;
    });
    const hint = isEnded(this.#job) ? "" : "You can retry it when the other pages have been read.";
    this.#state(problemBox({ title: "This page could not be read", detail: reason(page), hint }, ...(isEnded(this.#job) ? [again] : [])));
  }

  async #load(version, page) {
    const kept = this.#kept.get(version);
    if (kept) return this.#fill(kept);
    this.#state(el("p", { class: "busy" }, "Loading the text…"));
    const loading = new AbortController();
    this.#loading = loading;
    const url = `/api/jobs/${encodeURIComponent(this.#jobId)}/pages/${this.#page}`;
    try {
      const [markup, json] = await Promise.all([
        request(url, { accept: "text/html", signal: loading.signal }).then((response) => response.text()),
        request(url, { accept: "application/json", signal: loading.signal }).then((response) => response.json()),
      ]);
      if (this.#kept.size >= KEPT_PAGES) this.#kept.delete(this.#kept.keys().next().value);
      this.#kept.set(version, { markup, json });
      if (this.#loading === loading && this.#shown === version) this.#fill({ markup, json });
    } catch (problem) {
      if (problem.name === "AbortError" || this.#shown !== version) return undefined;
      const again = el("button", { type: "button", class: "button", onclick: () => this.#load(version, page) }, "Try again");
      this.#state(problemBox(problem, again));
    }
    return undefined;
  }

  #state(content) {
    byId("reader-state").replaceChildren(content);
    show(byId("reader-state"), true);
    for (const name of ["rendered", "raw", "provenance", "doubt"]) show(byId(name), false);
    byId("copy").disabled = true;
  }

  #fill({ markup, json }) {
    this.#markdown = json.markdown;
    show(byId("reader-state"), false);
    this.#prose.fill(markup, json);
    this.#scan.place(json.blocks, json.rotation);
    setText(byId("raw"), this.#markdown);
    const facts = provenanceOf(json);
    render(facts.map(([name, words]) => html`<div><dt>${name}</dt><dd>${words}</dd></div>`), byId("provenance"));
    show(byId("provenance"), facts.length > 0);
    setText(byId("doubt"), json.warnings.join(" "));
    show(byId("doubt"), json.warnings.length > 0);
    byId("copy").disabled = false;
    this.#switch(this.#asMarkdown);
  }

  #switch(asMarkdown) {
    this.#asMarkdown = asMarkdown;
    byId("as-text").setAttribute("aria-pressed", String(!asMarkdown));
    byId("as-markdown").setAttribute("aria-pressed", String(asMarkdown));
    const ready = byId("reader-state").hidden;
    show(byId("rendered"), ready && !asMarkdown);
    show(byId("raw"), ready && asMarkdown);
  }

  // On narrow windows one of the two is shown.
  #tab(name) {
    byId("spread").dataset.tab = name;
    byId("tab-picture").setAttribute("aria-pressed", String(name === "picture"));
    byId("tab-text").setAttribute("aria-pressed", String(name === "text"));
  }

  async #copy() {
    const text = this.#asMarkdown ? this.#markdown : this.#prose.text;
    const button = byId("copy");
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      said = "Press Ctrl+C";
      getSelection().selectAllChildren(byId(this.#asMarkdown ? "raw" : "rendered"));
    }
    setText(button, said);
    setText(byId("announcer"), said);
    clearTimeout(this.#copied);
    this.#copied = setTimeout(() => setText(button, "Copy"), 1800);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
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
