// ---- decisions in the large view ----------------------------------------------------------------

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
let newLabel = 0; // of boxes to be drawn

const canEdit = (box) => !sampled && box.id !== null && box.verdict !== "rejected";
const tenth = (value) => Math.round(value * 10) / 10;

/** The chosen box if it can be decided about; else a note tells why not. */
function decidable() {
  if (!large.box) {
    note("No box is chosen: ↓ or a click chooses one, n goes to the next undecided one.");
  } else if (large.box.id === null) {
    note("A withheld box is not in the annotation file: nothing can be decided about it.");
  } else {
    return large.box;
  }
  return null;
}

function judge(action) {
  const box = decidable();
  if (!box) return;
  note("");
  const wanted = action === "reject" ? "rejected" : "accepted";
  if (box.verdict !== wanted) decideOnBox(largeImage(), box, action);
  if (sampled) nextOfSample();
  else if (isProposal(box)) toUndecided(box);
}

/** Choose the next proposal of the image that is to be decided; after the last one none, so that
 *  one key too many decides nothing. */
function toUndecided(box) {
  const from = large.boxes.indexOf(box) + 1;
  const next = [...large.boxes.slice(from), ...large.boxes.slice(0, from)].find(isUndecided);
  choose(next ?? null);
  if (!next) {
    note("All proposals of this image are decided. n: next image with undecided boxes, " +
      "f: image is finished.");
  }
}

/** Go to the next proposal that is to be decided, in this image or a later one. */
function nextUndecided() {
  const here = large.boxes.slice(large.boxes.indexOf(large.box) + 1).find(isUndecided) ??
    large.boxes.find((box) => isUndecided(box) && box !== large.box);
  if (here) {
    choose(here);
    return;
  }
  for (let by = 1; by < shown.length; by++) {
    const position = (large.position + by) % shown.length;
    if (shown[position].boxes.some(isUndecided)) {
      openLarge(position);
      return;
    }
  }
  note("There is no other proposal to decide among the images shown.");
}

function finish() {
  const image = largeImage();
  const undecided = image.boxes.filter(isUndecided).length;
  const finishing = effective(decisionsOn(image)).findLast((x) => x.action === "finish");
  if (finishing) {
    decide(image, "undo", { of: finishing.key });
    note("The image is not finished any more.");
  } else if (undecided) {
    note(`Not finished: ${plural(undecided, "proposal")} of this image ` +
      `${undecided === 1 ? "is" : "are"} undecided` +
      `${filters.everything || filters.context ? "" : ", perhaps hidden by the filters"}.`);
  } else {
    decide(image, "finish");
    note("Finished: every object of every category has its box.");
  }
}

function undoLast() {
  const isOpen = byId("large").open;
  const undone = undo(isOpen ? largeImage() : null);
  if (!undone) {
    if (isOpen) note("There is nothing to undo.");
    return;
  }
  const image = imageById.get(undone.image_id);
  if (!isOpen || !positionOf.has(image)) return;
  if (largeImage() !== image) openLarge(positionOf.get(image));
  const box = large.boxes.find((x) => x.id === undone.id);
  if (sampled) toSample(box);
  else if (box) choose(box);
  note(`Undone: ${undone.action}.`);
}

function setLabel(label) {
  if (sampled || label >= data.classes.length) return;
  const { box } = large;
  if (!box || large.drawing) {
    newLabel = label;
  } else if (canEdit(box)) {
    newLabel = label;
    if (box.label !== label) {
      decideOnBox(largeImage(), box, "change", { category_id: data.categories[label] });
    }
  }
  showControls();
}

function setPlace(place) {
  const bbox = [place.x, place.y, place.width, place.height];
  decideOnBox(largeImage(), large.box, "change", { bbox });
}

/** Move the chosen box by a pixel of the screen, and of the image at least. */
function nudge(right, down) {
  if (!large.box || !canEdit(large.box)) return;
  const step = Math.max(1, Math.round(unitOf(viewOf())));
  const place = moved(large.box, right * step, down * step);
  if (place.x !== large.box.x || place.y !== large.box.y) setPlace(place);
}

function toggleDrawing(on = !large.drawing) {
  if (sampled) return;
  large.drawing = on;
  large.draft = null;
  note("");
  drawLarge();
}

function showControls() {
  const { box, drawing } = large;
  const isEditable = Boolean(box) && canEdit(box);
  byId("category").value = box && !drawing ? box.label : newLabel;
  byId("category").disabled = Boolean(box) && !drawing && !isEditable;
  byId("category-of").textContent = box && !drawing ? "Category" : "Category of new boxes";
  byId("accept").disabled = byId("reject").disabled = !box || box.id === null;
  byId("draw").setAttribute("aria-pressed", drawing);
  if (drawing) note(`Drag with the mouse to draw a box: ${data.classes[newLabel]}. Esc: leave.`);
}

// ---- the mouse ----------------------------------------------------------------------------------

/** A box moved, as far as the image reaches. */
function moved(box, right, down) {
  const { width, height } = largeImage();
  const within = (value, most) => tenth(Math.max(0, Math.min(value, most)));
  return {
    x: within(box.x + right, width - box.width), y: within(box.y + down, height - box.height),
    width: box.width, height: box.height,
  };
}

