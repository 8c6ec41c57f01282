// The home view: uploads, and the list of documents.

import { byId, setText, show } from "../element.js";
import { History } from "../history.js";
import { problemBox } from "../http.js";
import { isEnded } from "../state.js";
import { isGone, onDeletion } from "../toast.js";
import { UploadForm } from "../uploads/form.js";
import { html, render } from "../vendor/lit-html/lit-html.js";
import { Watch } from "../watch.js";

export class Home {
  #watch = null;
  #history = new History(() => this.#follow());
  #open = false;
  #form;

  constructor() {
    this.#form = new UploadForm((jobs, failures) => {
      if (jobs.length === 1 && !failures && this.#open) location.hash = `#/jobs/${jobs[0]}`;
      else this.#watch?.refresh();
    });
    onDeletion(() => this.#history.draw());
  }

  open() {
    this.#open = true;
    document.title = "Gnosis OCR";
    this.#history.begin();
    this.#follow();
  }

  // Watches the newest of the documents that are asked for.
  #follow() {
    if (!this.#open) return;
    this.#watch?.stop();
    this.#watch = new Watch(this.#history.address, {
      every: 2000,
      value: (answer) => {
        this.#history.update(answer);
        return answer.jobs.every((job) => isEnded(job) || isGone(job.job_id));
      },
      trouble: (lost) => {
        setText(byId("history-trouble"), lost ? "Connection lost. Trying again…" : "");
        show(byId("history-trouble"), lost);
      },
      gone: (problem) => {
        show(byId("history"), true);
        render(html`<li>${problemBox(problem)}</li>`, byId("joblist"));
      },
    });
  }

  // Uploads a file again, in place of a document that could not be opened.
  upload(file, options, replaced) {
    this.#form.again(file, options, replaced);
  }

  close() {
    this.#open = false;
    this.#watch?.stop();
    this.#watch = null;
  }
}
