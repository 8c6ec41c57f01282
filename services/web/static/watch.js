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
    if (this.#controller === controller && !this.#stopped && !this.#ended) {
      this.#timer = setTimeout(() => this.#ask(), this.#pause());
    }
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
