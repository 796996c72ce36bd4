// The panels beside the images: classes, the selection with its styles, the model's controls, objects to add.

import {drawWith, dropTasks, later, request} from "./drawing.js";
import {extractObject} from "./regions.js";
import {classOf, clustersOf, isObject, labelOf, randomFrom, randomStyle, regionsOf, state, styleKey} from "./state.js";
import {addObject, changeClass, edit} from "./objects.js";
import {get} from "./wire.js";

const $ = (id) => document.getElementById(id);
const css = (colour) => `rgb(${colour.join(" ")})`;

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const swatch = (label) => {
  const mark = make("i");
  mark.style.background = css(classOf(label).colour);
  return mark;
};

// -- classes --------------------------------------------------------------------------------------------------

export function buildPalette(choose) {
  const palette = $("palette"), groups = new Map();
  for (const one of state.about.classes) groups.set(one.group, [...(groups.get(one.group) || []), one]);
  for (const [group, classes] of groups) {
    const section = make("section");
    if (groups.size > 1) section.append(make("h3", {textContent: group}));
    for (const one of classes) {
      const button = make("button", {title: `class ${one.id}`}, swatch(one.id), make("span", {textContent: one.name}));
      button.dataset.class = one.id;
      button.setAttribute("role", "option");
      button.onclick = () => choose(one.id);
      section.append(button);
    }
    palette.append(section);
  }
  for (const one of state.about.classes) $("object-class").append(make("option", {value: one.id, textContent: one.name}));
  $("object-class").onchange = (event) => changeClass(Number(event.target.value));
  $("search").oninput = filterPalette;
}

function filterPalette() {
  const wanted = $("search").value.trim().toLowerCase();
  for (const section of $("palette").children) {
    let any = false;
    for (const button of section.querySelectorAll("button")) {
      button.hidden = !`${button.textContent} ${button.dataset.class}`.toLowerCase().includes(wanted);
      any ||= !button.hidden;
    }
    section.hidden = !any;
  }
}

export function showPalette() {
  const present = new Set(state.session.label);
  for (const button of $("palette").querySelectorAll("button")) {
    const id = Number(button.dataset.class);
    button.classList.toggle("on", id === state.classId);
    button.classList.toggle("absent", !present.has(id));
    button.setAttribute("aria-selected", id === state.classId);
  }
}

// -- the selection --------------------------------------------------------------------------------------------

let shownStyles = "";

export function showSelection() {
  const session = state.session, id = session.selected;
  $("nothing").hidden = id !== null;
  $("object").hidden = id === null;
  $("all-box").hidden = !state.about.styles;
  $("all-photo").hidden = !Object.keys(session.photoStyles).length;
  if (id === null) {
    shownStyles = "";
    return;
  }
  const label = labelOf(session, id), object = extractObject(session.inst, session.width, session.height, id);
  $("object-swatch").style.background = css(classOf(label).colour);
  $("object-name").textContent = classOf(label).name;
  $("object-id").textContent = `${isObject(session, id) ? `no. ${id}` : "region"} · ${object.width}×${object.height}`;
  $("object-class").value = label;
  for (const button of $("object-buttons").children) button.disabled = !isObject(session, id);
  $("style-box").hidden = !state.about.styles;
  if (state.about.styles) showStyles(session, id, label, object);
}

const near = (a, b) => a && b && a.every((v, i) => Math.abs(v - b[i]) < 1e-4);

function setStyle(style) {
  edit((session) => { session.styles[styleKey(session, session.selected)] = style; });
}

function showStyles(session, id, label, object) {
  const key = styleKey(session, id), own = session.styles[key], known = clustersOf(label);
  const photo = session.photoStyles[key];
  $("style-photo").hidden = !photo;
  $("style-photo").onclick = () => setStyle(photo.slice());
  $("style-random").disabled = known.length < 2;
  $("style-random").onclick = () => {
    const others = known.filter((style) => !near(style, own));
    setStyle(others[Math.floor(Math.random() * others.length)].slice());
  };
  const box = $("styles");
  const signature = JSON.stringify([session.index, key, label, object.x, object.y, object.area, session.done.length]);
  if (box.dataset.key !== JSON.stringify([session.index, key, label])) {
    box.dataset.key = JSON.stringify([session.index, key, label]);
    box.replaceChildren(...known.map((style, k) => {
      const button = make("button", {title: `style ${k}: ${style.map((v) => v.toFixed(2)).join(", ")}`}, make("canvas"), make("span", {textContent: k}));
      button.dataset.style = k;
      button.onclick = () => setStyle(style.slice());
      return button;
    }));
    if (!known.length) box.append(make("p", {textContent: "This class has no clusters: fine tuning still works."}));
  }
  [...box.querySelectorAll("button")].forEach((button, k) => button.classList.toggle("on", Boolean(near(own, known[k]))));
  if (signature !== shownStyles) {
    shownStyles = signature;
    dropTasks();
    known.forEach((style, k) => later(() => thumbnail(session, id, key, style, box.children[k], signature)));
  }
  showFeatures(session, key, own);
}

