// Puts the editor together: keys, buttons, saving.

import {describe, onFailure, request} from "./drawing.js";
import * as objects from "./objects.js";
import {buildDialogs, onOpen, open, openFile} from "./opening.js";
import {attachStyles, buildObjects, buildPalette, onPanels, showControls, showPalette, showSelection} from "./panels.js";
import {classOf, isThing, state} from "./state.js";
import {attach, cancelGesture} from "./tools.js";
import {drawComparison, drawMap, layOut, moveDivider, preparePalette, updateOutline, zoomTo} from "./view.js";
import {get, post} from "./wire.js";

const $ = (id) => document.getElementById(id);
const HINTS = {
  labels: {
    select: "Click an object or a region. Drag an object to move it; arrow keys nudge it.",
    brush: "Paint the chosen class. An object class makes a new object, or extends the selected one.",
    fill: "Click an object or a patch of a class to give it the chosen class. An object class makes a new object of it.",
    rectangle: "Drag a rectangle of the chosen class.",
    lasso: "Draw around an area to fill it with the chosen class.",
    pick: "Take the class under the pointer. With Alt, every tool does.",
  },
  picture: {
    brush: "Paint the chosen colour.",
    fill: "Click a patch of similar colour to give it the chosen one.",
    rectangle: "Drag a rectangle of the chosen colour.",
    lasso: "Draw around an area to fill it with the chosen colour.",
    pick: "Take the colour under the pointer. With Alt, every tool does.",
  },
};
let toastTimer = 0;

function toast(text, error = false) {
  const box = $("toast");
  box.textContent = text;
  box.classList.toggle("error", error);
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, error ? 12000 : 5000);
}

function say(text) { $("message").textContent = text; }

// -- what is shown --------------------------------------------------------------------------------------------

