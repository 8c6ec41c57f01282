// Polls a resource until its last version: conditional requests, slower after failures and in hidden windows.

import { Problem, problemFrom } from "./http.js";

// A request that takes longer counts as failed.
const REQUEST_LIMIT_MS = 20_000;
// By how much polling slows down in a hidden window.
const HIDDEN_FACTOR = 10;
// The longest pause after failures, in a visible window.
const SLOWEST_MS = 15_000;

// The listener: `value(latest)` gets each new version and returns true, or a promise of it, for the last one;
// `trouble(lost)` is called when the connection is lost and when it is back; `gone(problem)` ends the watch, since the
// resource does not exist or belongs to another user.
export class Watch {
  #url;
  #every;
  #listener;
  #etag = null;
  #timer = 0;
  // When the next request is to be made, in milliseconds; Infinity where none is wanted before the usual pause.
  #due = Infinity;
  #failures = 0;
  #controller = null;
  #stopped = false;
  #ended = false;
  #last = false;
  #wake = () => {
    if (!document.hidden && !this.#ended) this.refresh();
  };

  constructor(url, { every = 1000, ...listener }) {
    this.#url = url;
    this.#every = every;
    this.#listener = listener;
    document.addEventListener("visibilitychange", this.#wake);
    window.addEventListener("online", this.#wake);
    this.refresh();
  }

  // Whether the last request has failed.
  get isFailing() {
    return this.#failures > 0;
  }

  // Milliseconds between two requests from now on.
  pace(every) {
    this.#every = every;
  }

  // Asks again after `pause` milliseconds, unless that is due earlier. A request under way is not interrupted. After
  // failures only the usual pause counts, which grows.
  within(pause) {
    if (this.#stopped || this.#failures) return;
    this.#due = Math.min(this.#due, Date.now() + pause);
    if (!this.#controller) this.#wait();
  }

  refresh() {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#ended = false;
    this.#ask();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#controller?.abort();
    document.removeEventListener("visibilitychange", this.#wake);
    window.removeEventListener("online", this.#wake);
  }

  async #ask() {
    const controller = new AbortController();
    this.#controller = controller;
    this.#due = Infinity;
    const limit = setTimeout(() => controller.abort(), REQUEST_LIMIT_MS);
    let latest = null;
    try {
      const headers = { Accept: "application/json" };
      if (this.#etag) headers["If-None-Match"] = this.#etag;
      // The browser's cache would turn a 304 into the old body, and the 304 could not be recognised.
      const response = await fetch(this.#url, { headers, signal: controller.signal, cache: "no-store" });
      if (response.status === 304) {
        this.#recovered();
        this.#ended = this.#last;
      } else if (response.ok) {
        latest = await response.json();
        if (this.#controller !== controller || this.#stopped) return;
        this.#etag = response.headers.get("ETag");
        this.#recovered();
      } else {
        const problem = problemFrom(response.status, (name) => response.headers.get(name), await response.text());
        if (response.status < 500 && response.status !== 408 && response.status !== 429) throw problem;
        this.#lost();
      }
    } catch (error) {
      if (this.#controller !== controller || this.#stopped) return;
      if (error instanceof Problem) {
        this.stop();
        this.#listener.gone?.(error);
        return;
      }
      this.#lost();
    } finally {
      clearTimeout(limit);
    }
    if (latest) this.#ended = this.#last = (await this.#listener.value(latest)) === true;
    if (this.#controller !== controller || this.#stopped) return;
    this.#controller = null;
    if (!this.#ended) this.#wait();
  }

  // Waits for the next request, which takes the place of one that was waited for before.
  #wait() {
    clearTimeout(this.#timer);
    const early = this.#failures ? Infinity : Math.max(0, this.#due - Date.now());
    this.#timer = setTimeout(() => this.#ask(), Math.min(this.#pause(), early));
  }

  #pause() {
    const slowed = this.#every * 2 ** Math.min(this.#failures, 5);
    return Math.min(slowed, Math.max(SLOWEST_MS, this.#every)) * (document.hidden ? HIDDEN_FACTOR : 1);
  }

  #lost() {
    this.#failures += 1;
    this.#listener.trouble?.(true);
  }

  #recovered() {
    if (this.#failures) this.#listener.trouble?.(false);
    this.#failures = 0;
  }
}