/** Draw the selection in one style, cut out of the image. */
async function thumbnail(session, id, key, style, button, signature) {
  if (signature !== shownStyles || session !== state.session || !button) return;
  const bitmap = await drawWith(session, {...session.styles, [key]: style});
  const object = extractObject(session.inst, session.width, session.height, id);
  if (!object || signature !== shownStyles) return;
  const margin = Math.max(2, Math.round(0.12 * Math.max(object.width, object.height)));
  const side = Math.max(object.width, object.height) + 2 * margin;
  const w = Math.min(side, session.width), h = Math.min(side, session.height);
  const x = Math.max(0, Math.min(session.width - w, Math.round(object.x + object.width / 2 - w / 2)));
  const y = Math.max(0, Math.min(session.height - h, Math.round(object.y + object.height / 2 - h / 2)));
  const canvas = Object.assign(button.querySelector("canvas"), {width: 2 * w, height: 2 * h});
  canvas.getContext("2d").drawImage(bitmap, x, y, w, h, 0, 0, 2 * w, 2 * h);
  button.dataset.drawn = "true";
}

function showFeatures(session, key, own) {
  const box = $("features");
  if (box.children.length !== own.length) {
    box.replaceChildren(...own.map((_, i) => {
      const slider = make("input", {type: "range", min: -1, max: 1, step: 0.01}), output = make("output");
      slider.setAttribute("aria-label", `feature ${i + 1}`);
      slide(slider, (value) => {
        const now = state.session, place = styleKey(now, now.selected), style = now.styles[place].slice();
        style[i] = value;
        now.styles[place] = style;
        output.textContent = value.toFixed(2);
      });
      return make("label", {className: "line"}, slider, output);
    }));
  }
  [...box.children].forEach((line, i) => {
    line.children[0].value = own[i];
    line.children[1].textContent = own[i].toFixed(2);
  });
}

/** A slider whose whole drag is one step of the history. */
function slide(input, set) {
  let before = null;
  input.oninput = () => {
    before ||= state.session.snapshot();
    set(Number(input.value));
    request();
  };
  input.onchange = () => {
    if (before) {
      const from = before;
      before = null;
      state.session.commit(from);
      panelsChanged();
    }
  };
}

let panelsChanged = () => {};
export const onPanels = (handler) => { panelsChanged = handler; };

export function attachStyles() {
  $("all-random").onclick = () => edit((session) => {
    const random = randomFrom(Math.floor(Math.random() * 2 ** 31));
    for (const [id, label] of regionsOf(session)) session.styles[id] = randomStyle(label, random);
  });
  $("all-photo").onclick = () => edit((session) => { Object.assign(session.styles, structuredClone(session.photoStyles)); });
}

// -- controls of the model ------------------------------------------------------------------------------------

const newSeed = () => Math.floor(Math.random() * 100000);

/** What the controls say before anybody touched them. */
export function firstSettings() {
  const settings = {};
  for (const control of state.about.controls) {
    if (control.type === "levels") settings.levels = control.names.map((_, i) => ({temperature: control.temperatures[i], seed: 0, keep: Boolean(control.kept)}));
    if (control.type === "choice") settings[control.id] = control.options[0][0];
    if (control.type === "look") settings[control.id] = 0;
  }
  return settings;
}

export function showControls() {
  const box = $("controls");
  $("controls-box").hidden = !state.about.controls.length;
  box.replaceChildren(...state.about.controls.map((control) => ({levels: levelControls, choice: choiceControl, look: lookControl})[control.type](control)));
}

const set = (change) => edit((session) => { change(session.settings); });

function choiceControl(control) {
  const group = make("div", {className: "group"});
  for (const [value, text] of control.options) {
    const button = make("button", {textContent: text, className: state.session.settings[control.id] === value ? "on" : ""});
    button.dataset[control.id] = value;
    button.onclick = () => set((settings) => { settings[control.id] = value; });
    group.append(button);
  }
  return make("div", {}, make("h3", {textContent: control.label}), group);
}

function lookControl(control) {
  const box = make("div", {id: "looks"});
  control.names.slice(0, 60).forEach((name, i) => {
    const button = make("button", {title: name, className: state.session.settings[control.id] === i ? "on" : ""}, make("img", {src: `look/${i}`, alt: name, loading: "lazy"}));
    button.dataset.look = i;
    button.onclick = () => set((settings) => { settings[control.id] = i; });
    box.append(button);
  });
  return make("div", {}, make("h3", {textContent: control.label}), box);
}

