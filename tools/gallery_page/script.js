"use strict";

const MEANINGS = {
  annotated: "in the annotation file",
  mined: "found by the detector, with its score",
  wrong: "mined, but on no annotation of its class, not even a withheld one (IoU 0.5)",
  withheld: "only in the full original; thin where a mined box found it",
};
// Boxes of later kinds are drawn over those of earlier ones.
const DRAWN = ["withheld", "annotated", "wrong", "mined"];
const CARD_WIDTH = 220; // px, at least
const CAPTION_HEIGHT = 66; // px: two lines and the paddings
const SPARE_ROWS = 2; // built above and below what is visible

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const images = data.images.map((image, number) => ({
  ...image,
  number,
  boxes: image.boxes.map(([kind, label, x, y, width, height, score, found]) => ({
    kind: data.kinds[kind], label, x, y, width, height, score, found,
  })),
}));

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

const listen = (id, event, act) => byId(id).addEventListener(event, act);
const grouped = (number) => number.toLocaleString("en");

function sample(kind) {
  const line = svgElement("line", { class: `box ${kind}`, x1: 3, x2: 23, y1: 7, y2: 7 });
  return svgElement("svg", { class: "sample", "aria-hidden": "true" }, line);
}

// ---- filters ------------------------------------------------------------------------------------

let filters; // what the form says
let shown = []; // {image, boxes that pass, lowest score of those}, sorted

function readFilters() {
  const number = (id, missing) => {
    const value = byId(id).valueAsNumber;
    return Number.isNaN(value) ? missing : value;
  };
  const [low, high] = [number("low", 0), number("high", 1)];
  const kinds = data.kinds.filter((kind) => byId(`kind-${kind}`).checked);
  const label = byId("class").value === "" ? null : Number(byId("class").value);
  const anyScore = low <= 0 && high >= 1;
  return {
    kinds: new Set(kinds),
    label,
    low,
    high,
    anyScore,
    everything: kinds.length === data.kinds.length && label === null && anyScore,
    sort: byId("sort").value,
    context: byId("context").checked,
  };
}

function passesButKind(box) {
  if (filters.label !== null && box.label !== filters.label) return false;
  return filters.anyScore ||
    (box.score !== null && box.score >= filters.low && box.score <= filters.high);
}

const lowestScore = (boxes) =>
  boxes.reduce((lowest, box) => (box.score === null ? lowest : Math.min(lowest, box.score)), Infinity);

const NAMES = new Intl.Collator("en", { numeric: true });
// All of them keep the file's order among equals.
const ORDERS = {
  doubt: (a, b) => (a.lowest === b.lowest ? 0 : a.lowest - b.lowest),
  boxes: (a, b) => b.boxes.length - a.boxes.length,
  name: (a, b) => NAMES.compare(a.image.name, b.image.name),
};

function applyFilters() {
  filters = readFilters();
  const counts = Object.fromEntries(data.kinds.map((kind) => [kind, 0]));
  let found = 0;
  let total = 0;
  shown = [];
  for (const image of images) {
    const boxes = image.boxes.filter((box) => {
      if (!passesButKind(box)) return false;
      counts[box.kind] += 1;
      found += box.found;
      return filters.kinds.has(box.kind);
    });
    total += boxes.length;
    if (boxes.length || filters.everything) shown.push({ image, boxes, lowest: lowestScore(boxes) });
  }
  shown.sort(ORDERS[filters.sort]);

  for (const kind of data.kinds) {
    const ofFound = kind === "withheld" ? `, ${grouped(found)} found` : "";
    byId(`number-${kind}`).textContent = grouped(counts[kind]) + ofFound;
  }
  byId("count").textContent =
    `Images shown: ${grouped(shown.length)} of ${grouped(images.length)}. Boxes: ${grouped(total)}.`;
  byId("nothing").hidden = shown.length > 0;
  current = 0;
  byId("scroller").scrollTop = 0;
  rebuildGrid();
}

// ---- pictures -----------------------------------------------------------------------------------

const awaited = []; // [image, <image> element] whose thumbnail is not parsed yet

/** Thumbnails stand behind this script, so that a large page shows cards before all is read. */
function showThumbnail(image, target) {
  const source = byId(`thumbnail-${image.number}`);
  // A last element may be half read.
  if (source && (source.nextSibling || document.readyState !== "loading")) {
    target.setAttribute("href", data.thumbnails + source.textContent);
  } else {
    awaited.push([image, target]);
  }
}

function showAwaited() {
  for (const [image, target] of awaited.splice(0)) showThumbnail(image, target);
}

