// The files that this window has uploaded: one that turns out to be encrypted is uploaded again with its password.

// Files kept at most. Chosen: more than a user unlocks one by one. A kept file is a reference to the disk, not its bytes.
const KEPT = 200;

// By the id of their job: the file, and the options that it was uploaded with, without a password.
const files = new Map();

export function keep(jobId, file, { password, ...options }) {
  if (files.size >= KEPT) files.delete(files.keys().next().value);
  files.set(jobId, { file, options });
}

// The file of a job, null where it was uploaded elsewhere or before the page was loaded.
export const keptFile = (jobId) => files.get(jobId) ?? null;
