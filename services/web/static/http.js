// Requests to the service, and Problem: an error with the service's own explanation (RFC 9457).

import { el } from "./element.js";

export class Problem extends Error {
  constructor({ status = 0, title = "Something went wrong", detail = "", hint = "" }) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.hint = hint;
  }
}

export const unreachable = () =>
  new Problem({
    title: "The service cannot be reached",
    detail: "No answer came back.",
    hint: "Check that the service is running, then try again.",
  });

export function problemFrom(status, contentType, body) {
  if (contentType.includes("json")) {
    try {
      const { title, detail, hint } = JSON.parse(body);
      return new Problem({ status, title, detail, hint });
    } catch {
      // A proxy in between may answer with something else; then the status is all there is to show.
    }
  }
  return new Problem({ status, title: "The service gave an unexpected answer", detail: `HTTP status ${status}.` });
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
    throw problemFrom(response.status, response.headers.get("Content-Type") ?? "", await response.text());
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
