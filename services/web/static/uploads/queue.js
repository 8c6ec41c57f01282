// The files that wait to be uploaded: three at once, and all again after the time that a full service asks for.

import { request } from "../http.js";
import { Unreached, isOffered, sendDirect } from "./direct.js";
import { keep } from "./kept.js";
import { sendPlain } from "./plain.js";
import { sendResumable } from "./resumable.js";
import { Row } from "./row.js";

// Uploads at once. Chosen: a slow line is not divided further, and of a fast one a file's end costs little.
const AT_ONCE = 3;
// Bytes from which a file is sent resumably: its upload lasts long enough for the connection to be lost meanwhile.
const LARGE = 32_000_000;
// The status of a service that takes no more for now; the seconds to wait where it names no time, and the longest wait
// that is worth standing for. A longer one is of a quota that renews itself within a day: that the user is told.
const [FULL, WAIT, LONGEST_WAIT] = [429, 5, 600];

// `uploaded(jobIds, failures)` is called when nothing is left to upload.
export class Queue {
  #uploaded;
  #waiting = [];
  #sending = 0;
  #accepted = [];
  #failures = 0;
  // While the service is full: when it may be asked again, in milliseconds, and the timer for it.
  #opensAt = 0;
  #timer = 0;

  constructor(uploaded) {
    this.#uploaded = uploaded;
  }

  // The job `replaced` is deleted once the file has been taken.
  add(files, options, replaced = null) {
    for (const file of files) {
      const entry = { file, options, replaced };
      entry.row = new Row(file, () => this.#stopped(entry));
      this.#waiting.push(entry);
    }
    this.#go();
  }

  #go() {
    if (this.#timer) return;
    while (this.#sending < AT_ONCE && this.#waiting.length) this.#send(this.#waiting.shift());
    if (this.#sending || this.#waiting.length) return;
    const [accepted, failures] = [this.#accepted, this.#failures];
    [this.#accepted, this.#failures] = [[], 0];
    this.#uploaded(accepted, failures);
  }

  async #send(entry) {
    const { file, row, options, replaced } = entry;
    this.#sending += 1;
    row.begins();
    try {
      const jobId = await (file.size > LARGE ? sendLarge : sendPlain)(entry);
      this.#accepted.push(jobId);
      keep(jobId, file, options);
      row.remove();
      // Where that fails the document is listed twice, which the user can mend.
      if (replaced) await request(`/api/jobs/${encodeURIComponent(replaced)}`, { method: "DELETE" }).catch(() => {});
    } catch (error) {
      if (error.name === "AbortError") row.remove();
      else if (error.status === FULL && error.retryAfter <= LONGEST_WAIT) this.#wait(entry, error);
      else {
        this.#failures += 1;
        row.fail(error, () => this.add([file], options, replaced));
      }
    } finally {
      this.#sending -= 1;
      this.#go();
    }
  }

  // The file goes back to the head of the queue, which stands still for as long as the service asks.
  #wait(entry, problem) {
    entry.row.onStop = null;
    this.#waiting.unshift(entry);
    const seconds = problem.retryAfter || WAIT;
    this.#opensAt = Math.max(this.#opensAt, Date.now() + 1000 * seconds);
    this.#tick();
  }

  #tick() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const left = Math.ceil((this.#opensAt - Date.now()) / 1000);
    if (left <= 0 || !this.#waiting.length) {
      for (const { row } of this.#waiting) row.waits();
      this.#go();
      return;
    }
    for (const { row } of this.#waiting) row.waits(left);
    this.#timer = setTimeout(() => this.#tick(), 1000);
  }

  // A file that was stopped before its upload began.
  #stopped(entry) {
    if (!this.#waiting.includes(entry)) return;
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    entry.row.remove();
    if (!this.#timer) this.#go();
  }
}

async function sendLarge(entry) {
  if (await isOffered()) {
    try {
      return await sendDirect(entry);
    } catch (error) {
      if (!(error instanceof Unreached)) throw error;
    }
  }
  return sendResumable(entry);
}
