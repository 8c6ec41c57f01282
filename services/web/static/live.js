// The current state of a job: its record (GET .../status) merged with its events (GET .../events).
//
// Only this module chooses between the two sources. The record is complete but is written at intervals. The stream sends
// each page the moment it is saved. The merge is by page number and run, so each outcome is shown once, whichever source
// has it first. Without a stream the record is polled.

import { isEnded } from "./state.js";
import { Watch } from "./watch.js";

// Milliseconds between two requests for the record: without a stream; and beside a stream that sends nothing, in case
// the connection is dead.
const ALONE_MS = 1000;
const SILENT_MS = 15_000;
// Milliseconds from a job event to the request for the record: the minimum, and for each page of a long document. This
// is how often the service writes the record (`interval` in libs/jobstate/recorder.py).
const BESIDE_MS = 1000;
const BESIDE_EACH_MS = 1000 / 300;
// Milliseconds until the next attempt after a refused stream. After the last attempt the record is polled until the view
// is opened again.
const AGAIN_MS = [3_000, 10_000, 30_000];
// Milliseconds within which a stream must send its first event, which the service sends at once. A proxy that buffers the
// response delays it.
const FIRST_EVENT_MS = 10_000;
// Milliseconds after which a stream that lacks a page of the record counts as buffered by a proxy. Chosen: twice the
// longest pause between two looks of the service at a job in a bucket (docs/events.md).
const BEHIND_MS = 30_000;
// Milliseconds in which events are collected before the view is drawn. Chosen: too short to be noticed.
const DRAW_MS = 50;

// The listener is that of a `Watch`: `value(job)` gets each new state of the job.
export class Live {
  #url;
  #listener;
  #watch;
  #record = null;
  // The last event about the job, and the last event of each page by its number.
  #jobEvent = null;
  #pageEvents = new Map();
  #stream = null;
  // Whether the stream has sent an event since it was last connected.
  #isLive = false;
  #refusals = 0;
  // Whether the next attempt waits for the timer. The timer also limits the wait for a first event.
  #isPausing = false;
  #timer = 0;
  #drawing = 0;
  // Since when the stream lacks a page of the record; 0 if it lacks none.
  #behindSince = 0;
  #stopped = false;
  #onVisibility = () => (document.hidden ? this.#close() : this.#open());
  #reopen = () => {
    this.#close();
    this.#open();
  };

  constructor(id, listener) {
    this.#url = `/api/jobs/${encodeURIComponent(id)}`;
    this.#listener = listener;
    this.#watch = new Watch(`${this.#url}/status`, {
      every: ALONE_MS,
      value: (record) => this.#onRecord(record),
      trouble: (lost) => listener.trouble?.(lost),
      gone: (problem) => {
        this.stop();
        listener.gone?.(problem);
      },
    });
    document.addEventListener("visibilitychange", this.#onVisibility);
    // After a change of network the old connection is dead, and browsers do not always notice.
    window.addEventListener("online", this.#reopen);
  }

  // Asks for the record now: the caller has changed the job.
  refresh() {
    this.#watch.refresh();
  }

  stop() {
    this.#stopped = true;
    this.#close();
    this.#watch.stop();
    clearTimeout(this.#drawing);
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.removeEventListener("online", this.#reopen);
  }

  async #onRecord(record) {
    this.#record = record;
    const ended = isEnded(record);
    if (ended) this.#close();
    else if (this.#isBehind(record)) this.#giveUp();
    else this.#open();
    await this.#draw();
    return ended;
  }

  // Over HTTP/1.1 a browser opens at most six connections to a host, for all its windows together. So hidden windows and
  // ended jobs have no stream.
  #open() {
    if (this.#stream || this.#isPausing || this.#stopped || document.hidden || this.#refusals > AGAIN_MS.length) return;
    if (!this.#record || isEnded(this.#record)) return;
    this.#behindSince = 0;
    const stream = new EventSource(`${this.#url}/events`);
    this.#stream = stream;
    const on = (name, act) => stream.addEventListener(name, (event) => this.#stream === stream && act(JSON.parse(event.data)));
    on("job", (event) => this.#onJob(event));
    on("page", (event) => this.#onPage(event));
    on("done", () => this.#onDone());
    stream.onerror = () => this.#stream === stream && this.#onError();
    this.#timer = setTimeout(() => this.#refused(), FIRST_EVENT_MS);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#isPausing = false;
    this.#stream?.close();
    this.#stream = null;
    this.#isLive = false;
    this.#watch.pace(ALONE_MS);
  }

  #onJob(event) {
    clearTimeout(this.#timer);
    this.#refusals = 0;
    this.#jobEvent = event;
    this.#isLive = true;
    this.#watch.pace(SILENT_MS);
    if (this.#watch.isFailing) this.#watch.refresh();
    else this.#watch.within(Math.max(BESIDE_MS, BESIDE_EACH_MS * event.total_pages));
    this.#drawSoon();
  }

  #onPage(event) {
    this.#pageEvents.set(event.page_no, event);
    this.#drawSoon();
  }

  // The job has ended or was deleted. The record says which, and has the rest.
  #onDone() {
    this.#close();
    this.#watch.within(0);
  }

  // The browser reconnects by itself and sends the id of the last event, except after a refusal.
  #onError() {
    this.#isLive = false;
    this.#watch.pace(ALONE_MS);
    this.#watch.within(0);
    if (this.#stream.readyState === EventSource.CLOSED) this.#refused();
  }

  #refused() {
    this.#close();
    const pause = AGAIN_MS[this.#refusals];
    this.#refusals += 1;
    if (pause === undefined) return;
    this.#isPausing = true;
    this.#timer = setTimeout(this.#reopen, pause);
  }

  #giveUp() {
    this.#refusals = AGAIN_MS.length + 1;
    this.#close();
  }

  // Whether the stream has lacked a page of the record for too long.
  #isBehind(record) {
    const isMissing = ([number, page]) => isOver(page) && page.run === record.run && this.#pageEvents.get(Number(number))?.run !== page.run;
    const behind = this.#isLive && this.#jobEvent.run === record.run && Object.entries(record.pages ?? {}).some(isMissing);
    if (!behind) this.#behindSince = 0;
    else this.#behindSince ||= Date.now();
    return behind && Date.now() - this.#behindSince > BEHIND_MS;
  }

  #drawSoon() {
    this.#drawing ||= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = 0;
    return this.#listener.value(merged(this.#record, this.#jobEvent, this.#pageEvents));
  }
}

const isOver = (page) => page.status === "completed" || page.status === "failed";

// The record with the events that are newer. A page's outcome does not change within a run.
function merged(record, jobEvent, pageEvents) {
  const pages = { ...record.pages };
  for (const [number, outcome] of pageEvents) {
    const page = pages[number];
    if (page && (page.run < outcome.run || (page.run === outcome.run && !isOver(page)))) pages[number] = { ...page, ...outcome };
  }
  if (!isNewer(jobEvent, record)) return { ...record, pages };
  const { run, status, step, message, percent } = jobEvent;
  return { ...record, run, status, current_step: step, message, percent, pages };
}

// The end of a job is taken from its record alone, which then has everything.
function isNewer(jobEvent, record) {
  if (!jobEvent || isEnded(record) || isEnded(jobEvent)) return false;
  return jobEvent.run > record.run || (jobEvent.run === record.run && jobEvent.percent >= record.percent);
}
