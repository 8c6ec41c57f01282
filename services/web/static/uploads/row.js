// One file on its way to the service: its name, how much has been sent, and what went wrong.

import { byId, el, setText } from "../element.js";
import { size } from "../format.js";
import { problemBox } from "../http.js";

// Whether another attempt with the same file may succeed: not where the service refused the file itself.
const mayPass = ({ status }) => status === 0 || status === 408 || status === 429 || status >= 500;

// `stop` is called when the upload is to be stopped.
export class Row {
  #stop;
  #size;

  constructor(file, stop) {
    this.#stop = stop;
    this.#size = file.size;
    this.stopped = false;
    this.onStop = null;
    this.note = el("span", { class: "upload-note" }, `${size(file.size)}, waiting`);
    this.fill = el("span", { class: "bar-read" });
    this.bar = el(
      "div",
      { class: "bar", role: "progressbar", "aria-label": `Upload of ${file.name}`, "aria-valuemin": "0", "aria-valuemax": "100" },
      this.fill,
    );
    this.stop = el("button", { type: "button", class: "button quiet", onclick: () => this.#halt() }, "Stop");
    this.node = el(
      "li",
      { class: "upload" },
      el("div", { class: "upload-head" }, el("span", { class: "upload-name" }, file.name), this.note, this.stop),
      this.bar,
    );
    byId("uploads").append(this.node);
  }

  begins() {
    setText(this.note, `${size(this.#size)}, sending`);
  }

  sent(loaded, total) {
    const percent = total ? Math.floor((100 * loaded) / total) : 0;
    this.fill.style.width = `${percent}%`;
    this.bar.setAttribute("aria-valuenow", String(percent));
    setText(this.note, `${size(loaded)} of ${size(total)} sent`);
  }

  lost() {
    setText(this.note, "Connection lost. Trying again…");
  }

  received() {
    setText(this.note, "Checking the file…");
  }

  fail(problem, again) {
    this.bar.remove();
    this.note.remove();
    this.stop.remove();
    const retry = () => {
      this.remove();
      again();
    };
    const buttons = [el("button", { type: "button", class: "button", onclick: () => this.remove() }, "Dismiss")];
    if (mayPass(problem)) buttons.unshift(el("button", { type: "button", class: "button", onclick: retry }, "Try again"));
    this.node.append(problemBox(problem, ...buttons));
  }

  remove() {
    this.node.remove();
  }

  // In the queue; `seconds` where the service has asked to wait.
  waits(seconds = 0) {
    setText(this.note, seconds ? `Too many documents at once. Goes on in ${seconds} s.` : `${size(this.#size)}, waiting`);
    this.fill.style.width = "0";
    this.bar.removeAttribute("aria-valuenow");
  }

  #halt() {
    this.stopped = true;
    if (this.onStop) this.onStop();
    else setText(this.note, "Stopping…");
    this.#stop();
  }
}
