// How a page was read, in words: pairs of a heading and a sentence.

import { percent, plural, seconds } from "../format.js";

const AGAINST = {
  text_layer: "the document's own text",
  ocr: "another engine's reading of the page",
  spot_check: "places recognised from the image",
};

// How a page lay, by the clockwise turn in degrees that set it upright.
const TURNS = { 90: "on its left side", 180: "upside down", 270: "on its right side" };

export function provenanceOf(json) {
  return [
    ["Source", sourceOf(json)],
    ["Trust", trustOf(json.trust)],
    ["Confidence", known(json.trust?.confidence) ? `${percent(json.trust.confidence)}, as the engine rates its own reading` : null],
    ["Image", imageOf(json)],
    ["Time", timeOf(json)],
  ].filter(([, words]) => words);
}

// By what a page was read, in a few words.
export function readBy({ source, engine, dpi }) {
  if (source === "text_layer") return "the document's own text";
  return [engine, dpi ? `${dpi} DPI` : null].filter(Boolean).join(", ");
}

const known = (share) => typeof share === "number";

function sourceOf({ source, engine }) {
  const by = engine ? ` by ${engine}` : "";
  if (source === "text_layer") return "The document's own text, without recognition";
  if (source === "model") return `Read from the image${by}, a model`;
  if (source === "ocr") return `Read from the image${by} (OCR)`;
  return by ? `Read${by}` : null;
}

function trustOf(trust) {
  if (!trust) return null;
  if (!known(trust.figure)) return trust.reasons.map(({ text }) => text).join(" ") || "Not compared with a second reading";
  const second = AGAINST[trust.against] ?? "a second reading";
  const numbers = known(trust.numbers) ? `, and ${percent(trust.numbers)} of the numbers` : "";
  return `${percent(trust.figure)} of the words agree with ${second}${numbers}`;
}

function imageOf({ width, height, dpi, rotation }) {
  if (!width || !height) return null;
  const turned = TURNS[rotation] ? `, scanned ${TURNS[rotation]} and shown upright` : "";
  return `${width} × ${height} pixels${dpi ? ` at ${dpi} DPI` : ""}${turned}`;
}

function timeOf({ seconds: taken, attempts }) {
  const parts = [taken ? seconds(taken) : null, attempts > 1 ? plural(attempts, "attempt") : null];
  return parts.filter(Boolean).join(", ");
}
