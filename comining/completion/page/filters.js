// ---- filters ------------------------------------------------------------------------------------

let filters; // what the form says
let shown = []; // {image, boxes that pass, lowest score of those}, sorted
let positionOf = new Map(); // image -> position in `shown`
const sampled = data.sample && new Set(data.sample.ids);

const STATES = {
  "": () => true,
  undecided: isUndecided,
  decided: (box) => box.verdict !== null,
  rejected: (box) => box.verdict === "rejected",
};

function readFilters() {
  const number = (id, missing) => {
    const value = byId(id).valueAsNumber;
    return Number.isNaN(value) ? missing : value;
  };
  const [low, high] = [number("low", 0), number("high", 1)];
  const kinds = data.kinds.filter((kind) => byId(`kind-${kind}`).checked);
  const label = byId("class").value === "" ? null : Number(byId("class").value);
  const anyScore = low <= 0 && high >= 1;
  const state = byId("state").value;
  return {
    kinds: new Set(kinds),
    label,
    low,
    high,
    anyScore,
    state,
    everything:
      kinds.length === data.kinds.length && label === null && anyScore && !state && !sampled,
    sort: byId("sort").value,
    context: byId("context").checked,
  };
}

function passesButKind(box) {
  if (sampled && !sampled.has(box.id)) return false;
  if (filters.label !== null && box.label !== filters.label) return false;
  if (!STATES[filters.state](box)) return false;
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
  positionOf = new Map(shown.map(({ image }, position) => [image, position]));

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

/** After decisions, what is shown stays where it is; drawn boxes come and go. */
function decisionsChanged(changed) {
  showProgress();
  if (!filters) return;
  for (const image of changed) {
    const position = positionOf.get(image);
    if (position === undefined) continue;
    const entry = shown[position];
    const before = new Set(entry.boxes);
    entry.boxes = image.boxes.filter(
      (box) => before.has(box) || (filters.kinds.has(box.kind) && passesButKind(box)));
    rebuildCard(position);
  }
  if (byId("large").open && changed.includes(shown[large.position].image)) listBoxes();
}

function showProgress() {
  let proposals = 0;
  let decided = 0;
  let finished = 0;
  for (const image of images) {
    finished += image.isFinished;
    for (const box of image.boxes) {
      if (!isProposal(box) || (sampled && !sampled.has(box.id))) continue;
      proposals += 1;
      decided += box.verdict !== null;
    }
  }
  const text = `${grouped(decided)} of ${plural(proposals, "proposal")} decided`;
  const ofImages = sampled ? "" : `, ${grouped(finished)} of ${plural(images.length, "image")} finished`;
  for (const place of document.querySelectorAll(".progress-text")) {
    place.textContent = text + ofImages;
  }
  for (const bar of document.querySelectorAll("progress")) {
    bar.max = Math.max(proposals, 1);
    bar.value = decided;
  }
}
