// Requests to the service, and Problem: an error with the service's own explanation (RFC 9457).

import { el } from "./element.js";

export class Problem extends Error {
  // `retryAfter`: seconds after which the service asks to come again; 0 where it does not say.
  constructor({ status = 0, title = "Something went wrong", detail = "", hint = "", retryAfter = 0 }) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

export const unreachable = () =>
  new Problem({
    title: "The service cannot be reached",
    detail: "No answer came back.",
    hint: "Check that the service is running, then try again.",
  });

// `header(name)` is a header of the answer, null where it has none.
export function problemFrom(status, header, body) {
  const retryAfter = Number(header("Retry-After")) || 0;
  if (header("Content-Type")?.includes("json")) {
    try {
      const { title, detail, hint } = JSON.parse(body);
      return new Problem({ status, title, detail, hint, retryAfter });
    } catch {
      // A proxy in between may answer with something else; then the status is all there is to show.
    }
  }
  return new Problem({ status, title: "The service gave an unexpected answer", detail: `HTTP status ${status}.`, retryAfter });
}

export async function request(url, { signal, method = "GET", accept = "application/json", body } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!response.ok) {
    throw problemFrom(response.status, (name) => response.headers.get(name), await response.text());
  }
  return response;
}

export function problemBox(problem, ...buttons) {
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("p", { class: "problem-title" }, problem.title ?? "Something went wrong"),
    problem.detail ? el("p", {}, problem.detail) : null,
    problem.hint ? el("p", { class: "problem-hint" }, problem.hint) : null,
    buttons.length ? el("div", { class: "actions" }, ...buttons) : null,
  );
}
