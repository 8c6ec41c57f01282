// The list of documents: newest first, searched by name, filtered by state, several deleted at once.

import { byId, setText, show } from "./element.js";
import { moment, plural } from "./format.js";
import { problemBox, request } from "./http.js";
import { isEnded, jobWord } from "./state.js";
import { deleteLater, isGone } from "./toast.js";
import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";

// Documents listed at once; more follow on request.
const FIRST = 20;
// Documents of one request while a search goes through all of them: the most that the service lists at once.
const MOST = 100;
// Documents that a search goes through. Chosen: ten requests.
const SEARCHED = 1000;

const FILTERS = {
  all: () => true,
  running: (job) => !isEnded(job),
  done: (job) => job.status === "completed",
  trouble: (job) => ["partial", "failed", "cancelled"].includes(job.status),
};

export class History {
  // The newest documents, which are watched, and older ones, in this order.
  #newest = [];
  #older = [];
  #cursor = null;
  #begun = false;
  #loading = null;
  #selecting = false;
  #selected = new Set();
  #fault = null;

  constructor() {
    byId("more").onclick = () => this.#more();
    byId("history-search").oninput = () => this.#narrow();
    byId("history-filter").onchange = () => this.#narrow();
    byId("select").onclick = () => this.#select(!this.#selecting);
    byId("delete-selected").onclick = () => this.#delete();
    byId("select-all").onchange = (event) => {
      this.#selected = new Set(event.target.checked ? this.#shown().filter(isEnded).map((job) => job.job_id) : []);
      this.draw();
    };
  }

  get address() {
    return `/api/jobs?limit=${FIRST}`;
  }

  begin() {
    this.#older = [];
    this.#begun = false;
    this.#fault = null;
    this.#select(false);
    this.draw();
  }

  // The newest documents, as the service lists them.
  update({ jobs, next_cursor }) {
    if (!this.#begun) this.#cursor = next_cursor ?? null;
    const known = new Set(jobs.map((job) => job.job_id));
    // A document that new ones have moved out of the newest is an older one now.
    const moved = this.#begun && next_cursor ? this.#newest.filter((job) => !known.has(job.job_id) && job.job_id < next_cursor) : [];
    this.#older = [...moved, ...this.#older.filter((job) => !known.has(job.job_id))];
    this.#newest = jobs;
    const first = !this.#begun;
    this.#begun = true;
    if (first && this.#narrowed) this.#all();
    this.draw();
  }

  draw() {
    const shown = this.#shown();
    const any = this.#newest.length + this.#older.length > 0;
    const total = [...this.#newest, ...this.#older].filter((job) => !isGone(job.job_id)).length;
    show(byId("history"), any && total > 0);
    show(byId("history-tools"), total > 1 || this.#narrowed);
    show(byId("more"), Boolean(this.#cursor) && !this.#narrowed);
    const ended = shown.filter(isEnded);
    this.#selected = new Set([...this.#selected].filter((id) => ended.some((job) => job.job_id === id)));
    show(byId("selection"), this.#selecting);
    setText(byId("select"), this.#selecting ? "Cancel" : "Select");
    setText(byId("delete-selected"), this.#selected.size ? `Delete ${plural(this.#selected.size, "document")}` : "Delete");
    byId("delete-selected").disabled = !this.#selected.size;
    byId("select-all").checked = ended.length > 0 && this.#selected.size === ended.length;
    setText(byId("history-none"), this.#loading ? "Searching…" : "No document matches.");
    show(byId("history-none"), any && this.#narrowed && !shown.length);
    const fault = this.#fault ? html`<li>${problemBox(this.#fault)}</li>` : nothing;
    const rows = repeat(shown, (job) => job.job_id, (job) => this.#row(job));
    render(html`${rows}${fault}`, byId("joblist"));
  }

  get #narrowed() {
    return byId("history-search").value.trim() !== "" || byId("history-filter").value !== "all";
  }

  #shown() {
    const words = byId("history-search").value.trim().toLowerCase();
    const admits = FILTERS[byId("history-filter").value];
    return [...this.#newest, ...this.#older].filter(
      (job) => !isGone(job.job_id) && admits(job) && job.file_info.filename.toLowerCase().includes(words),
    );
  }

  #narrow() {
    this.draw();
    if (this.#narrowed) this.#all();
  }

  async #more() {
    byId("more").disabled = true;
    const first = await this.#next(FIRST);
    byId("more").disabled = false;
    byId("joblist").querySelector(`a[href="#/jobs/${CSS.escape(first ?? "")}"]`)?.focus();
  }

  // All documents, which a search has to know: the service lists them and does not search.
  async #all() {
    if (this.#loading) return;
    this.#loading = (async () => {
      while (this.#cursor && this.#narrowed && this.#newest.length + this.#older.length < SEARCHED && !this.#fault) await this.#next(MOST);
    })();
    await this.#loading;
    this.#loading = null;
    this.draw();
  }

  // The next documents; the id of the first.
  async #next(limit) {
    this.#fault = null;
    try {
      const answer = await (await request(`/api/jobs?limit=${limit}&cursor=${encodeURIComponent(this.#cursor)}`)).json();
      const known = new Set([...this.#newest, ...this.#older].map((job) => job.job_id));
      const added = answer.jobs.filter((job) => !known.has(job.job_id));
      this.#older.push(...added);
      this.#cursor = answer.next_cursor ?? null;
      this.draw();
      return added[0]?.job_id;
    } catch (problem) {
      this.#fault = problem;
      this.draw();
      return undefined;
    }
  }

  #select(selecting) {
    this.#selecting = selecting;
    this.#selected = new Set();
    this.draw();
  }

  #delete() {
    const jobs = this.#shown().filter((job) => this.#selected.has(job.job_id));
    this.#select(false);
    deleteLater(jobs.map((job) => ({ job_id: job.job_id, filename: job.file_info.filename })));
  }

  #check(job, checked) {
    if (checked) this.#selected.add(job.job_id);
    else this.#selected.delete(job.job_id);
    this.draw();
  }

  #row(job) {
    const { filename } = job.file_info;
    const ended = isEnded(job);
    const box = html`<input type="checkbox" aria-label="Select ${filename}" .checked=${this.#selected.has(job.job_id)}
      ?disabled=${!ended} @change=${(event) => this.#check(job, event.target.checked)}>`;
    return html`<li>
      ${this.#selecting ? box : nothing}
      <a href="#/jobs/${encodeURIComponent(job.job_id)}">
        <span class="joblist-text">
          <span class="joblist-name">${filename}</span>
          <span class="joblist-meta">${factsOf(job)}</span>
          ${job.status === "failed" ? html`<span class="joblist-reason">${job.message}</span>` : nothing}
        </span>
        <span class="chip" data-status=${job.status}>${ended ? jobWord(job) : `${jobWord(job)} ${job.percent}%`}</span>
        ${ended ? nothing : html`<span class="bar" aria-hidden="true"><span class="bar-read" .style=${`width: ${job.percent}%`}></span></span>`}
      </a>
    </li>`;
  }
}

function factsOf(job) {
  const pages = job.file_info.total_pages;
  const failed = job.pages_failed && job.status !== "failed" ? `${plural(job.pages_failed, "page")} failed` : null;
  return [pages ? plural(pages, "page") : null, moment(job.created_at), failed].filter(Boolean).join(" · ");
}
