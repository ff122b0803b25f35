// ---- large view ---------------------------------------------------------------------------------

const MOST_NAMES = 60; // with more boxes in view, only the chosen one has its name

// {position in `shown`, boxes as listed, box: the chosen one or null, zoom: whether into that one,
//  view: [x, y, width, height] that is looked at or null for all, drawing: whether the mouse draws,
//  draft: where the chosen box is while it is dragged, or null}
let large;

function openLarge(position) {
  const { image } = shown[position];
  large = { position, boxes: [], box: null, zoom: false, view: null, drawing: false, draft: null };
  byId("large-name").textContent = image.name;
  byId("large-position").textContent = `${grouped(position + 1)} of ${grouped(shown.length)}`;
  byId("previous").disabled = position === 0;
  byId("next").disabled = position === shown.length - 1;
  if (!byId("large").open) byId("large").showModal();
  note("");
  showPictures(image);
  listBoxes();
  choose(large.boxes.find(isUndecided) ?? null);
}

const largeImage = () => shown[large.position].image;
const note = (text) => { byId("note").textContent = text; };

/** List and draw the boxes of the large view. The chosen one stays chosen if it is still there. */
function listBoxes() {
  const { image, boxes } = shown[large.position];
  const rank = (box) => (box.isDrawn ? 9 : box.score ?? 2 + data.kinds.indexOf(box.kind) + box.found / 2);
  large.boxes = [...(filters.context ? image.boxes : boxes)].sort((a, b) => rank(a) - rank(b));
  byId("boxes").replaceChildren(...large.boxes.map((box) => {
    const button = element("button", { type: "button", class: box.verdict === "rejected" ? "is-rejected" : "" },
      sample(`${box.kind} ${stateOf(box)}`), ` ${describe(box)}`);
    button.addEventListener("click", () => choose(box === large.box ? null : box));
    return element("li", {}, button);
  }));
  byId("finish").setAttribute("aria-pressed", image.isFinished);
  choose(large.boxes.includes(large.box) ? large.box : null);
}

function describe(box) {
  const state = box.isDrawn && box.verdict !== "rejected" ? "" : stateOf(box);
  const overlap = !sampled && overlapsAnother(box) && "overlaps another proposal";
  const words = [box.isDrawn ? "drawn" : box.kind, box.found && "found", state, overlap];
  return `${nameOf(box)}, ${words.filter(Boolean).join(", ")}`;
}

/** Whether another proposal is probably about the same object. */
function overlapsAnother(box) {
  const isLeft = (x) => isProposal(x) && x.verdict !== "rejected";
  return isLeft(box) && largeImage().boxes.some((other) =>
    other !== box && isLeft(other) && overlapOf(box, other) > 0.5);
}

/** The score is one for the category that was proposed. */
const nameOf = ({ label, score, original }) =>
  data.classes[label] + (score === null || label !== original.label ? "" : ` ${score.toFixed(2)}`);

/** The original lies over the thumbnail, which remains if the original isn't there. */
function showPictures(image) {
  const original = pictureOf(image);
  original.addEventListener("error", () => {
    if (!original.isConnected) return; // another image is shown by now
    original.remove();
    note(`${image.name} is not where it was, or of a kind that the browser can't show` +
      (hasThumbnail(image) ? ": this is its thumbnail." : "."));
  });
  const thumbnail = pictureOf(image);
  if (hasThumbnail(image)) showThumbnail(image, thumbnail);
  byId("picture").replaceChildren(thumbnail, original);
  original.setAttribute("href", image.url);
}

/** Where a range begins that shows as much of the whole as can be. */
function within(start, length, whole) {
  return length > whole ? (whole - length) / 2 : Math.min(Math.max(start, 0), whole - length);
}

