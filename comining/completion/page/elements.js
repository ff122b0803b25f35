"use strict";

const byId = (id) => document.getElementById(id);
const listen = (id, event, act) => byId(id).addEventListener(event, act);
const grouped = (number) => number.toLocaleString("en");
const plural = (number, noun) => `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A line as the boxes of a kind, or in a state, are drawn. */
function sample(kind) {
  const line = svgElement("line", { class: `box ${kind}`, x1: 3, x2: 23, y1: 7, y2: 7 });
  return svgElement("svg", { class: "sample", "aria-hidden": "true" }, line);
}

// ---- what the page is about ---------------------------------------------------------------------

const data = JSON.parse(byId("data").textContent);
const images = data.images.map((image, number) => {
  const boxes = image.boxes.map(([kind, label, x, y, width, height, score, found, id]) => ({
    id, kind: data.kinds[kind], score, found, original: { label, x, y, width, height },
    label, x, y, width, height, verdict: null, isChanged: false, isDrawn: false,
  }));
  return { ...image, number, boxes, listed: boxes, drawn: new Map(), isFinished: false };
});
const imageById = new Map(images.map((image) => [image.id, image]));

const isProposal = (box) => box.score !== null && box.id !== null;
const isUndecided = (box) => isProposal(box) && box.verdict === null;

/** How far two boxes overlap, in 0..1: their intersection over their union. */
function overlapOf(a, b) {
  const along = (start, size) =>
    Math.max(0, Math.min(a[start] + a[size], b[start] + b[size]) - Math.max(a[start], b[start]));
  const common = along("x", "width") * along("y", "height");
  return common / (a.width * a.height + b.width * b.height - common);
}

/** How a box differs from what the file says of it: an empty text if it does not. */
function stateOf(box) {
  if (box.verdict === "rejected") return "rejected";
  if (box.isDrawn) return "drawn";
  if (box.isChanged) return "changed";
  return box.verdict ?? "";
}
