// The list of documents: newest first, searched by name and filtered by state (both by the service), several deleted at
// once.

import { byId, setText, show } from "./element.js";
import { moment, plural } from "./format.js";
import { problemBox, request } from "./http.js";
import { isEnded, jobWord } from "./state.js";
import { deleteLater, isGone } from "./toast.js";
import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";

// Documents listed at once; more follow on request.
const FIRST = 20;
// Milliseconds after the last key before the search begins.
const PAUSE_MS = 200;

const STATUSES = {
  running: ["queued", "extracting", "processing"],
  done: ["completed"],
  trouble: ["partial", "failed", "cancelled"],
};

export class History {
  // The newest documents, which are watched, and older ones, in this order.
  #newest = [];
  #older = [];
  #cursor = null;
  #begun = false;
  #selecting = false;
  #selected = new Set();
  #fault = null;
  #timer = 0;
  #changed;

  // `changed()` is called when other documents are asked for: `address` is then another one.
  constructor(changed) {
    this.#changed = changed;
    byId("more").onclick = () => this.#more(true);
    byId("history-search").oninput = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#narrow(), PAUSE_MS);
    };
    byId("history-filter").onchange = () => this.#narrow();
    byId("select").onclick = () => this.#select(!this.#selecting);
    byId("delete-selected").onclick = () => this.#delete();
    byId("select-all").onchange = (event) => {
      this.#selected = new Set(event.target.checked ? this.#shown().filter(isEnded).map((job) => job.job_id) : []);
      this.draw();
    };
  }

  // The address of the newest documents that are asked for.
  get address() {
    const query = new URLSearchParams({ limit: FIRST });
    const [words, statuses] = [byId("history-search").value.trim(), STATUSES[byId("history-filter").value]];
    if (words) query.set("q", words);
    if (statuses) query.set("status", statuses.join(","));
    return `/api/jobs?${query}`;
  }

  begin() {
    this.#restart();
    this.#select(false);
  }

  // The newest documents, as the service lists them.
  update({ jobs, next_cursor }) {
    if (!this.#begun) this.#cursor = next_cursor ?? null;
    const known = new Set(jobs.map((job) => job.job_id));
    // A document that new ones have moved out of the newest is an older one now.
    const moved = this.#begun && next_cursor ? this.#newest.filter((job) => !known.has(job.job_id) && job.job_id < next_cursor) : [];
    this.#older = [...moved, ...this.#older.filter((job) => !known.has(job.job_id))];
    this.#newest = jobs;
    this.#begun = true;
    this.draw();
    this.#searchOn();
  }

  // The service looks at some hundred documents at a time: a search goes on until it has found one.
  #searchOn() {
    if (this.#narrowed && this.#cursor && !this.#shown().length && !byId("more").disabled) this.#more();
  }

  draw() {
    const shown = this.#shown();
    const any = shown.length > 0 || this.#narrowed;
    show(byId("history"), any);
    show(byId("history-tools"), shown.length > 1 || this.#narrowed);
    show(byId("more"), Boolean(this.#cursor) && shown.length > 0);
    setText(byId("select"), this.#selecting ? "Done" : "Select");
    show(byId("selection"), this.#selecting);
    const ended = shown.filter(isEnded);
    this.#selected = new Set(ended.map((job) => job.job_id).filter((id) => this.#selected.has(id)));
    setText(byId("delete-selected"), this.#selected.size ? `Delete ${plural(this.#selected.size, "document")}` : "Delete");
    byId("delete-selected").disabled = !this.#selected.size;
    byId("select-all").checked = ended.length > 0 && this.#selected.size === ended.length;
    setText(byId("history-none"), this.#begun && !this.#cursor ? "No document matches." : "Searching…");
    show(byId("history-none"), any && !shown.length && !this.#fault);
    const fault = this.#fault ? html`<li>${problemBox(this.#fault)}</li>` : nothing;
    const rows = repeat(shown, (job) => job.job_id, (job) => this.#row(job));
    render(html`${rows}${fault}`, byId("joblist"));
  }

  get #narrowed() {
    return byId("history-search").value.trim() !== "" || byId("history-filter").value !== "all";
  }

  #shown() {
    return [...this.#newest, ...this.#older].filter((job) => !isGone(job.job_id));
  }

  #narrow() {
    this.#restart();
    this.draw();
    this.#changed();
  }

  // What was found before stays until the service has answered.
  #restart() {
    this.#older = [];
    this.#cursor = null;
    this.#begun = false;
    this.#fault = null;
  }

  // The next documents; where the user has `asked` for them, the first of them gets the focus.
  async #more(asked = false) {
    byId("more").disabled = true;
    const address = this.address;
    this.#fault = null;
    let first = null;
    try {
      const answer = await (await request(`${address}&cursor=${encodeURIComponent(this.#cursor)}`)).json();
      // Where other documents are asked for by now, their own search goes on below.
      if (address === this.address) {
        const known = new Set([...this.#newest, ...this.#older].map((job) => job.job_id));
        const added = answer.jobs.filter((job) => !known.has(job.job_id));
        this.#older.push(...added);
        this.#cursor = answer.next_cursor ?? null;
        first = added[0]?.job_id;
      }
    } catch (problem) {
      if (address === this.address) this.#fault = problem;
    } finally {
      byId("more").disabled = false;
    }
    this.draw();
    if (this.#fault) return;
    if (asked) byId("joblist").querySelector(`a[href="#/jobs/${CSS.escape(first ?? "")}"]`)?.focus();
    this.#searchOn();
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
