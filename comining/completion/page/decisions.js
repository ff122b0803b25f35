// ---- decisions: comining/annotations/decisions.py tells what they mean ---------------------------

const log = []; // saved, in the order that all tabs agree on
let pending = []; // made here, not saved yet
let lastTime = 0; // of those in the log and those made here, in ms
let mine = []; // keys of those that were made in this tab and can be undone
const logOf = new Map(); // id of an image -> those of the log about it

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const decisionsOn = (image) =>
  [...(logOf.get(image.id) ?? []), ...pending.filter((x) => x.image_id === image.id)];

function effective(decisions) {
  const undone = new Set(decisions.filter((x) => x.action === "undo").map((x) => x.of));
  return decisions.filter((x) => x.action !== "undo" && !undone.has(x.key));
}

/** Decide about an image, or a box of it; the page shows it at once, whether it is saved or not. */
function decide(image, action, fields = {}) {
  lastTime = Math.max(Date.now(), lastTime + 1); // an order, even of what is made at once
  const time = new Date(lastTime).toISOString();
  const decision = { key: newKey(), action, image_id: image.id, ...fields, time };
  pending.push(decision);
  if (action !== "undo") mine.push(decision.key);
  refold([image]);
  store.save();
}

function decideOnBox(image, box, action, fields = {}) {
  const { x, y, width, height } = box.original;
  const was = box.isDrawn ? {} : { was: [x, y, width, height] };
  decide(image, action, { id: box.id, ...was, ...fields });
}

/** Take back what was decided last in this tab, or else about an image. Returns what it was. */
function undo(image) {
  const all = effective([...log, ...pending]);
  const own = new Set(mine);
  const last = all.findLast((x) => own.has(x.key)) ??
    all.findLast((x) => image && x.image_id === image.id);
  if (last) decide(imageById.get(last.image_id), "undo", { of: last.key });
  return last;
}

/** Work out anew what the decisions make of some images. */
function refold(changed) {
  for (const image of changed) foldImage(image);
  decisionsChanged(changed);
}

function foldImage(image) {
  image.isFinished = false;
  image.boxes = [...image.listed];
  for (const box of image.listed) {
    Object.assign(box, box.original, { verdict: null, isChanged: false });
  }
  const byBoxId = new Map(image.listed.map((box) => [box.id, box]));
  for (const decision of effective(decisionsOn(image))) {
    if (decision.action === "finish") image.isFinished = true;
    else if (decision.action === "add") byBoxId.set(decision.id, addDrawn(image, decision));
    const box = byBoxId.get(decision.id);
    if (!box) continue;
    box.verdict = decision.action === "reject" ? "rejected" : "accepted";
    if (decision.bbox) {
      const [x, y, width, height] = decision.bbox;
      Object.assign(box, { x, y, width, height });
    }
    if (decision.category_id !== undefined) {
      box.label = data.categories.indexOf(decision.category_id);
    }
    box.isChanged ||= decision.action === "change";
  }
}

function addDrawn(image, { id }) {
  // The same object each time: it may be the chosen one.
  const box = image.drawn.get(id) ?? { id, kind: "annotated", score: null, found: 0, isDrawn: true };
  image.drawn.set(id, Object.assign(box, { isChanged: false, original: {} }));
  image.boxes.push(box);
  return box;
}

/** Take in decisions that are saved now, from this tab or another, behind those of the log. */
function confirm(decisions) {
  changeLog(decisions.map((x) => imageById.get(x.image_id)), () => {
    const saved = new Set(decisions.map((x) => x.key));
    pending = pending.filter((x) => !saved.has(x.key));
    decisions.forEach(append);
  });
}

function replaceLog(decisions) {
  changeLog(images, () => {
    log.length = 0;
    logOf.clear();
    decisions.forEach(append);
  });
}

function append(decision) {
  log.push(decision);
  if (!logOf.has(decision.image_id)) logOf.set(decision.image_id, []);
  logOf.get(decision.image_id).push(decision);
  lastTime = Math.max(lastTime, Date.parse(decision.time));
}

