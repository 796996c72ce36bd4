// What is edited now, and its history: every edit keeps the rectangle that it changed, so that undo has no end.

import {GROUND, OBJECT, VOID} from "./regions.js";

/** Bytes of history a document may keep; then its oldest edits can no longer be undone. */
const MOST_BYTES = 400 * 2 ** 20;

export const state = {
  about: null, index: -1, session: null, sessions: new Map(), tool: "brush", classId: 0, brush: 8, colour: [176, 64, 48],
  clipboard: null, zoom: 1, compare: "", photos: false,
};

/** One opened document with its styles, settings and history; sessions stay when another document is opened. */
export class Session {
  constructor(index, name, width, height, arrays, styles, settings) {
    this.index = index;
    this.name = name;
    this.width = width;
    this.height = height;
    this.arrays = arrays;
    this.photo = null;
    this.photoStyles = {};
    this.styles = styles;
    this.settings = settings;
    this.selected = null;
    this.done = [];
    this.undone = [];
    this.unsaved = false;
    this.before = null;
    this.under = null;
  }

  get label() { return this.arrays.label; }
  get inst() { return this.arrays.inst; }
  get rgb() { return this.arrays.rgb; }

  /** Everything that an edit may change, as it is now. */
  snapshot() {
    const arrays = {};
    for (const [name, array] of Object.entries(this.arrays)) arrays[name] = array.slice();
    return {arrays, styles: {...this.styles}, settings: structuredClone(this.settings), selected: this.selected};
  }

  /** Go back to a snapshot without leaving a trace. */
  restore(snapshot) {
    for (const [name, array] of Object.entries(snapshot.arrays)) this.arrays[name].set(array);
    this.styles = {...snapshot.styles};
    this.settings = structuredClone(snapshot.settings);
    this.selected = snapshot.selected;
  }

  /** Make one step of the history of all that changed since `before`; false where nothing did. */
  commit(before) {
    const box = changedBox(before.arrays, this.arrays, this.width, this.height);
    const rest = (s) => JSON.stringify([s.styles, s.settings]);
    if (!box && rest(before) === rest(this)) return false;
    const step = {
      box, before: box && cut(before.arrays, box, this.width), after: box && cut(this.arrays, box, this.width),
      old: {styles: before.styles, settings: before.settings, selected: before.selected},
      now: {styles: {...this.styles}, settings: structuredClone(this.settings), selected: this.selected},
    };
    this.done.push(step);
    this.undone = [];
    this.unsaved = true;
    let bytes = this.done.reduce((sum, s) => sum + sizeOf(s), 0);
    while (bytes > MOST_BYTES && this.done.length > 1) bytes -= sizeOf(this.done.shift());
    return true;
  }

  undo() { return this.step(this.done, this.undone, "before", "old"); }
  redo() { return this.step(this.undone, this.done, "after", "now"); }

  step(from, to, pixels, rest) {
    const step = from.pop();
    if (!step) return false;
    if (step.box) paste(this.arrays, step[pixels], step.box, this.width);
    this.styles = {...step[rest].styles};
    this.settings = structuredClone(step[rest].settings);
    this.selected = step[rest].selected;
    to.push(step);
    this.unsaved = true;
    return true;
  }
}

function sizeOf(step) {
  const bytes = (arrays) => Object.values(arrays || {}).reduce((sum, a) => sum + a.byteLength, 0);
  return 500 + bytes(step.before) + bytes(step.after);
}

/** Values a pixel has in an array. */
const depth = (array, pixels) => array.length / pixels;