function pictureOf(image) {
  return svgElement("image", {
    width: image.width, height: image.height, preserveAspectRatio: "none",
  });
}

/**
 * Draw boxes into an SVG whose unit is a pixel of the image.
 * @param {number} unit what a pixel of the screen measures in pixels of the image
 * @returns {Map} from box to the group that it is drawn as
 */
function drawBoxes(svg, image, wanted, textOf, unit) {
  const drawn = new Map();
  const size = 11 * unit;
  const boxes = [...image.boxes].sort((a, b) => DRAWN.indexOf(a.kind) - DRAWN.indexOf(b.kind));
  for (const box of boxes) {
    const isWanted = wanted.has(box);
    if (!isWanted && !filters.context) continue;
    const place = { x: box.x, y: box.y, width: box.width, height: box.height };
    const group = svgElement("g", isWanted ? {} : { class: "faint" },
      svgElement("rect", { class: "edge", ...place }),
      svgElement("rect", { class: `box ${box.kind}${box.found ? " found" : ""}`, ...place }));
    const text = textOf(box);
    if (text) {
      const y = box.y >= size * 1.4 ? box.y - size * 0.4 : box.y + size * 1.2;
      group.append(svgElement("text", {
        class: "label", x: box.x + size * 0.2, y, "font-size": size, "stroke-width": 3 * unit,
      }, text));
    }
    svg.append(group);
    drawn.set(box, group);
  }
  return drawn;
}

// ---- grid: only the cards near the visible part exist ------------------------------------------

const cards = new Map(); // position in `shown` -> <li>
let current = 0; // the position that the keyboard is at
let layout; // {columns, width and height of a card in px}

function rebuildGrid() {
  const hadFocus = byId("grid").contains(document.activeElement);
  for (const card of cards.values()) card.remove();
  cards.clear();
  const available = byId("grid").clientWidth;
  const columns = Math.max(1, Math.floor(available / CARD_WIDTH));
  const width = available / columns;
  layout = { columns, width, height: Math.round(width * 0.75) + CAPTION_HEIGHT };
  byId("grid").style.height = `${Math.ceil(shown.length / columns) * layout.height}px`;
  buildCards();
  if (hadFocus) buttonAt(current)?.focus({ preventScroll: true });
}

function buildCards() {
  const { scrollTop, clientHeight } = byId("scroller");
  const { columns, height } = layout;
  const first = Math.max(0, Math.floor(scrollTop / height) - SPARE_ROWS) * columns;
  const last = (Math.ceil((scrollTop + clientHeight) / height) + SPARE_ROWS) * columns;
  const needed = new Set();
  for (let position = first; position < Math.min(last, shown.length); position++) needed.add(position);
  // Without the current card, Tab would not lead into the grid.
  if (current < shown.length) needed.add(current);
  for (const [position, card] of cards) {
    if (needed.has(position)) continue;
    card.remove();
    cards.delete(position);
  }
  for (const position of needed) {
    if (cards.has(position)) continue;
    const card = makeCard(position);
    // In the order of the page, for screen readers.
    const next = [...cards.keys()].filter((other) => other > position).sort((a, b) => a - b)[0];
    byId("grid").insertBefore(card, cards.get(next) ?? null);
    cards.set(position, card);
  }
}

function countsOf(boxes) {
  const counts = data.kinds.map((kind) => [kind, boxes.filter((box) => box.kind === kind).length]);
  return counts.filter(([, number]) => number);
}

const inWords = (counts) =>
  counts.map(([kind, number]) => `${number} ${kind}`).join(", ") || "no boxes";

function makeCard(position) {
  const { image, boxes, lowest } = shown[position];
  const { columns, width, height } = layout;
  const counts = countsOf(boxes);
  const score = lowest < Infinity ? lowest.toFixed(2) : "";

  const svg = svgElement("svg", {
    class: "picture", viewBox: `0 0 ${image.width} ${image.height}`, "aria-hidden": "true",
  });
  const picture = pictureOf(image);
  if (data.thumbnails) showThumbnail(image, picture);
  else picture.setAttribute("href", image.url);
  svg.append(picture);
  const unit = Math.max(image.width / (width - 22), image.height / (height - CAPTION_HEIGHT));
  const textOf = (box) => (box.score === null ? "" : box.score.toFixed(2));
  drawBoxes(svg, image, new Set(boxes), textOf, unit);

  const button = element("button", {
    type: "button",
    tabindex: position === current ? 0 : -1,
    title: image.name,
    "aria-label": `${image.name}: ${inWords(counts)}${score && `, lowest score ${score}`}`,
    "aria-haspopup": "dialog",
  },
  svg,
  element("span", { class: "caption" },
    element("span", { class: "name" }, image.name), element("span", { class: "score" }, score)),
  element("span", { class: "counts" },
    ...counts.map(([kind, number]) => element("span", {}, sample(kind), ` ${number}`))));
  button.addEventListener("click", () => openLarge(position));
  button.addEventListener("focus", () => setCurrent(position));
  const card = element("li", { "aria-setsize": shown.length, "aria-posinset": position + 1 }, button);
  card.style.width = `${width}px`;
  card.style.height = `${height}px`;
  card.style.left = `${(position % columns) * width}px`;
  card.style.top = `${Math.floor(position / columns) * height}px`;
  return card;
}

