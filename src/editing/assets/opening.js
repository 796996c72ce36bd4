// What is edited: documents of the data set, images from the disk, saved edits, and the dialogs to choose them.

import {request} from "./drawing.js";
import {edit} from "./objects.js";
import {firstSettings, make} from "./panels.js";
import {completeStyles, randomFrom, Session, state} from "./state.js";
import {drawComparison, drawMap, layOut, updateOutline} from "./view.js";
import {get, unpack} from "./wire.js";

const $ = (id) => document.getElementById(id);
const LARGEST_FILE = 4096 * 2048;
let opened = () => {};

/** `handler()` is called when another session is shown. */
export const onOpen = (handler) => { opened = handler; };

/** Show document `index`, as it was left. */
export async function open(index) {
  if (index < 0 || index >= state.about.documents.length) return null;
  let session = state.sessions.get(index);
  if (!session) {
    const {header, arrays} = await receive(`document/${index}`);
    const [width, height] = header.size, photo = arrays.photo;
    delete arrays.photo;
    session = new Session(index, header.name, width, height, arrays, structuredClone(header.styles), firstSettings());
    session.photoStyles = header.styles;
    if (photo) session.photo = imageOf(photo, width, height);
    state.sessions.set(index, session);
    if (session.label) completeStyles(session, randomFrom(index));
  }
  enter(session);
  return session;
}

async function receive(path) {
  const root = document.documentElement.dataset;
  root.busy = "true";
  try {
    return unpack(await (await get(path)).arrayBuffer());
  } finally {
    root.busy = "false";
  }
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
  opened();
  drawComparison();
  request();
}

function imageOf(rgb, width, height) {
  const image = new ImageData(width, height);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) image.data.set([rgb[j], rgb[j + 1], rgb[j + 2], 255], i);
  return image;
}

/** Show an image from the disk. */
export async function openFile(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error(`${file.name} is no image that the browser can read`);
  const scale = Math.min(1, Math.sqrt(LARGEST_FILE / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * scale)), height = Math.max(1, Math.floor(bitmap.height * scale));
  const canvas = Object.assign(document.createElement("canvas"), {width, height}), context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  const data = context.getImageData(0, 0, width, height).data, rgb = new Uint8Array(3 * width * height);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) rgb.set(data.subarray(i, i + 3), j);
  enter(new Session(-1, file.name.replace(/\.[^.]*$/, ""), width, height, {rgb}, {}, firstSettings()));
}

/** Show a saved edit: one step of its document's history where that is here in this size, or a document of its own. */
export async function openEdit(name) {
  const {header, arrays} = await receive(`edit/${encodeURIComponent(name)}`);
  const {styles = {}, ...settings} = header.settings, [width, height] = header.size;
  const own = await open(state.about.documents.indexOf(header.name));
  if (!own || own.width !== width || own.height !== height) {
    enter(new Session(-1, header.name, width, height, arrays, styles, settings));
    return;
  }
  edit((session) => {
    for (const [key, array] of Object.entries(arrays)) session.arrays[key].set(array);
    Object.assign(session, {styles, settings, selected: null});
  });
  own.unsaved = false;
  opened();
}

// -- dialogs --------------------------------------------------------------------------------------------------

/** A button with an image and a name, which closes its dialog. */
function choice(dialog, name, image, action) {
  const button = make("button", {title: name}, make("img", {alt: "", loading: "lazy", src: image}), make("span", {textContent: name}));
  button.onclick = () => { dialog.close(); action(); };
  return button;
}

/** Fill the dialogs; `fail(error)` is told what went wrong. */
export function buildDialogs(fail) {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").onclick = () => dialog.close();
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  }
  const chooser = $("chooser"), documents = chooser.querySelector(".grid");
  state.about.documents.forEach((name, i) => {
    const button = choice(chooser, name, `thumbnail/${i}`, () => open(i).catch(fail));
    button.dataset.document = i;
    documents.append(button);
  });
  $("document").onclick = () => {
    [...documents.children].forEach((button, i) => button.classList.toggle("on", i === state.index));
    chooser.showModal();
    if (documents.children[state.index]) documents.children[state.index].scrollIntoView({block: "nearest"});
  };
  $("open-edit").onclick = () => showEdits().catch(fail);

  async function showEdits() {
    const found = await (await get("edits")).json(), dialog = $("edits");
    dialog.querySelector(".none").hidden = found.length > 0;
    dialog.querySelector(".grid").replaceChildren(...found.map(({edit: name, document: from}) => {
      const shown = `${name.split("_")[0]} · ${from}`;
      const button = choice(dialog, shown, `edit/${encodeURIComponent(name)}/image`, () => openEdit(name).catch(fail));
      button.dataset.edit = name;
      return button;
    }));
    dialog.showModal();
  }
}
