// Where the files of a job are: a function from a file's name to its URL.
export function folderOf(job) {
  return (name) => `/storage/${job.user_hash}/${job.session_id}/${encodeURIComponent(name)}`;
}
