// The pages of a document that could not be read, by the reasons.

import { byId, el, setText, show } from "./element.js";
import { number, plural, runs } from "./format.js";
import { isEnded, pageNumbers, reason } from "./state.js";

// Ranges of failed pages that are linked; the pages of further ranges are only counted.
const LINKED = 12;

export class Failures {
  #retry;
  #drawn = "";

  // `retry(pages)` reads pages again.
  constructor(retry) {
    this.#retry = retry;
    byId("failure-list").replaceChildren();
    show(byId("failures"), false);
  }

  update(job) {
    const byReason = new Map();
    for (const page of pageNumbers(job)) {
      if (job.pages[page].status !== "failed") continue;
      const why = reason(job.pages[page]);
      if (!byReason.has(why)) byReason.set(why, []);
      byReason.get(why).push(page);
    }
    const drawn = JSON.stringify([...byReason, isEnded(job)]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const total = [...byReason.values()].reduce((sum, pages) => sum + pages.length, 0);
    show(byId("failures"), total > 0);
    setText(byId("failures-title"), total === 1 ? "1 page could not be read" : `${number(total)} pages could not be read`);
    byId("failure-list").replaceChildren(...[...byReason].map(([why, pages]) => this.#failure(why, pages, job)));
  }

  #failure(why, pages, job) {
    const names = runs(pages);
    const links = names.slice(0, LINKED).flatMap(([first, last], at) => [
      at ? ", " : "",
      el("a", { href: `#/jobs/${encodeURIComponent(job.job_id)}/pages/${first}` }, first === last ? String(first) : `${first}–${last}`),
    ]);
    const rest = names.slice(LINKED).reduce((sum, [first, last]) => sum + last - first + 1, 0);
    return el(
      "li",
      {},
      el("div", {}, el("p", { class: "failure-pages" }, pages.length === 1 ? "Page " : "Pages ", ...links, rest ? ` and ${number(rest)} more` : null), el("p", { class: "failure-reason" }, why)),
      isEnded(job) ? el("button", { type: "button", class: "button", "aria-label": `Retry ${plural(pages.length, "page")}`, onclick: () => this.#retry(pages) }, "Retry") : null,
    );
  }
}
