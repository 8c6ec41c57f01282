// A search for words: its pattern, and where it matches in an element.

// The pattern of a search, or null where there is nothing to search for. Any white space matches any other.
export function patternOf(words) {
  const parts = words.trim().split(/\s+/).filter(Boolean);
  if (!parts.length) return null;
  return new RegExp(parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("\\s+"), "giu");
}

// The matches in an element as ranges; a match may begin in one text and end in another.
export function matches(root, pattern) {
  const texts = [];
  let whole = "";
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    texts.push({ node, start: whole.length });
    whole += node.data;
  }
  const ranges = [];
  let at = 0;
  for (const found of whole.matchAll(pattern)) {
    const [start, end] = [found.index, found.index + found[0].length];
    while (at + 1 < texts.length && texts[at + 1].start <= start) at += 1;
    let last = at;
    while (last + 1 < texts.length && texts[last + 1].start < end) last += 1;
    const range = document.createRange();
    range.setStart(texts[at].node, start - texts[at].start);
    range.setEnd(texts[last].node, end - texts[last].start);
    ranges.push(range);
  }
  return ranges;
}
