// The files of a job: returns a function from a file's name to its URL.
export function folderOf(job) {
  return (name) => `/storage/${job.user_hash}/${job.session_id}/${encodeURIComponent(name)}`;
}
