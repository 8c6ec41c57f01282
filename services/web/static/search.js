// Search in the whole result of a document: the pages that match, with the words around each match.

import { setText, show } from "./element.js";
import { plural } from "./format.js";
import { request } from "./http.js";
import { patternOf } from "./reader/matches.js";
import { pageNumbers } from "./state.js";
import { html, render } from "./vendor/lit-html/lit-html.js";

// Characters shown before and after a match, and matches shown of a page. Chosen: a line on a narrow window.
const AROUND = 45;
const SHOWN = 3;
// Milliseconds after the last key before the search begins.
const PAUSE_MS = 200;

export class Search {
  #input;
  #results;
  #summary;
  #changed;
  #job = null;
  #texts = null;
  #timer = 0;

  // `changed(pattern)` is called with the pattern of each new search, null for none.
  constructor({ input, results, summary }, changed) {
    [this.#input, this.#results, this.#summary, this.#changed] = [input, results, summary, changed];
    input.value = "";
    input.oninput = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#search(), PAUSE_MS);
    };
    this.#draw([]);
  }

  update(job) {
    const again = this.#job && (this.#job.updated_at !== job.updated_at || this.#job.status !== job.status);
    this.#job = job;
    if (!again) return;
    this.#texts = null;
    if (this.#input.value) this.#search();
  }

  end() {
    clearTimeout(this.#timer);
    this.#job = null;
    render(null, this.#results);
  }

  async #search() {
    const [job, words] = [this.#job, this.#input.value];
    const pattern = patternOf(words);
    this.#changed(pattern);
    if (!pattern) {
      this.#draw([]);
      return;
    }
    try {
      this.#texts ??= read(job);
      const texts = await this.#texts;
      if (this.#job === job && this.#input.value === words) this.#draw(found(texts, pattern), words);
    } catch (problem) {
      this.#texts = null;
      this.#draw([], words, [problem.detail, problem.hint].filter(Boolean).join(" "));
    }
  }

  #draw(pages, words = "", fault = "") {
    const matches = pages.reduce((sum, { count }) => sum + count, 0);
    const summary = matches ? `${plural(matches, "match", "matches")} on ${plural(pages.length, "page")}` : `“${words.trim()}” was not found.`;
    setText(this.#summary, words.trim() ? fault || summary : "");
    show(this.#results, pages.length > 0);
    const id = encodeURIComponent(this.#job?.job_id ?? "");
    const item = ({ page, count, shown }) => html`
      <li>
        <a href="#/jobs/${id}/pages/${page}">Page ${page}</a>
        ${shown.map(([before, match, after]) => html`<p>${before}<mark>${match}</mark>${after}</p>`)}
        ${count > shown.length ? html`<p class="search-more">and ${count - shown.length} more</p>` : null}
      </li>`;
    render(pages.map(item), this.#results);
  }
}

// The texts of the pages by their numbers.
async function read(job) {
  const numbers = pageNumbers(job);
  const url = (form) => `/api/jobs/${encodeURIComponent(job.job_id)}/result?format=${form}&headers=true`;
  // The service separates pages by form feeds; where a page itself has one, the pages are taken one by one.
  let texts = (await (await request(url("txt"), { accept: "text/plain" })).text()).split("\f");
  if (texts.length !== numbers.length) {
    const { pages } = await (await request(url("json"))).json();
    texts = pages.map(({ markdown }) => markdown);
  }
  return numbers.flatMap((page, at) => (job.pages[page].status === "completed" ? [[page, texts[at]]] : []));
}

function found(texts, pattern) {
  return texts.flatMap(([page, text]) => {
    const matches = [...text.matchAll(pattern)];
    if (!matches.length) return [];
    const shown = matches.slice(0, SHOWN).map((match) => {
      const [start, end] = [match.index, match.index + match[0].length];
      return [lead(text.slice(Math.max(0, start - AROUND), start), start > AROUND), match[0], trail(text.slice(end, end + AROUND), end + AROUND < text.length)];
    });
    return [{ page, count: matches.length, shown }];
  });
}

const lead = (text, cut) => (cut ? `…${text.replace(/^\S*\s/, "")}` : text);

const trail = (text, cut) => (cut ? `${text.replace(/\s\S*$/, "")}…` : text);
