// Asking the server for images: one request at a time, always for the newest state; thumbnails wait their turn.

import {completeStyles, state} from "./state.js";
import {drawComparison, drawPicture} from "./view.js";
import {pack, post} from "./wire.js";

const PAUSE = 40;
let wanted = false;
let running = false;
let timer = 0;
let tasks = [];
let fail = () => {};

export const onFailure = (handler) => { fail = handler; };

/** The message that describes a session; `styles` replaces its styles. */
export function describe(session, styles = session.styles) {
  const {width, height} = session, shape = [height, width], arrays = {};
  for (const [name, array] of Object.entries(session.arrays)) arrays[name] = [name === "rgb" ? [...shape, 3] : shape, array];
  const settings = {...session.settings};
  if (state.about.styles) settings.styles = styles;
  return pack({name: session.name, document: session.index >= 0 ? session.index : null, settings}, arrays);
}

/** The image has to be drawn anew, soon. */
export function request() {
  wanted = true;
  tasks = [];
  busy();
  clearTimeout(timer);
  timer = setTimeout(work, PAUSE);
}

/** Have `task` called, once nothing more urgent waits; a new request drops it. */
export function later(task) {
  tasks.push(task);
  busy();
  clearTimeout(timer);
  timer = setTimeout(work, PAUSE);
}

export const dropTasks = () => { tasks = []; busy(); };

function busy() {
  const root = document.documentElement.dataset;
  root.busy = String(wanted || running === "picture");
  root.idle = String(!wanted && !running && !tasks.length);
}

async function work() {
  if (running) return;
  while (wanted || tasks.length) {
    const task = wanted ? null : tasks.shift();
    running = task ? "task" : "picture";
    if (!task) wanted = false;
    busy();
    try {
      await (task ? task() : drawNow());
      delete document.documentElement.dataset.failed;
    } catch (error) {
      document.documentElement.dataset.failed = error.message;
      fail(error);
    }
    running = false;
    busy();
  }
}

async function drawNow() {
  const session = state.session, start = performance.now();
  completeStyles(session);
  const response = await post("draw", describe(session));
  const bitmap = await createImageBitmap(await response.blob());
  if (session !== state.session) return;
  const computed = Number(response.headers.get("X-Milliseconds"));
  drawPicture(bitmap);
  if (!session.before) session.before = bitmap;
  drawComparison();
  const all = performance.now() - start;
  document.getElementById("timing").textContent = `${Math.round(computed)} ms (${Math.round(all)} ms with transfer)`;
  document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn || 0) + 1);
}

/** The image with other styles, as a bitmap. */
export async function drawWith(session, styles) {
  const response = await post("draw", describe(session, styles));
  return createImageBitmap(await response.blob());
}