/** The part of the image that is looked at. */
function viewOf() {
  const { box, zoom } = large;
  if (zoom && box) {
    const margin = 0.75 * Math.max(box.width, box.height);
    const [width, height] = [box.width + 2 * margin, box.height + 2 * margin];
    return [within(box.x - margin, width, largeImage().width),
      within(box.y - margin, height, largeImage().height), width, height];
  }
  return large.view ?? [0, 0, largeImage().width, largeImage().height];
}

/** What a pixel of the screen measures in pixels of the image. */
function unitOf(view) {
  const { clientWidth, clientHeight } = byId("picture");
  return Math.max(view[2] / clientWidth, view[3] / clientHeight);
}

function drawLarge() {
  const svg = byId("picture");
  const { image, boxes } = shown[large.position];
  const { box, draft } = large;
  const view = viewOf();
  svg.setAttribute("viewBox", view.join(" "));
  svg.setAttribute("aria-label", `${image.name}: ${inWords(countsOf(boxes))}`);
  svg.classList.toggle("choosing", Boolean(box));
  svg.classList.toggle("drawing", large.drawing);
  for (const group of svg.querySelectorAll("g")) group.remove();
  const unit = unitOf(view);
  const isCrowded = Boolean(box) && boxes.filter((x) => isIn(x, view)).length > MOST_NAMES;
  svg.classList.toggle("crowded", isCrowded);
  const textOf = (x) => (isCrowded && x !== box ? "" : nameOf(x));
  const groups = drawBoxes(svg, image, new Set(boxes), textOf, unit);
  const group = groups.get(box);
  if (group) {
    group.classList.add("chosen");
    svg.append(group); // above all others
    if (canEdit(box) && !large.drawing) group.append(...handlesOf(draft ?? box, unit));
  }
  if (draft) drawDraft(svg, group, draft);
  byId("zoom").setAttribute("aria-pressed", large.zoom);
  byId("zoom").disabled = large.boxes.length === 0;
  [...byId("boxes").children].forEach((item, index) => {
    item.firstChild.setAttribute("aria-pressed", large.boxes[index] === box);
  });
  showControls();
}

function choose(box) {
  large.box = box;
  large.draft = null;
  if (!box) large.zoom = false;
  else if (large.view && !isIn(box, large.view)) {
    const [, , width, height] = large.view;
    large.view = [box.x + (box.width - width) / 2, box.y + (box.height - height) / 2, width, height];
  }
  drawLarge();
  byId("boxes").children[large.boxes.indexOf(box)]?.scrollIntoView({ block: "nearest" });
}

function isIn(box, [x, y, width, height]) {
  return box.x >= x && box.y >= y && box.x + box.width <= x + width && box.y + box.height <= y + height;
}

function stepImage(by) {
  const position = large.position + by;
  if (position >= 0 && position < shown.length) openLarge(position);
}

function stepBox(by) {
  const number = large.boxes.length;
  if (!number) return;
  const from = large.box ? large.boxes.indexOf(large.box) : by > 0 ? -1 : number;
  choose(large.boxes[(from + by + number) % number]);
}

function toggleZoom() {
  if (!large.boxes.length) return;
  large.zoom = !large.zoom;
  choose(large.box ?? large.boxes[0]);
}

/** Look closer (factor below 1) or from further away, around a point of the image. */
function magnify(factor, point) {
  const { width, height } = largeImage();
  const [x, y, viewWidth, viewHeight] = viewOf();
  const at = point ?? { x: x + viewWidth / 2, y: y + viewHeight / 2 };
  large.zoom = false;
  const isAll = viewWidth * factor >= width && viewHeight * factor >= height;
  // No closer than that a pixel of the image is a finger wide.
  if (!isAll && factor < 1 && Math.min(viewWidth, viewHeight) * factor < 10) return;
  large.view = isAll ? null : [
    at.x + (x - at.x) * factor, at.y + (y - at.y) * factor, viewWidth * factor, viewHeight * factor,
  ];
  drawLarge();
}

function showAll() {
  large.zoom = false;
  large.view = null;
  drawLarge();
}
