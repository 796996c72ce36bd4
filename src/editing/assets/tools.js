// What the pointer does in either picture, and what can be done to objects.

import {extractObject, floodPixels, mirrorObject, placeObject, polygonPixels, rectanglePixels, removeObject, scaleObject, strokePixels} from "./regions.js";
import {completeStyles, freeInstance, isObject, isThing, labelOf, randomStyle, state, styleKey} from "./state.js";
import {drawMap, drawOverlays, overlays, updateOutline} from "./view.js";
import {request} from "./drawing.js";

let gesture = null;
let changed = () => {};
const SIMILAR = 24;

/** `handler()` is called after each step of the history and each change of the selection. */
export const onChange = (handler) => { changed = handler; };

/** Point of an event in pixels of the document. */
function pointOf(event) {
  const box = event.currentTarget.getBoundingClientRect(), {width, height} = state.session;
  return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
}

const indexOf = ([x, y]) => {
  const {width, height} = state.session;
  return Math.max(0, Math.min(height - 1, Math.floor(y))) * width + Math.max(0, Math.min(width - 1, Math.floor(x)));
};

export function attach(onHover) {
  for (const canvas of overlays()) {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !state.session) return;
      canvas.setPointerCapture(event.pointerId);
      start(pointOf(event), event);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!state.session) return;
      const point = pointOf(event);
      const index = indexOf(point);
      onHover(point, index);
      if (gesture) move(point);
      const grabs = state.tool === "select" && state.session.inst && isObject(state.session, state.session.inst[index]);
      canvas.classList.toggle("grab", grabs && !gesture);
      canvas.classList.toggle("grabbing", Boolean(gesture && gesture.kind === "move"));
      drawOverlays(point, gesture && gesture.shape);
    });
    const end = () => { if (gesture) finish(); };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => { if (!gesture) { onHover(null); drawOverlays(); } });
  }
}

/** Drop what the pointer is doing. */
export function cancelGesture() {
  if (!gesture) return false;
  state.session.restore(gesture.before);
  gesture = null;
  show();
  return true;
}

let painting = 0;

/** Show what changed with the next frame of the screen, and ask for its picture. */
function show() {
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    drawMap();
    updateOutline();
  });
  request();
}

function start(point, event) {
  const session = state.session, index = indexOf(point);
  const tool = event.altKey ? "pick" : state.tool;
  if (tool === "pick") return pick(index);
  if (tool === "select") {
    if (!session.inst) return undefined;
    const id = session.inst[index], before = session.snapshot();
    select(id);
    const lifted = isObject(session, id) ? lift(session, id) : null;
    if (lifted) gesture = {kind: "move", before, id, from: point, at: [0, 0], lifted};
    return undefined;
  }
  gesture = {kind: tool, before: session.snapshot(), from: point, last: point, shape: null};
  gesture.ink = ink(session);
  if (tool === "fill") {
    fill(index);
    finish();
  } else if (tool === "brush") {
    stroke(point, point);
  } else if (tool === "rectangle") {
    gesture.shape = {rectangle: [...point.map(Math.floor), ...point.map(Math.floor)]};
  } else {
    gesture.shape = {points: [point]};
  }
  return undefined;
}

/** What painting writes: a colour, or a class with the selected object of that class or a new one. */
function ink(session) {
  if (session.rgb) return {colour: state.colour};
  const label = state.classId, {selected} = session;
  if (selected !== null && labelOf(session, selected) === label && isObject(session, selected)) return {label, id: selected};
  if (!isThing(label)) return {label, id: label};
  const id = freeInstance(session, label);
  // the number may have belonged to an object that is gone, with a style of its own
  if (state.about.styles && state.about.styles.per === "instance") session.styles[id] = randomStyle(label);
  return {label, id, fresh: true};
}

function put(index) {
  const session = state.session, {ink: how} = gesture;
  if (how.colour) {
    session.rgb.set(how.colour, 3 * index);
  } else {
    session.label[index] = how.label;
    session.inst[index] = how.id;
  }
}

function stroke(from, to) {
  const {width, height} = state.session;
  // a brush of one pixel must always hit one
  strokePixels(width, height, ...from, ...to, Math.max(0.71, state.brush / 2), put);
  show();
}

function fill(index) {
  const {width, height, rgb, inst, label} = state.session;
  let same;
  if (rgb) {
    const [r, g, b] = rgb.subarray(3 * index, 3 * index + 3);
    same = (j) => Math.abs(rgb[3 * j] - r) < SIMILAR && Math.abs(rgb[3 * j + 1] - g) < SIMILAR && Math.abs(rgb[3 * j + 2] - b) < SIMILAR;
  } else {
    const id = inst[index], old = label[index];
    same = (j) => inst[j] === id && label[j] === old;
  }
  floodPixels(width, height, index, same).forEach(put);
}

function move(point) {
  const session = state.session;
  if (gesture.kind === "move") {
    const at = [Math.round(point[0] - gesture.from[0]), Math.round(point[1] - gesture.from[1])];
    if (at[0] === gesture.at[0] && at[1] === gesture.at[1]) return;
    gesture.at = at;
    const {lifted} = gesture;
    gesture.placed = {...lifted.object, x: lifted.object.x + at[0], y: lifted.object.y + at[1]};
    putDown(session, lifted, gesture.placed, gesture.id);
    show();
  } else if (gesture.kind === "brush") {
    stroke(gesture.last, point);
  } else if (gesture.kind === "rectangle") {
    gesture.shape.rectangle.splice(2, 2, ...point.map(Math.floor));
  } else if (gesture.kind === "lasso") {
    gesture.shape.points.push(point);
  }
  gesture.last = point;
}

