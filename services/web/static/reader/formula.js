// LaTeX in the text of a page, shown as MathML. What the library does not understand stays as it is written.

// The delimiters of the service's Markdown (libs/page/dialect.py), with its limits and, for dollars, Pandoc's rule.
const ALONE = /^\s*(?:\$\$([\s\S]{1,2000})\$\$|\\\[([\s\S]{1,2000})\\\])\s*$/;
const WITHIN = /\$\$([^$]{1,2000})\$\$|\\\[([\s\S]{1,2000}?)\\\]|\\\(([\s\S]{1,2000}?)\\\)|\$(?!\s)((?:[^$\\\n]|\\.){1,500}?)(?<!\s)\$(?!\d)/g;

// Renders formulas that are set apart and, where `running`, those in running text. Whether there were any.
export async function renderFormulas(root, running) {
  const found = [...root.querySelectorAll("pre")].flatMap((node) => {
    const match = ALONE.exec(node.textContent);
    return match ? [{ node, latex: match[1] ?? match[2], display: true }] : [];
  });
  if (running) found.push(...inText(root));
  if (!found.length) return false;
  const { default: temml } = await import("../vendor/temml.js");
  for (const { node, latex, display } of found) {
    const shown = document.createElement(display && node.nodeType === Node.ELEMENT_NODE ? "div" : "span");
    try {
      // Without `trust` no link, class or address of the document comes into the page.
      temml.render(latex.trim(), shown, { displayMode: display, throwOnError: true, annotate: true, maxExpand: 1000, maxSize: [20, 2000] });
    } catch {
      continue;
    }
    shown.className = "formula";
    if (node.dataset?.block) shown.dataset.block = node.dataset.block;
    node.replaceWith(shown);
  }
  return true;
}

// The formulas in running text, each made a text node of its own.
function inText(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("pre, code") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  const texts = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) texts.push(node);
  return texts.flatMap((text) => {
    const found = [];
    // From the last to the first: splitting a text does not move what stands before.
    for (const match of [...text.data.matchAll(WITHIN)].reverse()) {
      const node = text.splitText(match.index);
      node.splitText(match[0].length);
      found.push({ node, latex: match[1] ?? match[2] ?? match[3] ?? match[4], display: match[1] !== undefined || match[2] !== undefined });
    }
    return found;
  });
}
