// Uploads: one file after the other, each with a line of progress; large files in pieces, to the bucket where possible.

import { Unreached, isOffered, sendDirect } from "./direct.js";
import { byId, el, setText, show } from "./element.js";
import { size } from "./format.js";
import { Problem, problemBox, problemFrom, unreachable } from "./http.js";
import { sendResumable } from "./resumable.js";

// Bytes from which a file is sent resumably: its upload lasts long enough for the connection to be lost meanwhile.
const LARGE = 32_000_000;

const PAGE_LIST = /^\d+\s*(-\s*\d*)?(\s*,\s*\d+\s*(-\s*\d*)?)*$/;

// `uploaded(jobIds, failures)` is called after the last file of a selection.
export class UploadForm {
  #uploaded;
  #queue = [];
  #accepted = [];
  #failures = 0;
  #busy = false;

  constructor(uploaded) {
    this.#uploaded = uploaded;
    const file = byId("file");
    file.addEventListener("change", () => {
      this.add(file.files);
      file.value = "";
    });
    byId("upload").addEventListener("submit", (event) => event.preventDefault());
    for (const name of ["pages", "dpi"]) byId(name).addEventListener("input", () => complain(name, ""));
    this.#listenForDrops();
  }

  add(files) {
    const chosen = Array.from(files);
    if (!chosen.length) return;
    const options = readOptions();
    if (!options) return;
    for (const file of chosen) this.#queue.push({ file, options, row: new Row(file) });
    if (!this.#busy) this.#drain();
  }

  async #drain() {
    this.#busy = true;
    while (this.#queue.length) {
      const next = this.#queue.shift();
      try {
        this.#accepted.push(await (next.file.size > LARGE ? sendLarge : send)(next));
        next.row.remove();
      } catch (error) {
        if (error.name === "AbortError") {
          next.row.remove();
          continue;
        }
        this.#failures += 1;
        next.row.fail(error, () => this.add([next.file]));
      }
    }
    const [accepted, failures] = [this.#accepted, this.#failures];
    [this.#busy, this.#accepted, this.#failures] = [false, [], 0];
    this.#uploaded(accepted, failures);
  }

  #listenForDrops() {
    const zone = byId("dropzone");
    const home = byId("home");
    const carriesFiles = (event) => !home.hidden && event.dataTransfer?.types.includes("Files");
    // A drag enters and leaves every element it crosses: it is over the page while more were entered than left.
    let inside = 0;
    const settle = (change) => {
      inside = Math.max(0, inside + change);
      zone.classList.toggle("over", inside > 0);
    };
    window.addEventListener("dragenter", (event) => carriesFiles(event) && settle(1));
    window.addEventListener("dragleave", (event) => carriesFiles(event) && settle(-1));
    window.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      // Without this the browser would leave the page and open the file.
      event.preventDefault();
      event.dataTransfer.dropEffect = home.hidden ? "none" : "copy";
    });
    window.addEventListener("drop", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      settle(-inside);
      if (!home.hidden) this.add(event.dataTransfer.files);
    });
  }
}

function complain(name, message) {
  const note = byId(`${name}-error`);
  setText(note, message);
  show(note, Boolean(message));
  byId(name).toggleAttribute("aria-invalid", Boolean(message));
}

function readOptions() {
  const pages = byId("pages").value.trim();
  const dpi = byId("dpi").value.trim();
  const pagesBad = pages && !PAGE_LIST.test(pages);
  const dpiBad = !byId("dpi").validity.valid;
  complain("pages", pagesBad ? "Write page numbers and ranges, such as 1-5, 8, 12-." : "");
  complain("dpi", dpiBad ? "Write a whole number from 72 to 400." : "");
  if (pagesBad || dpiBad) {
    byId("options").open = true;
    byId(pagesBad ? "pages" : "dpi").focus();
    return null;
  }
  return { pages: pages.replace(/\s+/g, ""), dpi, ocr: byId("ocr").value };
}

async function sendLarge(next) {
  if (await isOffered()) {
    try {
      return await sendDirect(next);
    } catch (error) {
      if (!(error instanceof Unreached)) throw error;
    }
  }
  return sendResumable(next);
}

// By XMLHttpRequest: fetch does not report how much of a body has been sent.
function send({ file, options, row }) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    if (options.pages) form.append("pages", options.pages);
    if (options.dpi) form.append("dpi", options.dpi);
    form.append("ocr", options.ocr);
    form.append("file", file, file.name);
    const call = new XMLHttpRequest();
    call.open("POST", "/upload");
    call.setRequestHeader("Accept", "application/json");
    call.upload.addEventListener("progress", (event) => row.sent(event.loaded, event.total));
    call.upload.addEventListener("load", () => row.received());
    call.addEventListener("load", () => {
      if (call.status === 202) {
        const answer = parse(call.responseText);
        if (answer?.job_id) resolve(answer.job_id);
        else reject(new Problem({ title: "The service gave an unexpected answer", status: call.status }));
      } else {
        reject(problemFrom(call.status, call.getResponseHeader("Content-Type") ?? "", call.responseText));
      }
    });
    call.addEventListener("error", () => reject(unreachable()));
    call.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    row.onStop = () => call.abort();
    if (row.stopped) {
      reject(new DOMException("stopped", "AbortError"));
      return;
    }
    call.send(form);
  });
}

// Whether another attempt with the same file may succeed: not where the service refused the file itself.
const mayPass = ({ status }) => status === 0 || status === 408 || status === 429 || status >= 500;

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

class Row {
  constructor(file) {
    this.stopped = false;
    this.onStop = null;
    this.note = el("span", { class: "upload-note" }, `${size(file.size)}, waiting`);
    this.fill = el("span", { class: "bar-read" });
    this.bar = el(
      "div",
      { class: "bar", role: "progressbar", "aria-label": `Upload of ${file.name}`, "aria-valuemin": "0", "aria-valuemax": "100" },
      this.fill,
    );
    this.stop = el("button", { type: "button", class: "button quiet", onclick: () => this.#stop() }, "Stop");
    this.node = el(
      "li",
      { class: "upload" },
      el("div", { class: "upload-head" }, el("span", { class: "upload-name" }, file.name), this.note, this.stop),
      this.bar,
    );
    byId("uploads").append(this.node);
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

  #stop() {
    this.stopped = true;
    if (this.onStop) this.onStop();
    else setText(this.note, "Stopping…");
  }
}