function levelControls(control) {
  const {settings, photo} = state.session, can = control.keep && (Boolean(photo) || state.about.kind === "picture");
  const box = make("div", {id: "levels"});
  const all = make("div", {className: "line"}, make("span", {textContent: "All levels"}));
  const slider = make("input", {type: "range", min: 0, max: 1.5, step: 0.01, value: settings.levels[0].temperature, id: "temperature"});
  slider.setAttribute("aria-label", "temperature of all levels");
  const output = make("output", {textContent: settings.levels[0].temperature.toFixed(2)});
  slide(slider, (value) => {
    for (const level of state.session.settings.levels) level.temperature = value;
    output.textContent = value.toFixed(2);
    box.querySelectorAll(".level input[type=range]").forEach((other) => { other.value = value; other.nextSibling.textContent = value.toFixed(2); });
  });
  const dice = make("button", {title: "Draw all levels anew", id: "redraw-all"});
  dice.innerHTML = '<svg><use href="#i-dice"/></svg>';
  dice.onclick = () => set((s) => { s.levels.forEach((level) => { if (!level.keep) level.seed = newSeed(); }); });
  all.append(slider, output, dice);
  box.append(all);
  control.names.forEach((name, i) => box.append(levelControl(control, name, i, can)));
  return box;
}

function levelControl(control, name, i, can) {
  const level = state.session.settings.levels[i], box = make("div", {className: `level${level.keep ? " kept" : ""}`});
  box.dataset.level = i;
  const head = make("div", {}, make("b", {textContent: `${name}${i === 0 && control.names.length > 1 ? " · finest" : ""}`}));
  if (can) {
    const keep = make("input", {type: "checkbox", checked: level.keep});
    keep.onchange = () => set((s) => { s.levels[i].keep = keep.checked; });
    head.append(make("label", {className: "line"}, keep, state.about.kind === "picture" ? "keep" : "from photo"));
  }
  const slider = make("input", {type: "range", min: 0, max: 1.5, step: 0.01, value: level.temperature});
  slider.setAttribute("aria-label", `temperature of ${name}`);
  const output = make("output", {textContent: level.temperature.toFixed(2)});
  slide(slider, (value) => { state.session.settings.levels[i].temperature = value; output.textContent = value.toFixed(2); });
  const seed = make("input", {type: "number", className: "seed", min: 0, max: 2147483647, step: 1, value: level.seed});
  seed.setAttribute("aria-label", `seed of ${name}`);
  seed.onchange = () => {
    const value = Math.max(0, Math.min(2147483647, Math.round(Number(seed.value) || 0)));
    set((s) => { s.levels[i].seed = value; });
  };
  const dice = make("button", {title: "Draw this level anew"});
  dice.innerHTML = '<svg><use href="#i-dice"/></svg>';
  dice.onclick = () => set((s) => { s.levels[i].seed = newSeed(); });
  box.append(head, make("div", {className: "drawn", title: "temperature: 0 is the mode, 1 the model's distribution"}, slider, output), make("div", {className: "drawn"}, make("span", {textContent: "seed"}), seed, dice));
  return box;
}

// -- objects to add -------------------------------------------------------------------------------------------

/** Objects that the label maps hold, as buttons. */
export async function buildObjects() {
  if (state.about.kind !== "labels") return;
  const found = await (await get("objects")).json();
  $("add-box").hidden = false;
  for (const entry of found) {
    const object = {x: entry.x, y: entry.y, width: entry.width, height: entry.height, mask: bitsOf(entry)};
    const canvas = make("canvas", {width: entry.width, height: entry.height}), context = canvas.getContext("2d");
    const image = new ImageData(entry.width, entry.height), colour = classOf(entry.label).colour.map((c) => Math.round(70 + 0.73 * c));
    object.mask.forEach((bit, i) => { if (bit) image.data.set([...colour, 255], 4 * i); });
    context.putImageData(image, 0, 0);
    const button = make("button", {title: `Add this ${classOf(entry.label).name}`}, canvas, make("span", {textContent: classOf(entry.label).name}));
    button.dataset.object = entry.label;
    button.onclick = () => addObject({object, label: entry.label, style: null, size: entry.size});
    $("objects").append(button);
  }
}

function bitsOf(entry) {
  const bytes = Uint8Array.from(atob(entry.mask), (c) => c.charCodeAt(0)), row = Math.ceil(entry.width / 8);
  const mask = new Uint8Array(entry.width * entry.height);
  for (let y = 0; y < entry.height; y++) for (let x = 0; x < entry.width; x++) mask[y * entry.width + x] = (bytes[y * row + (x >> 3)] >> (7 - (x & 7))) & 1;
  return mask;
}