/** The box between two points, as far as it lies in the image. */
function between(a, b) {
  const { width, height } = largeImage();
  const within = (value, most) => tenth(Math.max(0, Math.min(value, most)));
  const [x0, x1] = [a.x, b.x].map((value) => within(value, width)).sort((p, q) => p - q);
  const [y0, y1] = [a.y, b.y].map((value) => within(value, height)).sort((p, q) => p - q);
  return { x: x0, y: y0, width: tenth(x1 - x0), height: tenth(y1 - y0) };
}

function resized(box, handle, right, down) {
  const start = { x: box.x, y: box.y };
  const end = { x: box.x + box.width, y: box.y + box.height };
  if (handle.includes("w")) start.x += right;
  if (handle.includes("e")) end.x += right;
  if (handle.includes("n")) start.y += down;
  if (handle.includes("s")) end.y += down;
  return between(start, end);
}

function handlesOf({ x, y, width, height }, unit) {
  const size = 9 * unit;
  return HANDLES.map((handle) => {
    const across = handle.includes("w") ? 0 : handle.includes("e") ? 1 : 0.5;
    const down = handle.includes("n") ? 0 : handle.includes("s") ? 1 : 0.5;
    return svgElement("rect", {
      class: `handle ${handle}`, "data-handle": handle, width: size, height: size,
      x: x + across * width - size / 2, y: y + down * height - size / 2,
    });
  });
}

function drawDraft(svg, group, place) {
  if (large.drawing || !group) {
    svg.append(svgElement("g", { class: "chosen" },
      svgElement("rect", { class: "edge", ...place }),
      svgElement("rect", { class: "box drawn", ...place })));
    return;
  }
  for (const rect of group.querySelectorAll(".edge, .box")) {
    for (const [key, value] of Object.entries(place)) rect.setAttribute(key, value);
  }
}

function pointOf(event) {
  const matrix = byId("picture").getScreenCTM().inverse();
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
}

const contains = (box, { x, y }) =>
  x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height;

/** The smallest box at a point. */
function boxAt(point) {
  const hits = large.boxes.filter((box) => contains(box, point));
  return hits.sort((a, b) => a.width * a.height - b.width * b.height)[0] ?? null;
}

let gesture = null; // {kind, start in the image, from: the box or view, clientX, clientY, hasMoved}

function startGesture(event) {
  if (event.button !== 0) return;
  event.preventDefault();
  const start = pointOf(event);
  const { box } = large;
  const handle = event.target.dataset?.handle;
  let kind = "pan";
  if (large.drawing) kind = "draw";
  else if (handle) kind = "resize";
  else if (box && canEdit(box) && contains(box, start)) kind = "move";
  gesture = {
    kind, handle, start, box, view: viewOf(), clientX: event.clientX, clientY: event.clientY,
    unit: unitOf(viewOf()), hasMoved: false,
  };
  byId("picture").setPointerCapture(event.pointerId);
}

function goOnGesture(event) {
  if (!gesture) return;
  const { kind, handle, start, box, view, unit } = gesture;
  const right = (event.clientX - gesture.clientX) * unit;
  const down = (event.clientY - gesture.clientY) * unit;
  // A click may shake a little.
  gesture.hasMoved ||= Math.hypot(right, down) > 3 * unit;
  if (!gesture.hasMoved) return;
  const end = { x: start.x + right, y: start.y + down };
  // What is looked at does not follow the box while that changes.
  if (large.zoom) Object.assign(large, { zoom: false, view });
  if (kind === "draw") large.draft = between(start, end);
  else if (kind === "resize") large.draft = resized(box, handle, right, down);
  else if (kind === "move") large.draft = moved(box, right, down);
  else if (large.view) large.view = [view[0] - right, view[1] - down, view[2], view[3]];
  drawSoon();
}

let isDrawingSoon = false;

function drawSoon() {
  if (isDrawingSoon) return;
  isDrawingSoon = true;
  requestAnimationFrame(() => {
    isDrawingSoon = false;
    if (byId("large").open) drawLarge();
  });
}

function endGesture() {
  if (!gesture) return;
  const { kind, hasMoved, start } = gesture;
  const { draft } = large;
  gesture = null;
  large.draft = null;
  if (!hasMoved) {
    if (kind !== "draw") choose(boxAt(start));
  } else if (draft && draft.width >= 1 && draft.height >= 1) {
    if (kind === "draw") addBox(draft);
    else setPlace(draft);
  } else if (draft) {
    note("This box would be smaller than a pixel.");
  }
  drawLarge();
}

function addBox({ x, y, width, height }) {
  const image = largeImage();
  const id = `box-${newKey()}`;
  decide(image, "add", { id, bbox: [x, y, width, height], category_id: data.categories[newLabel] });
  large.drawing = false;
  note(`Drawn: ${data.classes[newLabel]}.`);
  choose(large.boxes.find((box) => box.id === id) ?? null);
}

function cancelGesture() {
  gesture = null;
  large.draft = null;
}