function changedBox(before, after, width, height) {
  let left = width, right = -1, top = height, bottom = -1;
  for (const [name, array] of Object.entries(after)) {
    const old = before[name], d = depth(array, width * height);
    for (let i = 0; i < array.length; i++) {
      if (array[i] === old[i]) continue;
      const pixel = d === 1 ? i : Math.floor(i / d), x = pixel % width, y = (pixel - x) / width;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
  }
  return right < 0 ? null : {x: left, y: top, width: right - left + 1, height: bottom - top + 1};
}

function rows(array, box, width, visit) {
  const d = depth(array.source, array.pixels);
  for (let y = 0; y < box.height; y++) visit(((box.y + y) * width + box.x) * d, y * box.width * d, box.width * d);
}

function cut(arrays, box, width) {
  const out = {};
  for (const [name, array] of Object.entries(arrays)) {
    const pixels = pixelsOf(arrays), d = depth(array, pixels);
    out[name] = new array.constructor(box.width * box.height * d);
    rows({source: array, pixels}, box, width, (from, to, count) => out[name].set(array.subarray(from, from + count), to));
  }
  return out;
}

function paste(arrays, patch, box, width) {
  for (const [name, array] of Object.entries(arrays)) {
    rows({source: array, pixels: pixelsOf(arrays)}, box, width, (to, from, count) => array.set(patch[name].subarray(from, from + count), to));
  }
}

const pixelsOf = (arrays) => (arrays.label ? arrays.label.length : arrays.rgb.length / 3);

// -- classes, instances and styles --------------------------------------------------------------------------------

export const classOf = (id) => state.about.classes[id];

/** What each class is to a hole beside it; the group of a class is its category in the palette's table. */
export function kindsOfClasses() {
  return state.about.classes.map((one) => (one.thing ? OBJECT : one.group === "void" ? VOID : GROUND));
}

export function isThing(label) {
  const known = classOf(label);
  if (known && known.thing) return true;
  const session = state.session;
  return Boolean(session && session.inst && session.inst.some((id) => id >= 1000 && Math.floor(id / 1000) === label));
}

/** The most frequent label of each present region: Map instance number (class with styles of classes) -> label. */
export function regionsOf(session) {
  return mostFrequent(state.about.styles && state.about.styles.per === "class" ? session.label : session.inst, session.label);
}

export function labelOf(session, id) {
  const label = mostFrequent(session.inst, session.label, id).get(id);
  return label === undefined ? null : label;
}

/** For each number of `regions`, or for `only` one, the label that most of its pixels have; of equals the lowest. */
function mostFrequent(regions, labels, only = null) {
  const counts = new Map(), result = new Map();
  for (let i = 0, end; i < regions.length; i = end) {
    end = i + 1;
    while (end < regions.length && regions[end] === regions[i] && labels[end] === labels[i]) end++;
    if (only !== null && regions[i] !== only) continue;
    if (!counts.has(regions[i])) counts.set(regions[i], new Map());
    const own = counts.get(regions[i]);
    own.set(labels[i], (own.get(labels[i]) || 0) + end - i);
  }
  for (const [id, own] of counts) {
    const best = Math.max(...own.values());
    result.set(id, Math.min(...[...own.keys()].filter((label) => own.get(label) === best)));
  }
  return result;
}

/** An instance number that nothing in the map has, by Cityscapes' convention where it can be. */
export function freeInstance(session, label) {
  const used = new Uint8Array(65536);
  for (const id of session.inst) used[id] = 1;
  // a style that an earlier object of this number had is no reason to avoid it, but a step of the history may be
  for (let k = 0; k < 1000; k++) {
    const id = label * 1000 + k;
    if (label > 0 && id >= 1000 && id < 65536 && !used[id]) return id;
  }
  for (let id = 65535; id >= 1000; id--) if (!used[id]) return id;
  return label;
}

export const isObject = (session, id) => id >= 1000 || isThing(labelOf(session, id));

export function styleKey(session, id) {
  return String(state.about.styles.per === "class" ? labelOf(session, id) : id);
}

export const clustersOf = (label) => (state.about.styles && state.about.styles.clusters[label]) || [];

export function randomStyle(label, random = Math.random) {
  const known = clustersOf(label);
  if (!known.length) return new Array(state.about.styles.count).fill(0);
  return known[Math.floor(random() * known.length)].slice();
}

/** Give every region without a style one of its class. */
export function completeStyles(session, random = Math.random) {
  if (!state.about.styles) return;
  for (const [id, label] of regionsOf(session)) {
    if (!session.styles[id]) session.styles[id] = randomStyle(label, random);
  }
}

/** Numbers in [0, 1) that `seed` fixes (mulberry32). */
export function randomFrom(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
