// Sending a large file in pieces (tus 1.0), so that neither a lost connection nor a closed page begins it anew.

import { Problem, problemFrom, unreachable } from "./http.js";

// Below what Cloud Run takes in one HTTP/1.1 request.
const PIECE = 16 * 1024 * 1024;
const DELAYS = [500, 1000, 2000, 4000, 8000, ...Array(20).fill(15000)];
const FULL = 507;

export async function sendResumable({ file, options, row }) {
  await import("./tus.min.js");
  if (row.stopped) throw new DOMException("stopped", "AbortError");
  return new Promise((resolve, reject) => {
    let jobId = null;
    const upload = new window.tus.Upload(file, {
      endpoint: new URL("/api/uploads", location.href).href,
      chunkSize: PIECE,
      retryDelays: DELAYS,
      metadata: { filename: file.name, filetype: file.type, ...options },
      // The same file with other options is another upload.
      fingerprint: async () =>
        ["gnosis", file.name, file.size, file.lastModified, options.pages, options.dpi].join("|"),
      removeFingerprintOnSuccess: true,
      onAfterResponse: (_, response) => {
        jobId = response.getHeader("Gnosis-Job-Id") ?? jobId;
      },
      onProgress: (sent, total) => (sent < total ? row.sent(sent, total) : row.received()),
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const passes = status < 400 || status === 408 || status === 409 || (status >= 500 && status !== FULL);
        if (passes) row.lost();
        return passes;
      },
      onError: (error) => reject(problemOf(error)),
      onSuccess: () =>
        jobId ? resolve(jobId) : reject(new Problem({ title: "The service gave an unexpected answer" })),
    });
    row.onStop = () => {
      // An upload that was complete a moment ago has become a job, which is not stopped this way.
      upload.abort(true).catch(() => {});
      reject(new DOMException("stopped", "AbortError"));
    };
    goOn(upload).catch(reject);
  });
}

async function goOn(upload) {
  const before = await upload.findPreviousUploads();
  if (before.length) upload.resumeFromPreviousUpload(before.at(-1));
  upload.start();
}

function problemOf(error) {
  const answer = error.originalResponse;
  if (!answer) return unreachable();
  return problemFrom(answer.getStatus(), answer.getHeader("Content-Type") ?? "", answer.getBody());
}
