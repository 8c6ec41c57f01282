// The readings of a document's pages: a page that was read again keeps those of its earlier runs.

import { request } from "../http.js";

// Readings kept for going back to them.
const KEPT = 40;

export class Readings {
  #address;
  #kept = new Map();

  constructor(jobId) {
    this.#address = `/api/jobs/${encodeURIComponent(jobId)}/pages`;
  }

  // The page's reading, as { markup, json }: its HTML, which the service has sanitised, and its JSON. `run` is the last
  // one that has read the page, or failed to read it again. Throws Problem.
  latest(page, run, signal) {
    return this.#load(`latest ${page} ${run}`, `${this.#address}/${page}`, signal);
  }

  // The reading of an earlier run.
  earlier(page, run, signal) {
    return this.#load(`earlier ${page} ${run}`, `${this.#address}/${page}?run=${run}`, signal);
  }

  async #load(key, url, signal) {
    // A reading does not change.
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const [markup, json] = await Promise.all([
      request(url, { accept: "text/html", signal }).then((response) => response.text()),
      request(url, { accept: "application/json", signal }).then((response) => response.json()),
    ]);
    if (this.#kept.size >= KEPT) this.#kept.delete(this.#kept.keys().next().value);
    this.#kept.set(key, { markup, json });
    return { markup, json };
  }
}

// The runs of a page's earlier readings that have a text, the newest first, by the JSON of its latest.
export const earlierRuns = ({ run, readings = [] }) =>
  readings
    .filter((reading) => reading.status === "completed" && reading.run < run)
    .map((reading) => reading.run)
    .sort((one, other) => other - one);
