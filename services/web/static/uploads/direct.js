// Uploads of large files straight to the bucket (resumable uploads of Cloud Storage), where the service offers that.

import { Problem, request, unreachable } from "../http.js";

// Bytes a request. The bucket takes multiples of 256 KiB.
// https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
const PIECE = 16 * 1024 * 1024;
// Milliseconds before each further attempt: some five minutes in all.
const DELAYS = [500, 1000, 2000, 4000, 8000, ...Array(20).fill(15000)];
// Failures without any answer of the bucket after which it counts as out of reach: a network policy or the bucket's CORS
// settings forbid it to this browser.
const UNHEARD = 3;

// The bucket cannot be used from here: the file has to be sent another way.
export class Unreached extends Error {}

// The connection broke or the bucket is busy: another attempt may succeed.
class Lost extends Error {}

let offered = null;

export function isOffered() {
  offered ??= request("/version")
    .then((answer) => answer.json())
    .then((version) => version.direct_uploads)
    .catch(() => {
      offered = null;
      return false;
    });
  return offered;
}

// Uploads the file and returns the id of its job. Throws Unreached, Problem.
export async function sendDirect({ file, options, row }) {
  const upload = new Direct(file, options, row);
  try {
    return await upload.send();
  } catch (error) {
    if (error instanceof Unreached) {
      offered = Promise.resolve(false);
      await upload.giveUp();
    }
    throw error;
  }
}

class Direct {
  #file;
  #options;
  #row;
  #key;
  #begun = null;
  #call = null;
  #heard = false;
  // Bytes that the bucket has stored; null when unknown, and then the bucket is asked.
  #at = null;

  constructor(file, options, row) {
    [this.#file, this.#options, this.#row] = [file, options, row];
    // The options are part of the key: the same file with other options is another upload.
    this.#key = ["gnosis", file.name, file.size, file.lastModified, options.pages, options.dpi, options.ocr, options.languages].join("|");
  }

  async send() {
    this.#row.onStop = () => this.#stop();
    if (!(await this.#goOn())) await this.#begin();
    await this.#sendAll();
    this.#row.received();
    const { job_id } = await this.#complete();
    sessionStorage.removeItem(this.#key);
    return job_id;
  }

  async giveUp() {
    sessionStorage.removeItem(this.#key);
    if (!this.#begun) return;
    // Fails where the upload has just been completed: it is a job then, and this does not delete jobs.
    await request(`/api/direct-uploads/${this.#begun.upload_id}`, { method: "DELETE" }).catch(() => {});
  }

  // Whether an upload of this file was interrupted in this window and can be resumed.
  async #goOn() {
    const kept = this.#options.password ? null : JSON.parse(sessionStorage.getItem(this.#key));
    if (!kept || Date.parse(kept.expires_at) < Date.now()) return false;
    this.#begun = kept;
    try {
      this.#at = await this.#ask();
    } catch (error) {
      if (error instanceof Unreached) this.#begun = null;
      else if (!(error instanceof Lost)) throw error;
    }
    return this.#begun !== null;
  }

  async #begin() {
    const { dpi, ...options } = this.#options;
    const body = { filename: this.#file.name, size: this.#file.size };
    for (const [name, value] of Object.entries(options)) if (value) body[name] = value;
    if (dpi) body.dpi = Number(dpi);
    try {
      this.#begun = await (await request("/api/direct-uploads", { method: "POST", body })).json();
    } catch (problem) {
      if (problem.status === 404) throw new Unreached();
      throw problem;
    }
    this.#at = 0;
    this.#goes();
    // The key must not hold a password, so it cannot identify an upload that was begun with one.
    if (this.#options.password) return;
    // For a reload of the page. In sessionStorage, which ends with the window: the address is enough to write the file.
    sessionStorage.setItem(this.#key, JSON.stringify(this.#begun));
  }

  async #sendAll() {
    const size = this.#file.size;
    let failures = 0;
    while (this.#at !== size) {
      try {
        this.#at ??= await this.#ask();
        if (this.#at === size) return;
        const [start, end] = [this.#at, Math.min(this.#at + PIECE, size)];
        this.#at = this.#kept(await this.#put(this.#file.slice(start, end), `bytes ${start}-${end - 1}/${size}`, start));
        if (this.#at <= start) throw new Lost();
        failures = 0;
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
        if (!this.#heard && failures + 1 >= UNHEARD) throw new Unreached();
        if (failures >= DELAYS.length) throw unreachable();
        this.#at = null;
        this.#row.lost();
        await sleep(DELAYS[failures]);
        this.#goes();
        failures += 1;
      }
    }
  }

  async #complete() {
    for (let tries = 0; ; tries += 1) {
      try {
        return await (await request(this.#begun.complete, { method: "POST" })).json();
      } catch (error) {
        const passes = error instanceof Problem && (error.status === 0 || error.status >= 500);
        if (passes && tries < DELAYS.length) {
          this.#row.lost();
          await sleep(DELAYS[tries]);
          continue;
        }
        // A refusal is final, and the service has removed the upload.
        if (!passes) sessionStorage.removeItem(this.#key);
        throw error;
      }
    }
  }

  async #ask() {
    return this.#kept(await this.#put(null, `bytes */${this.#file.size}`));
  }

  // Bytes that the bucket has stored, from its response.
  #kept({ status, range }) {
    if (status === 200 || status === 201) return this.#file.size;
    if (status === 308) return range ? Number(range.split("-")[1]) + 1 : 0;
    if (status === 408 || status === 429 || status >= 500) throw new Lost();
    throw new Unreached();
  }

  #put(body, contentRange, sentBefore = 0) {
    return new Promise((resolve, reject) => {
      const call = new XMLHttpRequest();
      call.open("PUT", this.#begun.upload_url);
      call.setRequestHeader("Content-Range", contentRange);
      if (body) {
        const total = this.#file.size;
        call.upload.addEventListener("progress", ({ loaded }) => this.#row.sent(Math.min(sentBefore + loaded, total), total));
      }
      call.addEventListener("load", () => {
        this.#heard = true;
        resolve({ status: call.status, range: call.getResponseHeader("Range") });
      });
      call.addEventListener("error", () => reject(new Lost()));
      call.addEventListener("abort", () => reject(stopped()));
      this.#call = call;
      call.send(body);
    });
  }

  #stop() {
    this.#call?.abort();
    this.giveUp();
  }

  #goes() {
    if (!this.#row.stopped) return;
    this.giveUp();
    throw stopped();
  }
}

const stopped = () => new DOMException("stopped", "AbortError");

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
