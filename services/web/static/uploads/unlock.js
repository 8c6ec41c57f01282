// Asks for the password of a document that could not be opened without, and uploads it again with that.

import { byId, el } from "../element.js";
import { html, nothing, render } from "../vendor/lit-html/lit-html.js";
import { keptFile } from "./kept.js";

const TITLES = {
  encrypted: "This document is protected by a password",
  wrong_password: "The password did not open this document",
};

export const isLocked = (job) => job.status === "failed" && job.error_code in TITLES;

export class Unlock {
  #upload;
  #node = el("div");
  #job = null;

  // `upload(file, options, replaced)` uploads a file; the job `replaced`, where there is one, is then deleted.
  constructor(upload) {
    this.#upload = upload;
  }

  // The form for this job.
  draw(job) {
    // A second drawing would empty the field.
    if (this.#job === job.job_id) return this.#node;
    this.#job = job.job_id;
    const kept = keptFile(job.job_id);
    const again = html`
      <div class="field">
        <label for="unlock-file">Choose the file again</label>
        <input id="unlock-file" type="file" accept=".pdf,application/pdf" required>
      </div>`;
    render(
      html`
        <form class="problem unlock" aria-labelledby="unlock-title" @submit=${(event) => this.#submit(event, job, kept)}>
          <p class="problem-title" id="unlock-title" role="alert">${TITLES[job.error_code]}</p>
          <p>${kept ? "Write its password: the file is then uploaded again." : "Choose the file again and write its password."}</p>
          ${kept ? nothing : again}
          <div class="field">
            <label for="unlock-password">Password</label>
            <input id="unlock-password" type="password" autocomplete="off" maxlength="255" required>
          </div>
          <p class="problem-hint">The password is deleted as soon as the pages have been extracted.</p>
          <div class="actions"><button type="submit" class="button primary">Open the document</button></div>
        </form>`,
      this.#node,
    );
    return this.#node;
  }

  // The files that were uploaded from here go on in the list of uploads.
  #submit(event, job, kept) {
    event.preventDefault();
    const password = byId("unlock-password").value;
    const { pages, dpi, ocr, languages } = job.options ?? {};
    const [file, options] = kept
      ? [kept.file, kept.options]
      : [byId("unlock-file").files[0], { pages: pages ?? "", dpi: dpi ? String(dpi) : "", ocr: ocr ?? "auto", languages: (languages ?? []).join(",") }];
    if (!file || !password) return;
    this.#upload(file, { ...options, password }, kept ? job.job_id : null);
    // The form stays in the document until another one is opened.
    byId("unlock-password").value = "";
  }
}