function refresh() {
  const session = state.session;
  for (const button of $("tools").children) button.classList.toggle("on", button.dataset.tool === state.tool);
  for (const canvas of document.querySelectorAll(".overlay")) canvas.style.cursor = state.tool === "select" ? "default" : "";
  $("hint").textContent = HINTS[state.about.kind][state.tool];
  $("undo").disabled = !session.done.length;
  $("redo").disabled = !session.undone.length;
  $("paste").disabled = !state.clipboard;
  for (const button of $("compare").children) button.classList.toggle("on", button.dataset.compare === state.compare);
  if (session.label) {
    showPalette();
    showSelection();
  } else {
    $("colour").value = `#${state.colour.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
  }
  showControls();
  const edits = session.done.length;
  say(edits ? `${edits} ${edits === 1 ? "edit" : "edits"}${session.unsaved ? ", not saved" : ", saved"}` : "");
}

function hover(point, index) {
  const session = state.session;
  if (!point || !session.label) {
    $("where").textContent = point ? `${Math.floor(point[0])}, ${Math.floor(point[1])}` : "";
    return;
  }
  const label = session.label[index], id = session.inst[index];
  const what = isThing(label) ? `${classOf(label).name} no. ${id}` : classOf(label).name;
  $("where").textContent = `${Math.floor(point[0])}, ${Math.floor(point[1])} · ${what}`;
}

function fail(error) { toast(error.message, true); }

// -- actions --------------------------------------------------------------------------------------------------

function step(back) {
  if (cancelGesture()) return;
  if (!(back ? state.session.undo() : state.session.redo())) return;
  drawMap();
  updateOutline();
  refresh();
  request();
}

async function save() {
  const session = state.session, edits = session.done.length;
  $("save").disabled = true;
  try {
    const {folder} = await (await post("save", describe(session))).json();
    if (session.done.length === edits) session.unsaved = false;
    document.documentElement.dataset.saved = folder;
    toast(`Saved in ${folder}`);
    refresh();
  } finally {
    $("save").disabled = false;
  }
}

function setTool(tool) {
  if (!HINTS[state.about.kind][tool]) return;
  state.tool = tool;
  refresh();
}

function setBrush(size) {
  state.brush = Math.max(1, Math.min(Number($("brush").max), size));
  $("brush").value = state.brush;
  $("brush-size").textContent = state.brush;
}

function compareWith(what) {
  state.compare = state.compare === what ? "" : what;
  drawComparison();
  refresh();
}

const TOOL_KEYS = {v: "select", b: "brush", f: "fill", r: "rectangle", l: "lasso", p: "pick"};
const MOVES = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function onKey(event) {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select") || document.querySelector("dialog[open]");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (typing) return;
  const control = event.ctrlKey || event.metaKey, selected = state.session && state.session.selected !== null;
  let action = null;
  if (control) {
    action = {
      z: () => step(!event.shiftKey), y: () => step(false), s: () => save().catch(fail), c: objects.copySelected,
      v: objects.pasteClipboard, d: objects.duplicateSelected,
    }[key];
  } else if (TOOL_KEYS[key]) {
    action = () => setTool(TOOL_KEYS[key]);
  } else if (MOVES[key] && selected && !event.target.matches("input")) {
    const by = event.shiftKey ? 8 : 1;
    action = () => objects.nudge(by * MOVES[key][0], by * MOVES[key][1]);
  } else {
    action = {
      Delete: objects.removeSelected, Backspace: objects.removeSelected, m: objects.mirrorSelected,
      Escape: () => { if (!cancelGesture() && selected) objects.select(null); },
      "[": () => (state.tool === "select" ? objects.scaleSelected(1 / 1.1) : setBrush(state.brush - 1)),
      "]": () => (state.tool === "select" ? objects.scaleSelected(1.1) : setBrush(state.brush + 1)),
      "+": () => zoomTo(state.zoom * 1.5), "=": () => zoomTo(state.zoom * 1.5), "-": () => zoomTo(state.zoom / 1.5), 0: () => zoomTo(1),
      PageUp: () => open(state.index - 1).catch(fail), PageDown: () => open(state.index + 1).catch(fail),
    }[key];
  }
  if (!action || !state.session) return;
  event.preventDefault();
  action();
}

function attachPanes() {
  const panes = [...document.querySelectorAll(".scroll")];
  for (const pane of panes) {
    pane.addEventListener("scroll", () => {
      for (const other of panes) if (other !== pane) Object.assign(other, {scrollLeft: pane.scrollLeft, scrollTop: pane.scrollTop});
    });
    pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = pane.querySelector(".sheet").getBoundingClientRect();
      zoomTo(state.zoom * (event.deltaY < 0 ? 1.25 : 0.8), [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    }, {passive: false});
  }
  const divider = $("divider");
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = divider.parentElement.getBoundingClientRect();
    moveDivider((event.clientX - box.left) / box.width);
  });
  new ResizeObserver(layOut).observe($("stage"));
}

function attachButtons() {
  for (const button of $("tools").children) button.onclick = () => setTool(button.dataset.tool);
  for (const button of $("compare").children) button.onclick = () => compareWith(button.dataset.compare);
  const clicks = {
    undo: () => step(true), redo: () => step(false), save: () => save().catch(fail),
    previous: () => open(state.index - 1).catch(fail), next: () => open(state.index + 1).catch(fail),
    "zoom-in": () => zoomTo(state.zoom * 1.5), "zoom-out": () => zoomTo(state.zoom / 1.5), "zoom-fit": () => zoomTo(1),
    remove: objects.removeSelected, copy: objects.copySelected, duplicate: objects.duplicateSelected, paste: objects.pasteClipboard,
    smaller: () => objects.scaleSelected(1 / 1.1), larger: () => objects.scaleSelected(1.1), mirror: objects.mirrorSelected,
    "open-file": () => $("file").click(),
  };
  for (const [id, action] of Object.entries(clicks)) $(id).onclick = action;
  $("brush").oninput = () => setBrush(Number($("brush").value));
  $("colour").oninput = () => { state.colour = [1, 3, 5].map((i) => parseInt($("colour").value.slice(i, i + 2), 16)); };
  $("file").onchange = () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) openFile(file).catch(fail);
  };
}

async function begin() {
  state.about = await (await get("about")).json();
  const {about} = state, labels = about.kind === "labels";
  document.documentElement.dataset.kind = about.kind;
  document.title = `${about.name} · editor`;
  $("run").textContent = about.name;
  $("origin").textContent = `${about.system}, checkpoint ${about.checkpoint}, ${about.device}`;
  document.querySelector("#map-pane figcaption").textContent = labels ? "Label map" : "Input";
  for (const id of ["palette-box", "object-box"]) $(id).hidden = !labels;
  $("colour-line").hidden = $("open-file").hidden = labels;
  document.querySelector("[data-tool=select]").hidden = !labels;
  document.querySelector("#compare [data-compare=photo]").hidden = !labels;
  preparePalette(about.classes);
  state.classId = (about.classes.find((one) => one.name === "car") || about.classes[0] || {id: 0}).id;
  buildPalette((id) => {
    state.classId = id;
    if (["select", "pick"].includes(state.tool)) state.tool = "brush";
    refresh();
  });
  buildDialogs(fail);
  onOpen(refresh);
  attachButtons();
  attachPanes();
  attachStyles();
  attach(hover);
  objects.onChange(refresh);
  onPanels(refresh);
  onFailure(fail);
  addEventListener("keydown", onKey);
  addEventListener("beforeunload", (event) => {
    if ([...state.sessions.values(), state.session].some((session) => session && session.unsaved)) event.preventDefault();
  });
  await open(0);
  setBrush(Math.max(2, Math.round(state.session.width / 32)));
  document.documentElement.dataset.ready = "true";
  buildObjects().catch(fail);
}

// what tests look at
window.editor = state;
begin().catch(fail);
