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
const LOOKING_KEYS = {
  e: toggleZoom,
  "+": () => magnify(0.7),
  "=": () => magnify(0.7),
  "-": () => magnify(1 / 0.7),
  0: showAll,
  z: undoLast,
  a: () => judge("accept"),
  r: () => judge("reject"),
  Delete: () => judge("reject"),
};
const LARGE_KEYS = {
  ...LOOKING_KEYS,
  ArrowLeft: () => stepImage(-1),
  ArrowRight: () => stepImage(1),
  ArrowUp: () => stepBox(-1),
  ArrowDown: () => stepBox(1),
  n: nextUndecided,
  d: () => toggleDrawing(),
  f: finish,
  k: () => byId("category").focus(),
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((key) => [key, () => setLabel(key - 1)])),
};
const SHIFT_KEYS = {
  ArrowLeft: () => nudge(-1, 0),
  ArrowRight: () => nudge(1, 0),
  ArrowUp: () => nudge(0, -1),
  ArrowDown: () => nudge(0, 1),
};
const SAMPLE_KEYS = {
  ...LOOKING_KEYS,
  ArrowLeft: () => stepSample(-1),
  ArrowRight: () => stepSample(1),
  n: nextOfSample,
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
function actionOf(key, isShifted) {
  if (byId("help").open || byId("result").open) return null;
  if (key === "?") return () => byId("help").showModal();
  if (key === "c") return toggleContext;
  if (byId("large").open) {
    if (sampled) return SAMPLE_KEYS[key];
    return (isShifted && SHIFT_KEYS[key]) || LARGE_KEYS[key];
  }
  if (key === "z") return undoLast;
  const rows = Math.max(1, Math.floor(byId("scroller").clientHeight / layout.height));
  return MOVES[key] && (() => moveTo(MOVES[key](layout.columns, rows)));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("select, input[type=number]")) return;
  const action = actionOf(event.key, event.shiftKey);
  if (!action) return;
  event.preventDefault();
  action();
});

// ---- start --------------------------------------------------------------------------------------

const MEANINGS = {
  annotated: "in the annotation file, accepted, or drawn here",
  mined: "found by the detector, with its score: a proposal, to be decided",
  wrong: "mined, but on no annotation of its category, not even a withheld one (IoU 0.5)",
  withheld: "only in the full original; thin where a mined box found it",
};

function fillForm() {
  for (const kind of data.kinds) {
    byId("kinds").append(element("label", {},
      Object.assign(element("input", { type: "checkbox", id: `kind-${kind}` }), { checked: true }),
      " ", sample(kind), ` ${kind} `, element("output", { id: `number-${kind}` })));
    byId("meanings").append(
      element("dt", {}, sample(kind), ` ${kind}`), element("dd", {}, MEANINGS[kind]));
  }
  byId("meanings").append(element("dt", {}, sample("rejected"), " rejected"),
    element("dd", {}, "a box that you rejected: it will be left out"));
  byId("class").append(element("option", { value: "" }, "all"));
  data.classes.forEach((name, index) => {
    byId("class").append(element("option", { value: index }, name));
    const digit = index < 9 ? `${index + 1}  ` : "";
    byId("category").append(element("option", { value: index }, digit + name));
  });
}

function listenToForms() {
  listen("filters", "submit", (event) => event.preventDefault());
  listen("filters", "input", (event) => {
    if (event.target.id === "context") showContext();
    else applyFilters();
  });
  for (const id of ["help", "result"]) {
    listen(`${id}-close`, "click", () => byId(id).close());
  }
  listen("help-button", "click", () => byId("help").showModal());
  listen("download", "click", download);
  listen("scroller", "scroll", buildCards);
  document.body.addEventListener("click", ({ target }) => {
    // A click beside everything takes the focus from the card, and Enter its meaning.
    if (!target.closest("button, label, input, select, dialog")) buttonAt(current)?.focus({ preventScroll: true });
  });
}

function listenToLarge() {
  listen("previous", "click", () => (sampled ? stepSample(-1) : stepImage(-1)));
  listen("next", "click", () => (sampled ? stepSample(1) : stepImage(1)));
  listen("zoom", "click", toggleZoom);
  listen("accept", "click", () => judge("accept"));
  listen("reject", "click", () => judge("reject"));
  listen("next-undecided", "click", nextUndecided);
  listen("undo", "click", undoLast);
  listen("draw", "click", () => toggleDrawing());
  listen("finish", "click", finish);
  listen("category", "change", (event) => {
    setLabel(Number(event.target.value));
    event.target.blur();
  });
  listen("close", "click", () => byId("large").close());
  listen("large", "cancel", (event) => {
    if (!large.drawing) return;
    event.preventDefault();
    cancelGesture();
    toggleDrawing(false);
  });
  listen("large", "close", () => moveTo(large.position));
  const picture = byId("picture");
  picture.addEventListener("pointerdown", startGesture);
  picture.addEventListener("pointermove", goOnGesture);
  picture.addEventListener("pointerup", endGesture);
  picture.addEventListener("pointercancel", () => { cancelGesture(); drawLarge(); });
  picture.addEventListener("wheel", (event) => {
    event.preventDefault();
    magnify(event.deltaY > 0 ? 1.25 : 0.8, pointOf(event));
  }, { passive: false });
}

fillForm();
listenToForms();
listenToLarge();
store.start().then(() => {
  applyFilters();
  showProgress();
  if (sampled) startSample();
  else moveTo(0); // keys work at once
  new ResizeObserver(() => {
    fitGrid();
    if (byId("large").open) drawLarge();
  }).observe(byId("scroller"));
  new MutationObserver(showAwaited).observe(document.body, { childList: true });
  document.addEventListener("DOMContentLoaded", showAwaited);
  showAwaited();
});
