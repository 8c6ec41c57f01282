// The reader: one page's image beside its text.

import { byId, el, setText, show } from "./element.js";
import { percent, plural, seconds } from "./format.js";
import { problemBox, request } from "./http.js";
import { isDoubtful, isEnded, pageNumbers, pageState, reason } from "./state.js";

// Pages whose text is kept for going back to them.
const KEPT_PAGES = 40;

export class Reader {
  #jobId;
  #retry;
  #job = null;
  #urlOf = null;
  #page = null;
  #shown = "";
  #asMarkdown = false;
  #markdown = "";
  #kept = new Map();
  #loading = null;
  #copied = 0;
  #keys = (event) => this.#key(event);

  constructor(jobId, retry) {
    this.#jobId = jobId;
    this.#retry = retry;
    byId("as-text").onclick = () => this.#switch(false);
    byId("as-markdown").onclick = () => this.#switch(true);
    byId("copy").onclick = () => this.#copy();
  }

  get page() {
    return this.#page;
  }

  open(page) {
    if (page === this.#page) return;
    if (this.#page === null) document.addEventListener("keydown", this.#keys);
    this.#page = page;
    this.#shown = "";
    this.#draw();
  }

  close() {
    this.#page = null;
    this.#loading?.abort();
    document.removeEventListener("keydown", this.#keys);
  }

  update(job, urlOf) {
    this.#job = job;
    this.#urlOf = urlOf;
    if (this.#page !== null) this.#draw();
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
    step(byId("reader-prev"), pages[at - 1], (page) => this.#href(page));
    step(byId("reader-next"), pages[at + 1], (page) => this.#href(page));
    const page = job.pages[this.#page];
    if (!page) return this.#blank(pages.length ? "This page is not part of this document's selection." : "The document is being opened…");
    const version = [this.#page, page.status, page.image, page.processing_completed_at, page.error, isEnded(job)].join("|");
    if (version === this.#shown) return undefined;
    this.#shown = version;
    this.#image(page, pages[at + 1]);
    return this.#text(page, version);
  }

  #blank(message) {
    this.#shown = "";
    this.#image({}, undefined);
    this.#state(el("p", {}, message));
    return undefined;
  }

  #image(page, next) {
    const url = page.image && this.#urlOf ? this.#urlOf(page.image) : null;
    const image = byId("scan-image");
    show(byId("scan-link"), Boolean(url));
    show(byId("scan-empty"), !url);
    if (!url) return;
    if (image.getAttribute("src") !== url) {
      image.src = url;
      image.alt = `Image of page ${this.#page}`;
      byId("scan-link").href = url;
    }
    // Preloaded: the next page is most likely to be opened next.
    const after = next === undefined ? null : this.#job.pages[next].image;
    if (after) new Image().src = this.#urlOf(after);
  }

  async #text(page, version) {
    this.#loading?.abort();
    switch (pageState(page, this.#job)) {
      case "waiting":
        return this.#state(el("p", {}, "This page is still to be extracted."));
      case "rendered":
        return this.#state(el("p", {}, "This page waits for its turn to be read."));
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
    if (kept) return this.#fill(kept, page);
    this.#state(el("p", { class: "busy" }, "Loading the text…"));
    const loading = new AbortController();
    this.#loading = loading;
    const url = `/api/jobs/${encodeURIComponent(this.#jobId)}/pages/${this.#page}`;
    try {
      const [html, json] = await Promise.all([
        request(url, { accept: "text/html", signal: loading.signal }).then((response) => response.text()),
        request(url, { accept: "application/json", signal: loading.signal }).then((response) => response.json()),
      ]);
      if (this.#kept.size >= KEPT_PAGES) this.#kept.delete(this.#kept.keys().next().value);
      this.#kept.set(version, { html, json });
      if (this.#loading === loading && this.#shown === version) this.#fill({ html, json }, page);
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

  #fill({ html, json }, page) {
    this.#markdown = json.text ?? "";
    show(byId("reader-state"), false);
    // The service has sanitised this HTML; parsed into a document of its own, it runs and loads nothing until inserted.
    byId("rendered").replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
    setText(byId("raw"), this.#markdown);
    const reader = json.source === "text_layer" ? "the document's own text" : (json.engine ?? page.engine);
    const facts = [reader, json.seconds ? seconds(json.seconds) : null, ...trustOf(json.trust)];
    if (json.attempts > 1) facts.push(plural(json.attempts, "attempt"));
    setText(byId("provenance"), `Read by ${facts.filter(Boolean).join(" · ")}`);
    show(byId("provenance"), Boolean(facts[0]));
    const doubts = doubtsOf(json);
    setText(byId("doubt"), doubts.join(" "));
    show(byId("doubt"), doubts.length > 0);
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

  async #copy() {
    const text = this.#asMarkdown ? this.#markdown : byId("rendered").innerText;
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
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || byId("confirm").open) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const link = { ArrowLeft: "reader-prev", ArrowRight: "reader-next", Escape: "reader-back" }[event.key];
    if (!link || !byId(link).hasAttribute("href")) return;
    // The same keys scroll a wide table or a long Markdown line sideways.
    if (event.key !== "Escape" && event.target.scrollWidth > event.target.clientWidth + 1 && event.target.closest("#rendered, #raw")) return;
    event.preventDefault();
    const href = byId(link).getAttribute("href");
    location.hash = href;
    // hashchange comes later: without this, a second key before it would go to the same page again.
    if (event.key !== "Escape") this.open(Number(href.split("/").at(-1)));
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

function doubtsOf(json) {
  return json.warnings;
}

function trustOf(trust) {
  if (!trust) return [];
  const known = (share) => typeof share === "number";
  return [
    known(trust.confidence) ? `${percent(trust.confidence)} confidence` : null,
    known(trust.figure) ? `trust ${percent(trust.figure)}` : "not compared",
    known(trust.numbers) ? `numbers ${percent(trust.numbers)}` : null,
  ];
}
