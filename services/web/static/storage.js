// Where the files of a job are: /storage/{user_hash}/{session_id}/{name}.

const folders = new Map();

// Resolves to a function from a file's name to its URL. The hash is a partition of the storage, not a secret. Browsers
// compute it only on https and on this machine; elsewhere the URL is null, and the text is shown without its image.
export function folderOf(job) {
  if (!globalThis.crypto?.subtle) return Promise.resolve(() => null);
  const email = job.user_email.trim().toLowerCase();
  if (!folders.has(email)) folders.set(email, hashOf(email));
  return folders.get(email).then((hash) => (name) => `/storage/${hash}/${job.session_id}/${encodeURIComponent(name)}`);
}

async function hashOf(email) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(email));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .slice(0, 12);
}