const buttonAt = (position) => cards.get(position)?.firstChild;

function setCurrent(position) {
  buttonAt(current)?.setAttribute("tabindex", -1);
  current = position;
  buttonAt(current)?.setAttribute("tabindex", 0);
}

/** Go to an image, bring its card into view and focus it. */
function moveTo(position) {
  if (!shown.length) return;
  setCurrent(Math.min(Math.max(position, 0), shown.length - 1));
  const scroller = byId("scroller");
  const top = Math.floor(current / layout.columns) * layout.height;
  const lowest = top + layout.height - scroller.clientHeight;
  scroller.scrollTop = Math.max(Math.min(scroller.scrollTop, top), lowest);
  buildCards();
  buttonAt(current).focus({ preventScroll: true });
}

// ---- large view ---------------------------------------------------------------------------------

let large; // {position in `shown`, boxes as listed, chosen: index of a box or null, zoom: whether}

function openLarge(position) {
  const { image } = shown[position];
  large = { position, boxes: [], chosen: null, zoom: false };
  byId("large-name").textContent = image.name;
  byId("large-position").textContent = `${grouped(position + 1)} of ${grouped(shown.length)}`;
  byId("previous").disabled = position === 0;
  byId("next").disabled = position === shown.length - 1;
  byId("note").textContent = "";
  if (!byId("large").open) byId("large").showModal();
  showPictures(image);
  listBoxes();
}

/** List and draw the boxes of the large view. The chosen one stays chosen if it is still there. */
function listBoxes() {
  const { image, boxes } = shown[large.position];
  const chosen = large.boxes[large.chosen];
  const rank = (box) => box.score ?? 2 + data.kinds.indexOf(box.kind) + box.found / 2;
  large.boxes = [...(filters.context ? image.boxes : boxes)].sort((a, b) => rank(a) - rank(b));
  byId("boxes").replaceChildren(...large.boxes.map((box, index) => {
    const button = element("button", { type: "button" }, sample(box.kind), ` ${describe(box)}`);
    button.addEventListener("click", () => choose(index === large.chosen ? null : index));
    return element("li", {}, button);
  }));
  choose(large.boxes.includes(chosen) ? large.boxes.indexOf(chosen) : null);
}

function describe(box) {
  const score = box.score === null ? "" : ` ${box.score.toFixed(2)}`;
  return `${data.classes[box.label]}${score}, ${box.kind}${box.found ? ", found" : ""}`;
}

/** The original lies over the thumbnail, which remains if the original isn't there. */
function showPictures(image) {
  const original = pictureOf(image);
  original.addEventListener("error", () => {
    if (!original.isConnected) return; // another image is shown by now
    original.remove();
    byId("note").textContent = `${image.name} is not where it was, or of a kind that the browser ` +
      `can't show${data.thumbnails ? ": this is its thumbnail." : "."}`;
  });
  const thumbnail = pictureOf(image);
  if (data.thumbnails) showThumbnail(image, thumbnail);
  byId("picture").replaceChildren(thumbnail, original);
  original.setAttribute("href", image.url);
}

