// Uploads of large files in pieces (tus 1.0): a lost connection or a closed page does not start them over.

import { Problem, problemFrom, unreachable } from "../http.js";

// Bytes a request. Cloud Run takes at most 32 MiB in one HTTP/1.1 request (https://cloud.google.com/run/quotas).
const PIECE = 16 * 1024 * 1024;
// Milliseconds before each further attempt: some five minutes in all.
const DELAYS = [500, 1000, 2000, 4000, 8000, ...Array(20).fill(15000)];
// The status of a full disk: another attempt would fail as well.
const FULL = 507;

export async function sendResumable({ file, options, row }) {
  await import("../vendor/tus.min.js");
  if (row.stopped) throw new DOMException("stopped", "AbortError");
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value));
  return new Promise((resolve, reject) => {
    let jobId = null;
    const upload = new window.tus.Upload(file, {
      endpoint: new URL("/api/uploads", location.href).href,
      chunkSize: PIECE,
      retryDelays: DELAYS,
      metadata: { filename: file.name, filetype: file.type, ...given },
      // What is stored for a reload of the page has the options in it, and a password must not be stored.
      storeFingerprintForResuming: !options.password,
      // The options are part of it: the same file with other options is another upload.
      fingerprint: async () =>
        ["gnosis", file.name, file.size, file.lastModified, options.pages, options.dpi, options.ocr, options.languages].join("|"),
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
      // Fails where the upload has just been completed: it is a job then, and this does not delete jobs.
      upload.abort(true).catch(() => {});
      reject(new DOMException("stopped", "AbortError"));
    };
    goOn(upload, !options.password).catch(reject);
  });
}

async function goOn(upload, resumes) {
  const before = resumes ? await upload.findPreviousUploads() : [];
  if (before.length) upload.resumeFromPreviousUpload(before.at(-1));
  upload.start();
}

function problemOf(error) {
  const answer = error.originalResponse;
  if (!answer) return unreachable();
  return problemFrom(answer.getStatus(), (name) => answer.getHeader(name), answer.getBody());
}
