// ---- grid: only the cards near the visible part exist ------------------------------------------

const CARD_WIDTH = 220; // px, at least
const CAPTION_HEIGHT = 66; // px: two lines and the paddings
const MOST_LABELS = 25; // with more boxes on a card, scores would cover the image
const SPARE_ROWS = 2; // built above and below what is visible

const cards = new Map(); // position in `shown` -> <li>
let current = 0; // the position that the keyboard is at
let layout; // {available width, columns, width and height of a card in px}

function rebuildGrid() {
  const hadFocus = byId("grid").contains(document.activeElement);
  for (const card of cards.values()) card.remove();
  cards.clear();
  const available = byId("grid").clientWidth;
  const columns = Math.max(1, Math.floor(available / CARD_WIDTH));
  const width = available / columns;
  layout = { available, columns, width, height: Math.round(width * 0.75) + CAPTION_HEIGHT };
  byId("grid").style.height = `${Math.ceil(shown.length / columns) * layout.height}px`;
  buildCards();
  if (hadFocus) buttonAt(current)?.focus({ preventScroll: true });
}

/** After a change of size, keep what is seen at the top. */
function fitGrid() {
  if (byId("grid").clientWidth === layout.available) {
    buildCards();
    return;
  }
  const scroller = byId("scroller");
  const first = Math.floor(scroller.scrollTop / layout.height) * layout.columns;
  rebuildGrid();
  scroller.scrollTop = Math.floor(first / layout.columns) * layout.height;
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

/** What a card tells of the decisions about its image. */
function stateOfImage(image, boxes) {
  if (image.isFinished) return "finished";
  const proposals = boxes.filter(isProposal);
  const undecided = proposals.filter(isUndecided).length;
  if (!proposals.length || undecided === proposals.length) return "";
  return undecided ? `${undecided} left` : "decided";
}

/** Make a card anew after a decision about its image. */
function rebuildCard(position) {
  const card = cards.get(position);
  if (!card) return;
  const hadFocus = card.contains(document.activeElement);
  const made = makeCard(position);
  card.replaceWith(made);
  cards.set(position, made);
  if (hadFocus) buttonAt(position).focus({ preventScroll: true });
}

function makeCard(position) {
  const { image, boxes, lowest } = shown[position];
  const { columns, width, height } = layout;
  const counts = countsOf(boxes);
  const score = lowest < Infinity ? lowest.toFixed(2) : "";
  const state = stateOfImage(image, boxes);

  const svg = svgElement("svg", {
    class: "picture", viewBox: `0 0 ${image.width} ${image.height}`, "aria-hidden": "true",
  });
  const picture = pictureOf(image);
  if (hasThumbnail(image)) showThumbnail(image, picture);
  else picture.setAttribute("href", image.url);
  svg.append(picture);
  const unit = Math.max(image.width / (width - 22), image.height / (height - CAPTION_HEIGHT));
  const isCrowded = boxes.length > MOST_LABELS;
  const textOf = (box) => (box.score === null || isCrowded ? "" : box.score.toFixed(2));
  drawBoxes(svg, image, new Set(boxes), textOf, unit);

  const button = element("button", {
    type: "button",
    tabindex: position === current ? 0 : -1,
    title: image.name,
    "aria-label":
      `${image.name}: ${inWords(counts)}${score && `, lowest score ${score}`}${state && `, ${state}`}`,
    "aria-haspopup": "dialog",
  },
  svg,
  element("span", { class: "caption" },
    element("span", { class: "name" }, image.name), element("span", { class: "score" }, score && `from ${score}`)),
  element("span", { class: "counts" },
    ...counts.map(([kind, number]) => element("span", {}, sample(kind), ` ${number}`)),
    element("span", { class: "state" }, state)));
  button.addEventListener("click", () => (sampled ? openSampled(position) : openLarge(position)));
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