function drawLarge() {
  const svg = byId("picture");
  const { image, boxes } = shown[large.position];
  const box = large.boxes[large.chosen];
  let view = [0, 0, image.width, image.height];
  if (large.zoom && box) {
    const margin = 0.75 * Math.max(box.width, box.height);
    view = [box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin];
  }
  svg.setAttribute("viewBox", view.join(" "));
  svg.setAttribute("aria-label", `${image.name}: ${inWords(countsOf(boxes))}`);
  svg.classList.toggle("choosing", Boolean(box));
  for (const group of svg.querySelectorAll("g")) group.remove();
  const unit = Math.max(view[2] / svg.clientWidth, view[3] / svg.clientHeight);
  const textOf = ({ label, score }) =>
    data.classes[label] + (score === null ? "" : ` ${score.toFixed(2)}`);
  drawBoxes(svg, image, new Set(boxes), textOf, unit).get(box)?.classList.add("chosen");
  byId("zoom").setAttribute("aria-pressed", large.zoom);
  byId("zoom").disabled = large.boxes.length === 0;
  [...byId("boxes").children].forEach((item, index) => {
    item.firstChild.setAttribute("aria-pressed", index === large.chosen);
  });
}

function choose(index) {
  large.chosen = index;
  if (index === null) large.zoom = false;
  drawLarge();
  byId("boxes").children[index]?.scrollIntoView({ block: "nearest" });
}

function stepImage(by) {
  const position = large.position + by;
  if (position >= 0 && position < shown.length) openLarge(position);
}

function stepBox(by) {
  const number = large.boxes.length;
  if (!number) return;
  const from = large.chosen ?? (by > 0 ? -1 : number);
  choose((from + by + number) % number);
}

function toggleZoom() {
  if (!large.boxes.length) return;
  large.zoom = !large.zoom;
  choose(large.chosen ?? 0);
}

// ---- keys ---------------------------------------------------------------------------------------

const MOVES = { // of the keyboard in the grid: from the layout's columns and rows on a page
  ArrowLeft: () => current - 1,
  ArrowRight: () => current + 1,
  ArrowUp: (columns) => (current >= columns ? current - columns : current),
  ArrowDown: (columns) => (current + columns < shown.length ? current + columns : current),
  PageUp: (columns, rows) => current - columns * rows,
  PageDown: (columns, rows) => current + columns * rows,
  Home: () => 0,
  End: () => shown.length - 1,
};
const LARGE_KEYS = {
  ArrowLeft: () => stepImage(-1),
  ArrowRight: () => stepImage(1),
  ArrowUp: () => stepBox(-1),
  ArrowDown: () => stepBox(1),
  z: toggleZoom,
};

function showContext() {
  filters.context = byId("context").checked;
  rebuildGrid();
  if (byId("large").open) listBoxes();
}

function toggleContext() {
  byId("context").checked = !byId("context").checked;
  showContext();
}

/** What a key does here, if anything. */
function actionOf(key) {
  if (byId("help").open) return null;
  if (key === "?") return () => byId("help").showModal();
  if (key === "c") return toggleContext;
  if (byId("large").open) return LARGE_KEYS[key];
  const rows = Math.max(1, Math.floor(byId("scroller").clientHeight / layout.height));
  return MOVES[key] && (() => moveTo(MOVES[key](layout.columns, rows)));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("select, input[type=number]")) return;
  const action = actionOf(event.key);
  if (!action) return;
  event.preventDefault();
  action();
});

// ---- start --------------------------------------------------------------------------------------

for (const kind of data.kinds) {
  byId("kinds").append(element("label", {},
    Object.assign(element("input", { type: "checkbox", id: `kind-${kind}` }), { checked: true }),
    " ", sample(kind), ` ${kind} `, element("output", { id: `number-${kind}` })));
  byId("meanings").append(
    element("dt", {}, sample(kind), ` ${kind}`), element("dd", {}, MEANINGS[kind]));
}
byId("class").append(element("option", { value: "" }, "all"));
data.classes.forEach((name, index) => byId("class").append(element("option", { value: index }, name)));

listen("filters", "submit", (event) => event.preventDefault());
listen("filters", "input", (event) => {
  if (event.target.id === "context") showContext();
  else applyFilters();
});
listen("help-button", "click", () => byId("help").showModal());
listen("help-close", "click", () => byId("help").close());
listen("previous", "click", () => stepImage(-1));
listen("next", "click", () => stepImage(1));
listen("zoom", "click", toggleZoom);
listen("close", "click", () => byId("large").close());
listen("large", "close", () => moveTo(large.position));
listen("scroller", "scroll", buildCards);
applyFilters();
new ResizeObserver(() => {
  const scroller = byId("scroller");
  const first = Math.floor(scroller.scrollTop / layout.height) * layout.columns;
  rebuildGrid();
  scroller.scrollTop = Math.floor(first / layout.columns) * layout.height;
  if (byId("large").open) drawLarge();
}).observe(byId("scroller"));
new MutationObserver(showAwaited).observe(document.body, { childList: true });
document.addEventListener("DOMContentLoaded", showAwaited);
