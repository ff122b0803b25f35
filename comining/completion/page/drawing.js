// ---- pictures -----------------------------------------------------------------------------------

// Boxes of later kinds are drawn over those of earlier ones.
const DRAWN = ["withheld", "annotated", "wrong", "mined"];
const MARKS = { accepted: "✓", changed: "✓", drawn: "+", rejected: "✕", "": "" };

const awaited = []; // [image, <image> element] whose thumbnail is not parsed yet

/** Thumbnails stand behind this script, so that a large page shows cards before all is read. */
function showThumbnail(image, target) {
  if (image.thumbnail) {
    target.setAttribute("href", image.thumbnail);
    return;
  }
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

const hasThumbnail = (image) => Boolean(data.thumbnails || image.thumbnail);

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
    const isBeside = filters.context || (sampled && box.kind === "annotated");
    if (!isWanted && !isBeside) continue;
    const place = { x: box.x, y: box.y, width: box.width, height: box.height };
    const state = stateOf(box);
    const group = svgElement("g", isWanted ? {} : { class: "faint" },
      svgElement("rect", { class: "edge", ...place }),
      svgElement("rect", { class: `box ${box.kind} ${state}${box.found ? " found" : ""}`, ...place }));
    const text = [MARKS[state], textOf(box)].filter(Boolean).join(" ");
    if (text) {
      const y = box.y >= size * 1.4 ? box.y - size * 0.4 : box.y + size * 1.2;
      group.append(svgElement("text", {
        class: `label ${state}`, x: box.x + size * 0.2, y, "font-size": size,
        "stroke-width": 3 * unit,
      }, text));
    }
    svg.append(group);
    drawn.set(box, group);
  }
  return drawn;
}
