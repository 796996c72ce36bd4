// What can be done to a document and its objects: each is one step of the history.

import {request} from "./drawing.js";
import {extractObject, indicesOf, mirrorObject, placeObject, removeObject, scaleObject} from "./regions.js";
import {completeStyles, freeInstance, isObject, isThing, kindsOfClasses, labelOf, randomStyle, state, styleKey} from "./state.js";
import {drawMap, updateOutline} from "./view.js";

/** Say that there is a new step of the history or another selection. */
export let changed = () => {};
export const onChange = (handler) => { changed = handler; };

let painting = 0;

/** Show what changed with the next frame of the screen, and ask for its image. */
export function show() {
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    drawMap();
    updateOutline();
  });
  request();
}

/** Make one step of the history of `edit(session)`; it returns false where there is nothing to do. */
export function edit(action) {
  const session = state.session, before = session.snapshot();
  if (action(session) === false) return;
  conclude(before);
}

/** Make what changed since the snapshot `before` one step of the history. */
export function conclude(before) {
  const session = state.session;
  if (session.selected !== null && session.inst && !session.inst.includes(session.selected)) session.selected = null;
  // before the step is recorded: a redo must find the same styles
  completeStyles(session);
  session.commit(before);
  show();
  changed();
}

export function select(id) {
  state.session.selected = id;
  updateOutline();
  changed();
}

/** The instance number of what is to become a region of a class: a new object where it is a class of objects. */
export function newRegion(session, label) {
  if (!isThing(label)) return label;
  const id = freeInstance(session, label);
  // the number may have belonged to an object that is gone, with a style of its own
  if (state.about.styles && state.about.styles.per === "instance") session.styles[id] = randomStyle(label);
  return id;
}

/** Make pixels one region of another class, and return its instance number. */
export function reclass(session, pixels, label) {
  const id = newRegion(session, label);
  for (const i of pixels) {
    session.label[i] = label;
    session.inst[i] = id;
  }
  return id;
}

// -- objects --------------------------------------------------------------------------------------------------

/** The newest step of the history that changed pixels. */
const lastStep = (session) => session.done.filter((step) => step.box).at(-1) || null;

/** Remember what lies under an object that was just put down, and the whole of it: it may be moved on, or taken away. */
export function remember(session, id, object, map) {
  session.under = {id, object, map, step: lastStep(session)};
}

/** Take an object out: what it is, and the map without it; null where nothing would be left. */
export function lift(session, id) {
  const label = labelOf(session, id), {under} = session;
  if (under && under.id === id && under.step === lastStep(session)) return {object: under.object, label, map: under.map};
  const object = extractObject(session.inst, session.width, session.height, id);
  const map = {label: session.label.slice(), inst: session.inst.slice(), width: session.width, height: session.height};
  return removeObject(map, id, kindsOfClasses()) ? {object, label, map} : null;
}

export function putDown(session, lifted, object, id) {
  session.label.set(lifted.map.label);
  session.inst.set(lifted.map.inst);
  placeObject(session, object, lifted.label, id);
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

/** Add an object, {object, label, style, size}, moved by a fraction of its width; it becomes the selection. */
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
    const old = session.selected;
    if (old === null || labelOf(session, old) === label) return false;
    session.selected = reclass(session, indicesOf(session.inst, old), label);
    return true;
  });
}
