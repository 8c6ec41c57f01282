// The text of a page beside its image, as text or as Markdown, or why there is none.

import { byId, el, setText, show } from "../element.js";
import { problemBox, request } from "../http.js";
import { isEnded, pageState, reason } from "../state.js";
import { html, render } from "../vendor/lit-html/lit-html.js";
import { provenanceOf } from "./provenance.js";

// Pages whose text is kept for going back to them.
const KEPT_PAGES = 40;

export class Reading {
  #jobId;
  #prose;
  #retry;
  #filled;
  #number = null;
  #version = "";
  #asMarkdown = false;
  #markdown = "";
  #kept = new Map();
  #loading = null;
  #copied = 0;

  // `retry(pages)` reads pages again; `filled(json)` is called with the JSON of a page whose text is shown.
  constructor(jobId, prose, { retry, filled }) {
    [this.#jobId, this.#prose, this.#retry, this.#filled] = [jobId, prose, retry, filled];
    byId("as-text").onclick = () => this.switch(false);
    byId("as-markdown").onclick = () => this.switch(true);
    byId("copy").onclick = () => this.#copy();
  }

  // Shows the page of that number; `version` is another one whenever there is something else to show.
  show(number, page, job, version) {
    [this.#number, this.#version] = [number, version];
    this.stop();
    switch (pageState(page, job)) {
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
        return this.#failed(page, job);
      default:
        return this.#load(version);
    }
  }

  // A message in place of the text.
  say(message) {
    this.#version = "";
    this.#state(el("p", {}, message));
  }

  complain(problem) {
    const box = byId("reader-state");
    box.replaceChildren(problemBox(problem));
    show(box, true);
  }

  stop() {
    this.#loading?.abort();
    this.#loading = null;
  }

  switch(asMarkdown) {
    this.#asMarkdown = asMarkdown;
    byId("as-text").setAttribute("aria-pressed", String(!asMarkdown));
    byId("as-markdown").setAttribute("aria-pressed", String(asMarkdown));
    const ready = byId("reader-state").hidden;
    show(byId("rendered"), ready && !asMarkdown);
    show(byId("raw"), ready && asMarkdown);
  }

  #failed(page, job) {
    const again = el("button", { type: "button", class: "button" }, "Retry this page");
    const number = this.#number;
    again.addEventListener("click", async () => {
      again.disabled = true;
      await this.#retry([number]);
      again.disabled = false;
    });
    const hint = isEnded(job) ? "" : "You can retry it when the other pages have been read.";
    this.#state(problemBox({ title: "This page could not be read", detail: reason(page), hint }, ...(isEnded(job) ? [again] : [])));
  }

  async #load(version) {
    const kept = this.#kept.get(version);
    if (kept) return this.#fill(kept);
    this.#state(el("p", { class: "busy" }, "Loading the text…"));
    const loading = new AbortController();
    this.#loading = loading;
    const url = `/api/jobs/${encodeURIComponent(this.#jobId)}/pages/${this.#number}`;
    try {
      const [markup, json] = await Promise.all([
        request(url, { accept: "text/html", signal: loading.signal }).then((response) => response.text()),
        request(url, { accept: "application/json", signal: loading.signal }).then((response) => response.json()),
      ]);
      if (this.#kept.size >= KEPT_PAGES) this.#kept.delete(this.#kept.keys().next().value);
      this.#kept.set(version, { markup, json });
      if (this.#loading === loading && this.#version === version) this.#fill({ markup, json });
    } catch (problem) {
      if (problem.name === "AbortError" || this.#version !== version) return undefined;
      const again = el("button", { type: "button", class: "button", onclick: () => this.#load(version) }, "Try again");
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
    this.#filled(json);
    setText(byId("raw"), this.#markdown);
    const facts = provenanceOf(json);
    render(facts.map(([name, words]) => html`<div><dt>${name}</dt><dd>${words}</dd></div>`), byId("provenance"));
    show(byId("provenance"), facts.length > 0);
    setText(byId("doubt"), json.warnings.join(" "));
    show(byId("doubt"), json.warnings.length > 0);
    byId("copy").disabled = false;
    this.switch(this.#asMarkdown);
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
}
