// What stands beside the image of a page: its text, as text or as Markdown, or why there is none; an earlier reading of
// it; or the two compared.

import { byId, el, setText, show } from "../element.js";
import { moment } from "../format.js";
import { problemBox } from "../http.js";
import { isEnded, isRead, pageState, reason } from "../state.js";
import { html, render } from "../vendor/lit-html/lit-html.js";
import { drawComparison, plainText } from "./comparison.js";
import { provenanceOf, readBy } from "./provenance.js";
import { Readings, earlierRuns } from "./readings.js";

const NOTICES = {
  waiting: "This page is being extracted…",
  rendered: "This page waits its turn to be read.",
  unread: "This page was not read.",
  reading: "This page is being read…",
};
// Of a page that has a reading, which is shown meanwhile.
const NOTICES_AGAIN = {
  waiting: "This page is extracted again…",
  rendered: "This page waits its turn to be read again.",
  unread: "This page was not read again.",
  reading: "This page is being read again…",
};

export class Reading {
  #readings;
  #prose;
  #retry;
  #filled;
  #number = null;
  #page = null;
  #job = null;
  // Which reading is shown: "latest", "earlier" or "compare"; and the run of the earlier one.
  #which = "latest";
  #run = null;
  // What is to be compared with its next reading: a page and its present one, of the run that is named.
  #awaited = null;
  // The page's latest reading, once loaded; and what is shown: no reading, one, or two that are compared.
  #latest = null;
  #shown = [];
  #asMarkdown = false;
  #loading = null;
  #copied = 0;

