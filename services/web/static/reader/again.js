// The dialog by which one page is read again: with another engine, recognised anew, or rendered at another resolution.

import { byId, el, setText, show } from "../element.js";
import { request } from "../http.js";

const DPI = { least: 72, most: 400 };

let engines = null;

// The engines that the service names; none where it does not answer.
function known() {
  engines ??= request("/version")
    .then((answer) => answer.json())
    .then(({ engines }) => engines.filter((name) => name !== "auto"))
    .catch(() => {
      engines = null;
      return [];
    });
  return engines;
}

export class Again {
  #read;
  #page = null;
  #busy = false;

  // `read(page, choices)` has the page read again; it throws Problem.
  constructor(read) {
    this.#read = read;
    byId("again-form").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    byId("again-cancel").onclick = () => byId("again").close();
  }

  // Asks how the page is to be read. `engine`: the one that has read it, where known.
  async open(page, job, engine) {
    this.#page = page;
    const isPdf = job.file_info.file_type === "pdf";
    setText(byId("again-title"), `Read page ${page} again`);
    for (const name of ["again-ocr-field", "again-dpi-field"]) show(byId(name), isPdf);
    byId("again-ocr").value = "";
    byId("again-dpi").value = "";
    byId("again-dpi").placeholder = String(job.options?.dpi ?? "");
    this.#complain("");
    this.#offer([], engine);
    byId("again").showModal();
    this.#offer(await known(), engine);
  }

  close() {
    byId("again").close();
  }

  #offer(names, engine) {
    const chosen = byId("again-engine").value;
    const same = el("option", { value: "" }, engine ? `As before (${engine})` : "As before");
    byId("again-engine").replaceChildren(same, ...names.map((name) => el("option", { value: name }, name)));
    if (names.includes(chosen)) byId("again-engine").value = chosen;
    show(byId("again-engine-field"), names.some((name) => name !== engine));
  }

  async #submit() {
    if (this.#busy) return;
    const dpi = byId("again-dpi").value.trim();
    if (!byId("again-dpi").validity.valid) {
      this.#complain(`Write a whole number from ${DPI.least} to ${DPI.most}.`);
      byId("again-dpi").focus();
      return;
    }
    const choices = {};
    if (byId("again-engine").value) choices.engine = byId("again-engine").value;
    if (byId("again-ocr").value) choices.ocr = byId("again-ocr").value;
    if (dpi) choices.dpi = Number(dpi);
    this.#busy = byId("again-read").disabled = true;
    try {
      await this.#read(this.#page, choices);
      this.close();
    } catch (problem) {
      this.#complain([problem.detail || problem.title, problem.hint].filter(Boolean).join(" "));
    } finally {
      this.#busy = byId("again-read").disabled = false;
    }
  }

  #complain(words) {
    setText(byId("again-error"), words);
    show(byId("again-error"), words !== "");
  }
}
