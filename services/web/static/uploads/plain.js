// The upload of a small file in one request.

import { Problem, problemFrom, unreachable } from "../http.js";

// By XMLHttpRequest: fetch does not report how much of a body has been sent.
export function sendPlain({ file, options, row }) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(options)) if (value) form.append(name, value);
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
        reject(problemFrom(call.status, (name) => call.getResponseHeader(name), call.responseText));
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

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
