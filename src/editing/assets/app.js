// Puts the editor together: opening, keys, buttons, saving.

import {describe, onFailure, request} from "./drawing.js";
import {attachStyles, buildObjects, buildPalette, firstSettings, make, onPanels, showControls, showPalette, showSelection} from "./panels.js";
import {classOf, completeStyles, isThing, randomFrom, Session, state} from "./state.js";
import * as tools from "./tools.js";
import {drawComparison, drawMap, layOut, moveDivider, preparePalette, updateOutline, zoomTo} from "./view.js";
import {get, post, unpack} from "./wire.js";

const $ = (id) => document.getElementById(id);
const HINTS = {
  select: "Click an object or a region. Drag an object to move it; arrow keys nudge it.",
  brush: "Paint the chosen class. An object class makes a new object, or extends the selected one.",
  fill: "Fill the region under the pointer with the chosen class.",
  rectangle: "Drag a rectangle of the chosen class.",
  lasso: "Draw around an area to fill it with the chosen class.",
  pick: "Take the class under the pointer. With Alt, every tool does.",
};
const LARGEST_FILE = 4096 * 2048;
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

// -- opening --------------------------------------------------------------------------------------------------

async function open(index) {
  const {about} = state;
  if (index < 0 || index >= about.documents.length) return;
  let session = state.sessions.get(index);
  if (!session) {
    document.documentElement.dataset.busy = "true";
    const {header, arrays} = unpack(await (await get(`document/${index}`)).arrayBuffer());
    const [width, height] = header.size, photo = arrays.photo;
    delete arrays.photo;
    session = new Session(index, header.name, width, height, arrays, structuredClone(header.styles), firstSettings());
    session.photoStyles = header.styles;
    if (photo) session.photo = imageOf(photo, width, height);
    state.sessions.set(index, session);
    if (session.label) completeStyles(session, randomFrom(index));
  }
  enter(session);
}

function enter(session) {
  state.session = session;
  state.index = session.index;
  if (!session.photo && state.compare === "photo") state.compare = "";
  $("document").textContent = session.name;
  $("previous").disabled = session.index <= 0;
  $("next").disabled = session.index >= state.about.documents.length - 1;
  document.querySelector("#compare [data-compare=photo]").disabled = !session.photo;
  state.zoom = 1;
  drawMap();
  layOut();
  updateOutline();
  refresh();
  drawComparison();
  request();
}

function imageOf(rgb, width, height) {
  const image = new ImageData(width, height);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) image.data.set([rgb[j], rgb[j + 1], rgb[j + 2], 255], i);
  return image;
}

async function openFile(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return toast(`${file.name} is no picture that the browser can read`, true);
  const scale = Math.min(1, Math.sqrt(LARGEST_FILE / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * scale)), height = Math.max(1, Math.floor(bitmap.height * scale));
  const canvas = Object.assign(document.createElement("canvas"), {width, height}), context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  const data = context.getImageData(0, 0, width, height).data, rgb = new Uint8Array(3 * width * height);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) rgb.set(data.subarray(i, i + 3), j);
  const session = new Session(-1, file.name.replace(/\.[^.]*$/, ""), width, height, {rgb}, {}, firstSettings());
  enter(session);
  return session;
}

function buildChooser() {
  const box = $("documents");
  state.about.documents.forEach((name, i) => {
    const button = make("button", {title: name}, make("img", {alt: "", loading: "lazy", src: `thumbnail/${i}`}), make("span", {textContent: name}));
    button.dataset.document = i;
    button.onclick = () => { $("chooser").close(); open(i).catch(fail); };
    box.append(button);
  });
  $("document").onclick = () => {
    [...box.children].forEach((button, i) => button.classList.toggle("on", i === state.index));
    $("chooser").showModal();
    if (box.children[state.index]) box.children[state.index].scrollIntoView({block: "nearest"});
  };
  $("chooser-close").onclick = () => $("chooser").close();
  $("chooser").onclick = (event) => { if (event.target === $("chooser")) $("chooser").close(); };
}

// -- what is shown --------------------------------------------------------------------------------------------

function refresh() {
  const session = state.session;
  for (const button of $("tools").children) button.classList.toggle("on", button.dataset.tool === state.tool);
  for (const canvas of document.querySelectorAll(".overlay")) canvas.style.cursor = state.tool === "select" ? "default" : "";
  $("hint").textContent = state.about.kind === "labels" ? HINTS[state.tool] : HINTS[state.tool].replace("the chosen class", "the chosen colour").replace(/ An object class.*/, "");
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
  if (tools.cancelGesture()) return;
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
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select") || $("chooser").open;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (typing) return;
  const control = event.ctrlKey || event.metaKey, selected = state.session && state.session.selected !== null;
  let action = null;
  if (control) {
    action = {
      z: () => step(!event.shiftKey), y: () => step(false), s: () => save().catch(fail), c: tools.copySelected,
      v: tools.pasteClipboard, d: tools.duplicateSelected,
    }[key];
  } else if (TOOL_KEYS[key]) {
    action = () => setTool(TOOL_KEYS[key]);
  } else if (MOVES[key] && selected && !event.target.matches("input")) {
    const by = event.shiftKey ? 8 : 1;
    action = () => tools.nudge(by * MOVES[key][0], by * MOVES[key][1]);
  } else {
    action = {
      Delete: tools.removeSelected, Backspace: tools.removeSelected, m: tools.mirrorSelected,
      Escape: () => { if (!tools.cancelGesture() && selected) tools.select(null); },
      "[": () => (state.tool === "select" ? tools.scaleSelected(1 / 1.1) : setBrush(state.brush - 1)),
      "]": () => (state.tool === "select" ? tools.scaleSelected(1.1) : setBrush(state.brush + 1)),
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
    remove: tools.removeSelected, copy: tools.copySelected, duplicate: tools.duplicateSelected, paste: tools.pasteClipboard,
    smaller: () => tools.scaleSelected(1 / 1.1), larger: () => tools.scaleSelected(1.1), mirror: tools.mirrorSelected,
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
  buildChooser();
  attachButtons();
  attachPanes();
  attachStyles();
  tools.attach(hover);
  tools.onChange(refresh);
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
