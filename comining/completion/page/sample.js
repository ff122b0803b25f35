// ---- a sample of the proposals, whose precision is measured --------------------------------------

let sampleItems = []; // {image, box}, in the order in which they are judged

/** Whether a decided proposal was right as it was: a change may not have moved it far. */
function wasRight(box) {
  if (box.verdict !== "accepted" || box.label !== box.original.label) return false;
  return overlapOf(box, box.original) >= 0.5;
}

function startSample() {
  const byBoxId = new Map(images.flatMap((image) =>
    image.boxes.filter(isProposal).map((box) => [box.id, { image, box }])));
  sampleItems = data.sample.ids.map((id) => byBoxId.get(id));
  document.body.classList.add("sampling");
  for (const [id, text, title] of [["previous", "← Box", "Previous box of the sample"],
    ["next", "Box →", "Next box of the sample"]]) {
    Object.assign(byId(id), { textContent: text, title });
  }
  nextOfSample();
}

function toSample(box) {
  const at = sampleItems.findIndex((item) => item.box === box);
  if (at < 0) return;
  const position = positionOf.get(sampleItems[at].image);
  if (!byId("large").open || large.position !== position) openLarge(position);
  large.zoom = true;
  choose(box);
  note("Accept a box if it is on an object of its category that has no annotated box yet and overlaps it by at least half.");
  byId("large-position").textContent = `${at + 1} of ${sampleItems.length} in the sample`;
  byId("previous").disabled = at === 0;
  byId("next").disabled = at === sampleItems.length - 1;
}

function openSampled(position) {
  const { boxes } = shown[position];
  toSample(boxes.find(isUndecided) ?? boxes[0]);
}

function stepSample(by) {
  const at = sampleItems.findIndex((item) => item.box === large.box) + by;
  if (at >= 0 && at < sampleItems.length) toSample(sampleItems[at].box);
}

/** Show the next proposal that is to be judged or, after the last one, the result. */
function nextOfSample() {
  const at = byId("large").open ? sampleItems.findIndex((item) => item.box === large.box) + 1 : 0;
  const next = [...sampleItems.slice(at), ...sampleItems.slice(0, at)]
    .find((item) => isUndecided(item.box));
  if (next) toSample(next.box);
  else showResult();
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function showResult() {
  const number = sampleItems.length;
  const right = sampleItems.filter((item) => wasRight(item.box)).length;
  const [low, high] = data.sample.intervals[right];
  const proposals = images.reduce((sum, image) => sum + image.boxes.filter(isProposal).length, 0);
  byId("result-precision").textContent = percent(right / number);
  byId("result-counts").textContent = `${right} of the ${number} proposals drawn are right.`;
  byId("result-interval").textContent =
    `With a confidence of ${Math.round(100 * data.sample.level)} %, between ${percent(low)} and ` +
    `${percent(high)} of all ${grouped(proposals)} proposals are right (Wilson's interval).`;
  byId("result-next").textContent = data.sample.not_added
    ? `${grouped(data.sample.not_added)} of them were not added, as they seemed less likely. Give your ` +
      "comining complete command again: it then chooses by your verdicts."
    : "";
  if (byId("large").open) byId("large").close();
  byId("result").showModal();
}
