// The result of a document in every form that the service makes.

import { html, render } from "./vendor/lit-html/lit-html.js";

const FORMS = [
  { format: "md", name: "Markdown", title: "Headings, tables and lists as Markdown" },
  { format: "txt", name: "Text", title: "Text without any markup" },
  { format: "html", name: "HTML", title: "One document for a browser" },
  { format: "pdf", name: "Searchable PDF", title: "The pages as they look, with the text in them to search and copy" },
  { format: "json", name: "JSON", title: "Every block, line and place, with its provenance" },
  { format: "zip", name: "All as ZIP", title: "All forms, tables as CSV, and figures" },
];

// Links to the result in `node`; none while it is not `ready`.
export function drawDownloads(node, job, ready) {
  node.hidden = !ready;
  const stem = job.file_info.filename.replace(/\.[^.]*$/, "");
  const link = ({ format, name, title }) =>
    html`<a class="button" id="download-${format}" title=${title} download="${stem}.${format}"
      href="/api/jobs/${encodeURIComponent(job.job_id)}/result?format=${format}"><span class="visually-hidden">Download </span>${name}</a>`;
  render(ready ? FORMS.map(link) : null, node);
}