/** Change the log, and show anew those of some images for which that makes a difference. */
function changeLog(concerned, change) {
  const keysOn = (image) => decisionsOn(image).map((x) => x.key).join();
  const before = new Map(concerned.map((image) => [image, keysOn(image)]));
  change();
  const changed = [...before.keys()].filter((image) => keysOn(image) !== before.get(image));
  if (changed.length) refold(changed);
}

// ---- where they are saved -----------------------------------------------------------------------

function showSaved(text, isProblem = false) {
  byId("download").hidden = data.server && !isProblem; // a server has them
  for (const place of document.querySelectorAll(".saved")) {
    if (place.textContent !== text) place.textContent = text;
    place.classList.toggle("problem", isProblem);
  }
}

/** A server, which has one log for all tabs. */
const serverStore = {
  isBusy: false,
  refusal: "",

  async start() {
    await this.exchange();
    setInterval(() => this.exchange(), 1500);
  },

  async save() {
    this.refusal = "";
    if (!this.isBusy) showSaved("Saving …");
    await this.exchange();
  },

  /** Send what is pending, one by one, and learn what other tabs did. */
  async exchange() {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      do await this.send(pending[0]); while (pending.length);
      showSaved(this.refusal || "All decisions are saved", Boolean(this.refusal));
    } catch (error) {
      const waiting = pending.length ? `${plural(pending.length, "decision")} not saved. ` : "";
      showSaved(`${waiting}${error.message}. It tries again; if the server has ended, ` +
        "close this view and download the decisions.", true);
    } finally {
      this.isBusy = false;
    }
  },

  async send(decision) {
    const request = decision && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(decision),
    };
    const reply = await fetch(`decisions?after=${log.length}`, request).catch(() => {
      throw new Error("The server does not answer");
    });
    if (reply.ok) {
      confirm(await reply.json());
      return;
    }
    const reason = await reply.text();
    if (reply.status !== 400) throw new Error(`The server refuses: ${reason}`);
    this.refusal = `A decision was refused: ${reason}`;
    pending = pending.filter((x) => x !== decision);
    mine = mine.filter((key) => key !== decision.key);
    refold([imageById.get(decision.image_id)]);
  },
};

/** The browser, for a page without a server. Each decision has an entry: tabs share them. */
const browserStore = {
  prefix: `comining-decision-${data.key}-`,

  /** Those that the page came with, and those that were made here. */
  read() {
    const given = data.decisions ?? [];
    const names = Object.keys(localStorage).filter((name) => name.startsWith(this.prefix));
    const decisions = names.map((name) => JSON.parse(localStorage.getItem(name)));
    decisions.sort((a, b) => (`${a.time}${a.key}` < `${b.time}${b.key}` ? -1 : 1));
    return [...given, ...decisions];
  },

  async start() {
    window.addEventListener("storage", ({ key }) => {
      if (key === null || key.startsWith(this.prefix)) replaceLog(this.read());
    });
    try {
      replaceLog(this.read());
      if (log.length > (data.decisions ?? []).length) this.showKept();
    } catch (error) {
      this.showProblem(error);
    }
  },

  save() {
    try {
      for (const decision of [...pending]) {
        localStorage.setItem(this.prefix + decision.key, JSON.stringify(decision));
        confirm([decision]);
      }
      this.showKept();
    } catch (error) {
      this.showProblem(error);
    }
  },

  showKept() {
    showSaved("Kept in this browser: download them for comining accept");
  },

  showProblem(error) {
    showSaved(`This browser does not keep decisions (${error.name}): download them before you ` +
      "close the page", true);
  },
};

const store = data.server ? serverStore : browserStore;
byId("download").hidden = data.server;

function download() {
  const lines = [...log, ...pending].map((x) => `${JSON.stringify(x)}\n`);
  const url = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  element("a", { href: url, download: "decisions.jsonl" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

window.addEventListener("beforeunload", (event) => {
  if (pending.length) event.preventDefault();
});
