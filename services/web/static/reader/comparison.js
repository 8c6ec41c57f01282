// Two readings of a page side by side, with the words in which they differ; on a narrow window both in one text.

import { plural } from "../format.js";
import { html, nothing, render } from "../vendor/lit-html/lit-html.js";

// Milliseconds after which the comparison is given up. Chosen: only long texts with hardly a word in common take longer,
// and marks on every word would not help.
const LIMIT_MS = 1500;
// Elements that begin a line of their own in plain text.
const LINES = /^(P|H[1-6]|LI|TR|PRE|BLOCKQUOTE|FIGURE|FIGCAPTION|TABLE|DIV|HR|BR|UL|OL)$/;

// Draws the comparison of two texts into `node`; `names` says of each reading where it comes from.
export async function drawComparison(node, [before, after], names) {
  const parts = await compared(before, after);
  const changes = parts?.filter((part, at) => isChange(part) && !isChange(parts[at - 1])).length;
  const marked = parts ?? [
    { value: before, removed: true, whole: true },
    { value: after, added: true, whole: true },
  ];
  const side = (title, name, shown) => html`
    <section class="comparison-side" aria-label=${title}>
      <h2>${title}</h2>
      <p class="comparison-name">${name}</p>
      <div class="comparison-text" tabindex="0" role="group" aria-label="${title}: text">${marked.filter(shown).map(piece)}</div>
    </section>`;
  render(
    html`
      <p class="comparison-summary" role="status">${summary(changes)}</p>
      ${changes ? legend : nothing}
      <div class="comparison-sides">
        ${side("Earlier", names[0], ({ added }) => !added)} ${side("Latest", names[1], ({ removed }) => !removed)}
      </div>
      <section class="comparison-both" aria-label="Both readings">
        <p class="comparison-name">Earlier: ${names[0]}. Latest: ${names[1]}.</p>
        <div class="comparison-text" tabindex="0" role="group" aria-label="Both readings: text">${marked.map(piece)}</div>
      </section>`,
    node,
  );
}

const legend = html`<p class="comparison-legend"><del>only in the earlier reading</del> <ins>only in the latest</ins></p>`;

function summary(changes) {
  if (changes === undefined) return "The readings have so little in common that their words are not compared.";
  return changes ? `The readings differ in ${plural(changes, "place")}.` : "The readings are the same, word for word.";
}

const isChange = (part) => Boolean(part && (part.added || part.removed));

function piece({ value, added, removed, whole }) {
  if (whole) return value;
  if (removed) return html`<del>${value}</del>`;
  return added ? html`<ins>${value}</ins>` : value;
}

// The texts as parts that both have, that only the first has (`removed`), or only the second (`added`); null where they
// have too little in common.
async function compared(before, after) {
  const { diffWords } = await import("../vendor/diff/diff/word.js");
  // Finds words also where no blanks divide them.
  const intlSegmenter = globalThis.Intl.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : undefined;
  return diffWords(before, after, { timeout: LIMIT_MS, intlSegmenter }) ?? null;
}

// The text of a page's HTML: a line for each paragraph and each row of a table.
export function plainText(markup) {
  // Parsed into a document of its own, it runs and loads nothing.
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.parentElement.closest("pre") ? node.data : node.data.replace(/\s+/g, " ");
    const inside = [...node.childNodes].map(walk).join("");
    if (node.tagName === "TD" || node.tagName === "TH") return `${inside.trim()}\t`;
    return LINES.test(node.tagName) ? `\n${inside.trim()}\n` : inside;
  };
  return walk(new DOMParser().parseFromString(markup, "text/html").body)
    .replace(/[^\S\n\t]*\n\s*\n[^\S\n\t]*/g, "\n\n")
    .trim();
}
