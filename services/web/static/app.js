// The views of the page, chosen by the fragment of its address: #/, #/jobs/{id}, #/jobs/{id}/pages/{n}.

import { byId, setText, show } from "./element.js";
import { request } from "./http.js";
import { Home } from "./views/home.js";
import { JobView } from "./views/job.js";

const home = new Home();
let job = null;
let first = true;

function route() {
  const match = /^#\/jobs\/([^/]+)(?:\/pages\/(\d+))?$/.exec(location.hash);
  const id = match ? decoded(match[1]) : null;
  show(byId("lost"), false);
  if (job && job.id !== id) {
    job.close();
    job = null;
  }
  home.close();
  show(byId("home"), !match);
  if (match) {
    job ??= new JobView(id, { lost, upload: again });
    job.open(match[2] ? Number(match[2]) : null);
  } else {
    home.open();
    window.scrollTo(0, 0);
  }
  // Focus moves to the heading of the view just opened, for keyboards and screen readers; not on the first load.
  if (!first) document.querySelector("main > section:not([hidden]) h1")?.focus({ preventScroll: true });
  first = false;
}

// The upload is shown in the list of uploads, and the new document when it has arrived.
function again(file, options, replaced) {
  location.hash = "#/";
  home.upload(file, options, replaced);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function lost(problem) {
  job?.close();
  job = null;
  document.title = "Not found · Gnosis OCR";
  setText(byId("lost-title"), problem.status === 404 ? "This document is not here." : (problem.title ?? "This document cannot be shown."));
  setText(byId("lost-detail"), problem.status === 404 ? "It may have been deleted, or it belongs to someone else." : [problem.detail, problem.hint].filter(Boolean).join(" "));
  show(byId("lost"), true);
}

async function colophon() {
  try {
    const { version, mode } = await (await request("/version")).json();
    setText(byId("colophon"), `Gnosis OCR ${version}${mode === "local" ? " · Your files stay on this machine." : ""}`);
  } catch {
    setText(byId("colophon"), "Gnosis OCR");
  }
}

window.addEventListener("hashchange", route);
route();
colophon();
