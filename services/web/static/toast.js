// A deletion that can be undone: documents disappear at once, and are deleted when the notice ends or the page is left.

import { byId, el, setText, show } from "./element.js";
import { Problem, request } from "./http.js";

// Milliseconds in which a deletion can be undone. Chosen: enough to read the notice and reach its button.
const UNDO_MS = 8000;

const addressOf = (id) => `/api/jobs/${encodeURIComponent(id)}`;

// The ids of documents that are shown no more; of them, those whose deletion has not been sent.
const gone = new Set();
let pending = [];
let timer = 0;
let changed = () => {};

window.addEventListener("pagehide", () => {
  // The page ends before an answer: the browser sends these without it.
  for (const { job_id } of pending) fetch(addressOf(job_id), { method: "DELETE", keepalive: true }).catch(() => {});
  pending = [];
});

export const isGone = (id) => gone.has(id);

// `listener` is called when documents disappear or come back.
export function onDeletion(listener) {
  changed = listener;
}

// Deletes documents, each { job_id, filename }, unless that is undone in time.
export function deleteLater(jobs) {
  commit();
  pending = jobs;
  for (const { job_id } of jobs) gone.add(job_id);
  const words = jobs.length === 1 ? `Deleted “${jobs[0].filename}”.` : `Deleted ${jobs.length} documents.`;
  notice(words, el("button", { type: "button", class: "button", onclick: undo }, "Undo"));
  timer = setTimeout(commit, UNDO_MS);
  changed();
}

function undo() {
  clearTimeout(timer);
  for (const { job_id } of pending) gone.delete(job_id);
  pending = [];
  close();
  changed();
}

async function commit() {
  clearTimeout(timer);
  const jobs = pending;
  pending = [];
  if (!jobs.length) return;
  close();
  const faults = (await Promise.all(jobs.map(sent))).filter(Boolean);
  if (!faults.length) return;
  const [problem] = faults;
  notice(`${faults.length === 1 ? "A document" : `${faults.length} documents`} could not be deleted. ${problem.detail || problem.title} ${problem.hint}`);
  changed();
}

// The fault of the deletion, after which the document is shown again; null where it is deleted.
async function sent({ job_id }) {
  try {
    await request(addressOf(job_id), { method: "DELETE" });
    return null;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 404) return null;
    gone.delete(job_id);
    return problem;
  }
}

function notice(words, ...buttons) {
  const dismiss = el("button", { type: "button", class: "button quiet", onclick: () => (pending.length ? commit() : close()) }, "Close");
  byId("toast").replaceChildren(el("p", { role: "status" }, words), ...buttons, dismiss);
  show(byId("toast"), true);
  setText(byId("announcer"), words);
}

function close() {
  show(byId("toast"), false);
  byId("toast").replaceChildren();
}