  // `retry(pages)` reads pages again; `filled(json)` is called with the JSON of a reading that is shown.
  constructor(jobId, prose, { retry, filled }) {
    [this.#prose, this.#retry, this.#filled] = [prose, retry, filled];
    this.#readings = new Readings(jobId);
    byId("as-text").onclick = () => this.switch(false);
    byId("as-markdown").onclick = () => this.switch(true);
    byId("copy").onclick = () => this.#copy();
    byId("readings").onclick = ({ target }) => target.dataset.reading && this.#choose(target.dataset.reading);
    byId("readings-run").onchange = ({ target }) => {
      this.#run = Number(target.value);
      this.#choose(this.#which === "latest" ? "earlier" : this.#which);
    };
    show(byId("readings"), false);
  }

  // The engine that has read the page, where that is known.
  get engine() {
    return this.#latest?.json.engine ?? null;
  }

  show(number, page, job) {
    if (number !== this.#number) this.#forget();
    [this.#number, this.#page, this.#job] = [number, page, job];
    this.#draw();
  }

  // The page that is shown will be read again: the new reading is then compared with the present one.
  awaitNext() {
    if (this.#latest) this.#awaited = { number: this.#number, page: this.#page.run, run: this.#latest.json.run };
  }

  // A message in place of the text.
  say(message) {
    this.stop();
    this.#forget();
    this.#number = null;
    this.#notice(el("p", {}, message));
  }

  complain(problem) {
    this.#notice(problemBox(problem));
  }

  stop() {
    this.#loading?.abort();
    this.#loading = null;
  }

  switch(asMarkdown) {
    this.#asMarkdown = asMarkdown;
    byId("as-text").setAttribute("aria-pressed", String(!asMarkdown));
    byId("as-markdown").setAttribute("aria-pressed", String(asMarkdown));
    this.#reveal();
  }

  #forget() {
    [this.#which, this.#run, this.#latest] = ["latest", null, null];
    show(byId("readings"), false);
    this.#fill([]);
  }

  #choose(which) {
    this.#which = which;
    this.#draw();
  }

  async #draw() {
    this.stop();
    const why = this.#why();
    const kept = this.#page.reread?.read_in;
    const over = isRead(this.#page);
    if (!over) show(byId("readings"), false);
    if (!over && !kept) {
      this.#notice(why);
      this.#fill([]);
      return;
    }
    const loading = new AbortController();
    this.#loading = loading;
    this.#notice(why ?? (this.#shown.length ? null : el("p", { class: "busy" }, "Loading the text…")));
    try {
      const found = over ? await this.#chosen(loading.signal) : [await this.#readings.earlier(this.#number, kept, loading.signal)];
      if (this.#loading !== loading) return;
      const isBlank = found.length === 1 && found[0].json.blank;
      this.#notice(why ?? (isBlank ? el("p", {}, "Nothing is printed on this page.") : null));
      this.#fill(found);
    } catch (problem) {
      if (problem.name === "AbortError" || this.#loading !== loading) return;
      const again = el("button", { type: "button", class: "button", onclick: () => this.#draw() }, "Try again");
      this.#notice(problemBox(problem, again));
      this.#fill([]);
    }
  }

  // What is to be shown of a page that was read. Throws Problem.
  async #chosen(signal) {
    const [number, page] = [this.#number, this.#page];
    const latest = await this.#readings.latest(number, page.run, signal);
    signal.throwIfAborted();
    this.#latest = latest;
    const runs = earlierRuns(latest.json);
    if (this.#awaited?.number === number && page.run > this.#awaited.page) {
      if (latest.json.run !== this.#awaited.run && runs.includes(this.#awaited.run)) [this.#which, this.#run] = ["compare", this.#awaited.run];
      this.#awaited = null;
    }
    if (!runs.includes(this.#run)) this.#run = runs[0] ?? null;
    if (!runs.length) this.#which = "latest";
    this.#offer(runs);
    if (this.#which === "latest") return [latest];
    const earlier = await this.#readings.earlier(number, this.#run, signal);
    return this.#which === "compare" ? [earlier, latest] : [earlier];
  }

  // Why the page has no reading of its present run; null where it has one.
  #why() {
    if (isRead(this.#page)) return null;
    const state = pageState(this.#page, this.#job);
    if (state === "failed") return this.#failure();
    const words = (this.#page.reread?.read_in ? NOTICES_AGAIN : NOTICES)[state];
    return el("p", { class: state === "reading" || state === "waiting" ? "busy" : "" }, words);
  }

  #failure() {
    const ended = isEnded(this.#job);
    const number = this.#number;
    const again = el("button", { type: "button", class: "button" }, "Retry this page");
    again.addEventListener("click", async () => {
      again.disabled = true;
      await this.#retry([number]);
      again.disabled = false;
    });
    const hint = ended ? "" : "You can retry it when the other pages have been read.";
    return problemBox({ title: "This page could not be read", detail: reason(this.#page), hint }, ...(ended ? [again] : []));
  }

  #notice(content) {
    byId("reader-state").replaceChildren(...(content ? [content] : []));
    show(byId("reader-state"), Boolean(content));
  }

  // The buttons between the readings, where there are several.
  #offer(runs) {
    show(byId("readings"), runs.length > 0);
    for (const button of byId("readings").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.reading === this.#which));
    }
    const choice = byId("readings-run");
    show(choice, runs.length > 1);
    choice.replaceChildren(...runs.map((run, at) => el("option", { value: String(run) }, at ? `${at + 1} readings before` : "The reading before")));
    choice.value = String(this.#run);
  }

  #fill(readings) {
    const json = readings.at(-1)?.json;
    if (json) this.#filled(json);
    // The same text is not put there again: what is selected, focused or scrolled to stays.
    if (readings.length && readings.length === this.#shown.length && readings.every((reading, at) => reading === this.#shown[at])) return;
    this.#shown = readings;
    byId("spread").classList.toggle("comparing", readings.length === 2);
    if (json) {
      if (readings.length === 1) this.#prose.fill(readings[0].markup, json);
      setText(byId("raw"), json.markdown);
      render(provenanceOf(json).map(([name, words]) => html`<div><dt>${name}</dt><dd>${words}</dd></div>`), byId("provenance"));
      setText(byId("doubt"), json.warnings.join(" "));
    }
    show(byId("provenance"), readings.length === 1 && provenanceOf(json).length > 0);
    show(byId("doubt"), Boolean(json?.warnings.length));
    byId("copy").disabled = readings.length !== 1;
    this.#reveal();
  }

  #reveal() {
    const readings = this.#shown;
    const single = readings.length === 1 && !readings[0].json.blank;
    show(byId("rendered"), single && !this.#asMarkdown);
    show(byId("raw"), single && this.#asMarkdown);
    show(byId("comparison"), readings.length === 2);
    if (readings.length < 2) return;
    const text = ({ markup, json }) => (this.#asMarkdown ? json.markdown : plainText(markup));
    const name = ({ json }) => [readBy(json), moment(json.completed_at)].filter(Boolean).join(" · ");
    drawComparison(byId("comparison"), readings.map(text), readings.map(name));
  }

  async #copy() {
    const text = this.#asMarkdown ? this.#shown[0].json.markdown : this.#prose.text;
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
