// Where files are chosen or dropped, and the options for reading them.

import { byId, setText, show } from "../element.js";
import { Queue } from "./queue.js";

const PAGE_LIST = /^\d+\s*(-\s*\d*)?(\s*,\s*\d+\s*(-\s*\d*)?)*$/;

// `uploaded(jobIds, failures)` is called after the last file of a selection.
export class UploadForm {
  #queue;

  constructor(uploaded) {
    this.#queue = new Queue(uploaded);
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
    this.#queue.add(chosen, options);
    // The next document has another one.
    byId("password").value = "";
  }

  // Uploads a file again; the job `replaced` is deleted once it has been taken.
  again(file, options, replaced) {
    this.#queue.add([file], options, replaced);
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
  return { pages: pages.replace(/\s+/g, ""), dpi, ocr: byId("ocr").value, languages: byId("languages").value.trim(), password: byId("password").value };
}
