// What the pointer does in either image.

import {changed, conclude, edit, lift, newRegion, putDown, reclass, remember, select, show} from "./objects.js";
import {floodPixels, indicesOf, polygonPixels, rectanglePixels, strokePixels} from "./regions.js";
import {isObject, isThing, labelOf, state} from "./state.js";
import {drawOverlays, overlays} from "./view.js";

let gesture = null;
const SIMILAR = 24;

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
  if (tool === "fill") return fill(index);
  gesture = {kind: tool, before: session.snapshot(), from: point, last: point, shape: null, painted: false};
  gesture.ink = ink(session);
  if (tool === "brush") {
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
  return {label, id: newRegion(session, label), fresh: isThing(label)};
}

function put(index) {
  const session = state.session, {ink: how} = gesture;
  gesture.painted = true;
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

/** Fill the patch of similar colour around a pixel; on maps the whole object, or the connected patch of its class. */
function fill(index) {
  edit((session) => {
    const {width, height, rgb, inst, label} = session;
    if (rgb) {
      const [r, g, b] = rgb.subarray(3 * index, 3 * index + 3);
      const same = (j) => Math.abs(rgb[3 * j] - r) < SIMILAR && Math.abs(rgb[3 * j + 1] - g) < SIMILAR && Math.abs(rgb[3 * j + 2] - b) < SIMILAR;
      for (const i of floodPixels(width, height, index, same)) rgb.set(state.colour, 3 * i);
      return true;
    }
    const id = inst[index], old = id >= 1000 ? labelOf(session, id) : label[index];
    if (old === state.classId) return false;
    const same = (j) => inst[j] === id && label[j] === old;
    const filled = reclass(session, id >= 1000 ? indicesOf(inst, id) : floodPixels(width, height, index, same), state.classId);
    if (isThing(state.classId)) session.selected = filled;
    return true;
  });
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
  if (kind !== "move" && !done.painted) {
    session.restore(before);
    drawOverlays();
    return;
  }
  if (done.ink && done.ink.fresh) session.selected = done.ink.id;
  conclude(before);
  if (kind === "move") remember(session, done.id, done.placed, done.lifted.map);
}

function pick(index) {
  const session = state.session;
  if (session.rgb) state.colour = [...session.rgb.subarray(3 * index, 3 * index + 3)];
  else state.classId = session.label[index];
  changed();
}