function finish() {
  const session = state.session, {kind, before, shape} = gesture;
  if (kind === "rectangle") rectanglePixels(session.width, session.height, ...shape.rectangle, put);
  if (kind === "lasso" && shape.points.length > 2) polygonPixels(session.width, session.height, shape.points, put);
  const done = gesture;
  gesture = null;
  if (kind === "move" && !done.at[0] && !done.at[1]) {
    if (done.placed) show();
    return;
  }
  afterEdit(before, done.ink);
  if (kind === "move") remember(session, done.id, done.placed, done.lifted.map);
}

/** One step of the history; `ink` is what was painted, if something was. */
function afterEdit(before, how) {
  const session = state.session;
  if (how && how.fresh && session.inst.includes(how.id)) session.selected = how.id;
  conclude(before);
}

function conclude(before) {
  const session = state.session;
  if (session.selected !== null && session.inst && !session.inst.includes(session.selected)) session.selected = null;
  // before the step is recorded: a redo must find the same styles
  completeStyles(session);
  session.commit(before);
  show();
  changed();
}

function pick(index) {
  const session = state.session;
  if (session.rgb) state.colour = [...session.rgb.subarray(3 * index, 3 * index + 3)];
  else state.classId = session.label[index];
  changed();
}

export function select(id) {
  state.session.selected = id;
  updateOutline();
  changed();
}

/** The newest step of the history that changed pixels. */
const lastStep = (session) => session.done.filter((step) => step.box).at(-1) || null;

/** Remember what lies under an object that was just put down, and the whole of it: it may be moved on, or taken away. */
function remember(session, id, object, map) {
  session.under = {id, object, map, step: lastStep(session)};
}

/** Take an object out: what it is, and the map without it; null where nothing would be left. */
function lift(session, id) {
  const label = labelOf(session, id), {under} = session;
  if (under && under.id === id && under.step === lastStep(session)) return {object: under.object, label, map: under.map};
  const object = extractObject(session.inst, session.width, session.height, id);
  const map = {label: session.label.slice(), inst: session.inst.slice(), width: session.width, height: session.height};
  return removeObject(map, id) ? {object, label, map} : null;
}

function putDown(session, lifted, object, id) {
  session.label.set(lifted.map.label);
  session.inst.set(lifted.map.inst);
  placeObject(session, object, lifted.label, id);
}

// -- objects --------------------------------------------------------------------------------------------------

/** Make one step of the history of `edit(session)`; it returns false where there is nothing to do. */
export function edit(action) {
  const session = state.session, before = session.snapshot();
  if (action(session) === false) return;
  conclude(before);
}

function transformed(change) {
  const session = state.session, id = session.selected;
  const lifted = id !== null && isObject(session, id) ? lift(session, id) : null;
  if (!lifted) return;
  const object = change(lifted.object);
  edit(() => putDown(session, lifted, object, id));
  remember(session, id, object, lifted.map);
}

export const scaleSelected = (factor) => transformed((object) => scaleObject(object, factor));
export const mirrorSelected = () => transformed(mirrorObject);
export const nudge = (dx, dy) => transformed((object) => ({...object, x: object.x + dx, y: object.y + dy}));

export function removeSelected() {
  const session = state.session, id = session.selected;
  const lifted = id !== null && isObject(session, id) ? lift(session, id) : null;
  if (!lifted) return;
  edit(() => {
    session.label.set(lifted.map.label);
    session.inst.set(lifted.map.inst);
  });
}

export function copySelected() {
  const session = state.session, id = session.selected;
  if (id === null || !isObject(session, id)) return;
  const style = state.about.styles ? session.styles[styleKey(session, id)] : null;
  const object = extractObject(session.inst, session.width, session.height, id);
  state.clipboard = {object, label: labelOf(session, id), style, size: [session.width, session.height]};
  changed();
}

/** Add an object, {object, label, style, size}, moved by a share of its width; it becomes the selection. */
export function addObject({object, label, style, size}, shift = 0) {
  const session = state.session, sx = session.width / size[0], sy = session.height / size[1];
  const own = scaleObject(object, sx);
  own.x = Math.round(object.x * sx);
  own.y = Math.round((object.y + object.height) * sy) - own.height;
  const step = Math.max(2, Math.round(shift * own.width));
  // to the side where there is room
  if (shift) own.x += own.x + own.width + step <= session.width ? step : -step;
  own.x = Math.max(0, Math.min(session.width - own.width, own.x));
  own.y = Math.max(0, Math.min(session.height - own.height, own.y));
  const id = freeInstance(session, label);
  const map = {label: session.label.slice(), inst: session.inst.slice(), width: session.width, height: session.height};
  edit(() => {
    placeObject(session, own, label, id);
    session.selected = id;
    if (state.about.styles && state.about.styles.per === "instance") session.styles[id] = style || randomStyle(label);
  });
  remember(session, id, own, map);
  state.tool = "select";
  changed();
}

export function duplicateSelected() {
  const kept = state.clipboard;
  copySelected();
  const own = state.clipboard;
  if (own !== kept) addObject(own, 0.6);
  state.clipboard = kept;
  changed();
}

export function pasteClipboard() {
  if (state.clipboard) addObject(state.clipboard, 0.6);
}

/** Give the whole selected region another class. */
export function changeClass(label) {
  edit((session) => {
    const old = session.selected, thing = isThing(label), id = thing ? freeInstance(session, label) : label;
    if (old === null || labelOf(session, old) === label) return false;
    for (let i = 0; i < session.inst.length; i++) {
      if (session.inst[i] === old) { session.inst[i] = id; session.label[i] = label; }
    }
    if (thing && state.about.styles && state.about.styles.per === "instance") session.styles[id] = randomStyle(label);
    session.selected = id;
    return true;
  });
}
