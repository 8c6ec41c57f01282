// The job view: a document's progress, its pages, and the actions on it.

import { drawDownloads } from "../downloads.js";
import { byId, setText, show } from "../element.js";
import { Failures } from "../failures.js";
import { moment, number, plural, seconds, size } from "../format.js";
import { Grid } from "../grid.js";
import { problemBox, request } from "../http.js";
import { Live } from "../live.js";
import { Search } from "../search.js";
import { isEnded, jobWord, pageNumbers, readingSeconds, tally } from "../state.js";
import { folderOf } from "../storage.js";
import { deleteLater } from "../toast.js";
import { Unlock, isLocked } from "../uploads/unlock.js";
import { Reader } from "./reader.js";

// Milliseconds between two announcements: a message that changes every second would never let a screen reader finish.
const ANNOUNCE_MS = 8000;

export class JobView {
  #id;
  #job = null;
  #urlOf = null;
  #grid = null;
  #reader;
  #live = null;
  #lost;
  #announced = { at: 0, text: "" };
  #failures;
  #gridScroll = 0;
  #search;
  #unlock;
  // Whether the entry before the reader's in the window's history is this document's.
  #fromOverview = false;

  // `lost(problem)` shows that there is no such document; `upload(file, options, replaced)` uploads one again.
  constructor(id, { lost, upload }) {
    this.#id = id;
    this.#unlock = new Unlock(upload);
    this.#lost = lost;
    this.#reader = new Reader(id, {
      retry: (pages) => this.#retry(pages),
      again: (page, choices) => this.#again(page, choices),
      leave: () => this.#overview(),
    });
    this.#failures = new Failures((pages) => this.#retry(pages));
    this.#search = new Search(
      { input: byId("search"), results: byId("search-results"), summary: byId("search-summary") },
      (pattern) => this.#reader.find(pattern),
    );
    byId("grid").replaceChildren();
    byId("job-problem").replaceChildren();
    for (const name of ["pages-section", "downloads", "find", "another", "retry", "cancel", "delete"]) show(byId(name), false);
    for (const name of ["job-title", "job-meta", "job-warnings", "job-message", "job-percent", "job-chip", "announcer"]) setText(byId(name), "");
    show(byId("progress"), false);
    this.#connection(false);
    byId("retry").onclick = () => this.#retry(null);
    byId("cancel").onclick = () => this.#act("cancel");
    byId("delete").onclick = () => this.#delete();
    byId("filters").onclick = (event) => this.#filter(event.target.closest("button")?.dataset.show);
    this.#live = new Live(id, {
      value: (job) => this.#update(job),
      trouble: (lost) => this.#connection(lost),
      gone: (problem) => this.#lost(problem),
    });
  }

  get id() {
    return this.#id;
  }

  // `page` is a page number, or null for the overview of the job.
  open(page) {
    const reading = page !== null;
    if (reading && byId("reader").hidden) {
      this.#gridScroll = window.scrollY;
      this.#fromOverview = !byId("job").hidden;
    }
    show(byId("job"), !reading);
    show(byId("reader"), reading);
    if (reading) {
      this.#reader.open(page);
      window.scrollTo(0, 0);
    } else {
      this.#reader.close();
      window.scrollTo(0, this.#gridScroll);
    }
    this.#title();
  }

  close() {
    this.#live.stop();
    this.#reader.end();
    this.#search.end();
    show(byId("job"), false);
    show(byId("reader"), false);
  }

  #update(job) {
    this.#job = job;
    const urlOf = (this.#urlOf ??= folderOf(job));
    this.#grid ??= new Grid(this.#id);
    this.#head(job);
    this.#progress(job);
    this.#failures.update(job);
    this.#buttons(job);
    this.#grid.update(job);
    show(byId("pages-section"), pageNumbers(job).length > 0);
    this.#search.update(job);
    this.#filters(job);
    this.#reader.update(job, urlOf);
    this.#title();
    return isEnded(job);
  }

  #head(job) {
    const { filename, file_type, file_size, total_pages } = job.file_info;
    const planned = pageNumbers(job).length;
    setText(byId("job-title"), filename);
    const parts = [kind(file_type)];
    if (total_pages) parts.push(planned && planned < total_pages ? `${number(planned)} of ${plural(total_pages, "page")}` : plural(total_pages, "page"));
    parts.push(size(file_size), moment(job.created_at));
    const took = readingSeconds(job);
    if (isEnded(job) && took) parts.push(`read in ${seconds(took)}`);
    setText(byId("job-meta"), parts.filter(Boolean).join(" · "));
    const check = job.trust?.to_check ?? 0;
    const warnings = [...(job.warnings ?? []), check ? `Compare ${plural(check, "page")} with the image: see “Check” below.` : null].filter(Boolean).join(" ");
    setText(byId("job-warnings"), warnings);
    show(byId("job-warnings"), warnings !== "");
    setText(byId("job-chip"), jobWord(job));
    byId("job-chip").dataset.status = job.status;
  }

  #progress(job) {
    const counts = tally(job);
    const ended = isEnded(job);
    const share = (value) => `${counts.total ? (100 * value) / counts.total : 0}%`;
    show(byId("progress"), true);
    byId("progress").dataset.status = job.status;
    const unopened = ended && Boolean(job.error) && !counts.total;
    const done = counts.read + counts.failed;
    const percent = job.status === "processing" && counts.total ? Math.floor((100 * done) / counts.total) : job.percent;
    const reading = job.status === "processing" && counts.total ? `Read ${number(done)} of ${plural(counts.total, "page")}.` : job.message;
    setText(byId("job-message"), counts.failed && ended ? `Read ${number(counts.read)} of ${plural(counts.total, "page")}.` : reading);
    show(byId("job-message").parentNode, !unopened);
    setText(byId("job-percent"), ended ? "" : `${percent}%`);
    const bar = byId("bar");
    show(bar, !ended);
    show(bar.nextElementSibling, !ended && counts.total > 0);
    bar.setAttribute("aria-valuenow", String(percent));
    bar.setAttribute("aria-valuetext", counts.total ? `${percent}%: ${counts.extracted} of ${counts.total} pages extracted, ${counts.read} read` : job.message);
    byId("bar-extracted").style.width = share(counts.extracted);
    byId("bar-read").style.width = share(counts.read);
    byId("bar-failed").style.width = share(counts.failed);
    setText(byId("count-extracted"), `${number(counts.extracted)} of ${number(counts.total)}`);
    setText(byId("count-read"), `${number(counts.read)} of ${number(counts.total)}`);
    setText(byId("count-failed"), number(counts.failed));
    show(byId("legend-failed"), counts.failed > 0);
    show(byId("another"), unopened);
    byId("another").classList.toggle("primary", !isLocked(job));
    if (isLocked(job)) this.#fault(this.#unlock.draw(job));
    else if (unopened) this.#fault(problemBox({ title: "This document could not be opened", detail: job.error }));
    this.#announce(job, ended);
  }

  #announce(job, ended) {
    const now = Date.now();
    const text = ended ? `${jobWord(job)}. ${job.message}` : `${job.message} ${job.percent}%`;
    if (text === this.#announced.text || (!ended && now - this.#announced.at < ANNOUNCE_MS)) return;
    this.#announced = { at: now, text };
    setText(byId("announcer"), text);
  }

  #buttons(job) {
    const ended = isEnded(job);
    const counts = tally(job);
    const open = counts.total - counts.read;
    // A cancelled job has the pages that were read before.
    const result = job.status === "completed" || job.status === "partial" || (job.status === "cancelled" && counts.read > 0);
    drawDownloads(byId("downloads"), job, result);
    show(byId("find"), result);
    show(byId("retry"), ended && open > 0);
    setText(byId("retry"), job.status === "cancelled" ? `Read the other ${plural(open, "page")}` : `Retry ${plural(open, "failed page")}`);
    show(byId("cancel"), !ended);
    show(byId("delete"), ended);
  }

  #connection(lost) {
    for (const name of ["job-trouble", "reader-trouble"]) {
      setText(byId(name), lost ? "Connection lost. Trying again…" : "");
      show(byId(name), lost);
    }
  }

  #title() {
    const job = this.#job;
    if (!job) return;
    const page = this.#reader.page;
    const lead = page !== null ? `Page ${page} · ` : isEnded(job) ? "" : `${job.percent}% · `;
    document.title = `${lead}${job.file_info.filename} · Gnosis OCR`;
  }

  async #retry(pages) {
    await this.#act("retry", pages ? { pages } : {});
  }

  // Reads a page again, as these choices say. Throws Problem.
  async #again(page, choices) {
    await request(`${this.#address}/retry`, { method: "POST", body: { pages: [page], ...choices } });
    this.#live.refresh();
  }

  get #address() {
    return `/api/jobs/${encodeURIComponent(this.#id)}`;
  }

  async #act(verb, body) {
    const buttons = [byId("retry"), byId("cancel")];
    for (const button of buttons) button.disabled = true;
    try {
      await request(`${this.#address}/${verb}`, { method: "POST", body });
      byId("job-problem").replaceChildren();
      this.#live.refresh();
    } catch (problem) {
      this.#complain(problem);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  #delete() {
    this.#live.stop();
    deleteLater([{ job_id: this.#id, filename: this.#job.file_info.filename }]);
    location.replace("#/");
  }

  // Back to the pages, without an entry of its own in the window's history.
  #overview() {
    if (this.#fromOverview) history.back();
    else location.replace(`#/jobs/${encodeURIComponent(this.#id)}`);
  }

  // The buttons that show some of the pages, where there is anything to choose.
  #filters(job) {
    const { check, failed } = this.#grid.counts;
    const words = { all: "All pages", check: `To check ${number(check)}`, failed: `Failed ${number(failed)}` };
    const counts = { all: pageNumbers(job).length, check, failed };
    if (counts[this.#grid.shown] === 0) this.#filter("all");
    for (const button of byId("filters").children) {
      const name = button.dataset.show;
      setText(button, words[name]);
      show(button, counts[name] > 0);
      button.setAttribute("aria-pressed", String(name === this.#grid.shown));
    }
    show(byId("filters"), check > 0 || failed > 0);
  }

  #filter(name) {
    if (!name) return;
    this.#grid.show(name);
    for (const button of byId("filters").children) button.setAttribute("aria-pressed", String(button.dataset.show === name));
  }

  // Put there once: a field in it keeps what was written, and the focus.
  #fault(node) {
    if (byId("job-problem").firstChild !== node) byId("job-problem").replaceChildren(node);
  }

  #complain(problem) {
    if (byId("job").hidden) this.#reader.complain(problem);
    else this.#fault(problemBox(problem));
  }
}

function kind(type) {
  return type.replace(/^.*\//, "").replace(/^x-/, "").toUpperCase();
}
