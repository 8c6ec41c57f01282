// The home view: uploads, and the list of documents.

import { byId, el, setText, show } from "./element.js";
import { moment, plural } from "./format.js";
import { problemBox, request } from "./http.js";
import { isEnded, jobWord } from "./state.js";
import { UploadForm } from "./upload.js";
import { Watch } from "./watch.js";

// Documents listed at once; more follow on request.
const FIRST = 20;

export class Home {
  #watch = null;
  #rows = new Map();
  #older = [];
  #cursor = null;
  #open = false;

  constructor() {
    new UploadForm((jobs, failures) => {
      if (jobs.length === 1 && !failures && this.#open) location.hash = `#/jobs/${jobs[0]}`;
      else this.#watch?.refresh();
    });
    byId("more").addEventListener("click", () => this.#more());
  }

  open() {
    this.#open = true;
    document.title = "Gnosis OCR";
    this.#older = [];
    this.#cursor = null;
    this.#watch = new Watch(`/api/jobs?limit=${FIRST}`, {
      every: 2000,
      value: (answer) => this.#list(answer),
      trouble: (lost) => {
        setText(byId("history-trouble"), lost ? "Connection lost. Trying again…" : "");
        show(byId("history-trouble"), lost);
      },
      gone: (problem) => {
        show(byId("history"), true);
        byId("joblist").replaceChildren(el("li", {}, problemBox(problem)));
        this.#rows.clear();
      },
    });
  }

  close() {
    this.#open = false;
    this.#watch?.stop();
    this.#watch = null;
  }

  #list({ jobs, next_cursor }) {
    if (!this.#older.length) this.#cursor = next_cursor ?? null;
    const known = new Set(jobs.map((job) => job.job_id));
    this.#older = this.#older.filter((job) => !known.has(job.job_id));
    this.#draw([...jobs, ...this.#older]);
    return jobs.every(isEnded);
  }

  async #more() {
    const button = byId("more");
    button.disabled = true;
    try {
      const url = `/api/jobs?limit=${FIRST}&cursor=${encodeURIComponent(this.#cursor)}`;
      const answer = await (await request(url)).json();
      const first = answer.jobs[0]?.job_id;
      this.#older.push(...answer.jobs.filter((job) => !this.#rows.has(job.job_id)));
      this.#cursor = answer.next_cursor ?? null;
      this.#draw([...this.#rows.values()].map((row) => row.job).concat(answer.jobs.filter((job) => !this.#rows.has(job.job_id))));
      this.#rows.get(first)?.node.querySelector("a").focus();
    } catch (problem) {
      if (problem.name !== "AbortError") byId("history").append(problemBox(problem));
    } finally {
      button.disabled = false;
    }
  }

  #draw(jobs) {
    const list = byId("joblist");
    const rows = new Map();
    for (const job of jobs) {
      const row = this.#rows.get(job.job_id) ?? new JobRow(job.job_id);
      row.update(job);
      rows.set(job.job_id, row);
    }
    const nodes = [...rows.values()].map((row) => row.node);
    const same = nodes.length === list.children.length && nodes.every((node, at) => list.children[at] === node);
    if (!same) list.replaceChildren(...nodes);
    this.#rows = rows;
    show(byId("history"), rows.size > 0);
    show(byId("more"), Boolean(this.#cursor));
  }
}

class JobRow {
  constructor(id) {
    this.job = null;
    this.name = el("span", { class: "joblist-name" });
    this.meta = el("span", { class: "joblist-meta" });
    this.state = el("span", { class: "chip" });
    this.fill = el("span", { class: "bar-read" });
    this.bar = el("span", { class: "bar", "aria-hidden": "true" }, this.fill);
    this.node = el(
      "li",
      {},
      el("a", { href: `#/jobs/${encodeURIComponent(id)}` }, el("span", { class: "joblist-text" }, this.name, this.meta), this.state, this.bar),
    );
  }

  update(job) {
    this.job = job;
    const pages = job.file_info.total_pages;
    const ended = isEnded(job);
    setText(this.name, job.file_info.filename);
    const parts = [moment(job.created_at)];
    if (pages) parts.unshift(plural(pages, "page"));
    if (job.pages_failed) parts.push(`${plural(job.pages_failed, "page")} failed`);
    setText(this.meta, parts.filter(Boolean).join(" · "));
    setText(this.state, ended ? jobWord(job) : `${jobWord(job)} ${job.percent}%`);
    this.state.dataset.status = job.status;
    show(this.bar, !ended);
    this.fill.style.width = `${job.percent}%`;
  }
}
