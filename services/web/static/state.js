// The states of jobs and pages as words for display.

const ENDED = new Set(["completed", "partial", "failed", "cancelled"]);

const JOB_WORDS = {
  queued: "Waiting",
  extracting: "Extracting",
  processing: "Reading",
  completed: "Done",
  partial: "Partly done",
  failed: "Failed",
  cancelled: "Cancelled",
};

const PAGE_WORDS = {
  waiting: "Waiting",
  rendered: "Ready",
  reading: "Reading",
  done: "Done",
  doubtful: "Check",
  blank: "Blank",
  failed: "Failed",
  unread: "Not read",
};

export const isEnded = (job) => ENDED.has(job.status);

export const jobWord = (job) => JOB_WORDS[job.status] ?? job.status;

export const pageWord = (state) => PAGE_WORDS[state];

export const isRead = (page) => page.status === "completed";

export const isDoubtful = (page) => Boolean(page.doubts?.length);

export function pageState(page, job) {
  if (isRead(page)) return page.blank ? "blank" : isDoubtful(page) ? "doubtful" : "done";
  if (page.status === "failed") return "failed";
  // Pages of a cancelled job keep the state they had, but none of them is being read any more.
  if (isEnded(job)) return "unread";
  if (page.status === "processing") return "reading";
  return page.image ? "rendered" : "waiting";
}

export const pageNumbers = (job) =>
  Object.keys(job.pages ?? {})
    .map(Number)
    .sort((a, b) => a - b);

export function tally(job) {
  const counts = { total: 0, extracted: 0, read: 0, failed: 0 };
  for (const page of Object.values(job.pages ?? {})) {
    counts.total += 1;
    if (page.image) counts.extracted += 1;
    if (isRead(page)) counts.read += 1;
    else if (page.status === "failed") counts.failed += 1;
  }
  return counts;
}

export const reason = (page) => page.error || "No reason was recorded.";

// Seconds in which at least one page was being read: without the wait in the queue.
export function readingSeconds(job) {
  const spans = Object.values(job.pages ?? {})
    .map((page) => [Date.parse(page.processing_started_at), Date.parse(page.processing_completed_at)])
    .filter(([start, end]) => end >= start)
    .sort(([one], [other]) => one - other);
  let [total, until] = [0, -Infinity];
  for (const [start, end] of spans) {
    total += Math.max(0, end - Math.max(start, until));
    until = Math.max(until, end);
  }
  return total / 1000;
}
