// Both images on the screen: colours of the map, the result, zoom, outlines and the comparison.

import {extractObject, outlinePath} from "./regions.js";
import {isObject, state} from "./state.js";

const $ = (id) => document.getElementById(id);
export const overlays = () => [...document.querySelectorAll(".overlay")];
let colours = null;
let outline = null;
let dividerAt = 0.5;

export function preparePalette(classes) {
  colours = new Uint32Array(65536).fill(0xff000000);
  classes.forEach((c) => { colours[c.id] = 0xff000000 | (c.colour[2] << 16) | (c.colour[1] << 8) | c.colour[0]; });
}

/** Draw the edited map or image. */
export function drawMap() {
  const session = state.session, {width, height} = session, canvas = $("map");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  if (session.rgb) {
    for (let i = 0, j = 0; i < pixels.length; i++, j += 3) {
      pixels[i] = 0xff000000 | (session.rgb[j + 2] << 16) | (session.rgb[j + 1] << 8) | session.rgb[j];
    }
  } else {
    const {label, inst} = session;
    for (let i = 0; i < pixels.length; i++) {
      const colour = colours[label[i]];
      // neighbours of one class are told apart by a darker seam
      const seam = (label[i] === label[i + 1] && inst[i] !== inst[i + 1] && (i + 1) % width) || (label[i] === label[i + width] && inst[i] !== inst[i + width] && i + width < pixels.length);
      pixels[i] = seam ? 0xff000000 | ((colour >>> 1) & 0x7f7f7f) : colour;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Show a result, an ImageBitmap. */
export function drawPicture(bitmap) {
  const canvas = $("picture");
  Object.assign(canvas, {width: bitmap.width, height: bitmap.height});
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

/** Show what the result is compared with, left of the divider. */
export function drawComparison() {
  const canvas = $("other"), session = state.session;
  const shown = state.compare === "before" ? session.before : state.compare === "photo" ? session.photo : null;
  canvas.style.display = $("divider").style.display = shown ? "block" : "none";
  if (!shown) return;
  Object.assign(canvas, {width: shown.width, height: shown.height});
  const context = canvas.getContext("2d");
  if (shown instanceof ImageData) context.putImageData(shown, 0, 0);
  else context.drawImage(shown, 0, 0);
  moveDivider(dividerAt);
}

export function moveDivider(fraction) {
  dividerAt = Math.max(0, Math.min(1, fraction));
  $("other").style.clipPath = `inset(0 ${100 - 100 * dividerAt}% 0 0)`;
  $("divider").style.left = `${100 * dividerAt}%`;
}

// -- size -----------------------------------------------------------------------------------------------------

/** Lay the images out, side by side or one above the other, whichever shows them larger. */
export function layOut() {
  const session = state.session;
  if (!session) return;
  const stage = $("stage"), {width, height} = session;
  const space = {w: stage.clientWidth - 24, h: stage.clientHeight - 24}, gap = 12, caption = 24;
  const beside = Math.min((space.w - gap) / 2 / width, (space.h - caption) / height);
  const above = Math.min(space.w / width, ((space.h - gap) / 2 - caption) / height);
  stage.classList.toggle("rows", above > beside);
  const fit = Math.max(0.01, Math.max(beside, above) - 0.0005), scale = fit * state.zoom;
  state.scale = scale;
  for (const sheet of document.querySelectorAll(".sheet")) {
    sheet.style.width = `${Math.floor(width * scale)}px`;
    sheet.style.height = `${Math.floor(height * scale)}px`;
  }
  $("zoom-fit").textContent = state.zoom === 1 ? "Fit" : `${Math.round(100 * state.zoom)} %`;
  for (const canvas of overlays()) {
    const dense = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = Math.min(8192, Math.floor(width * scale * dense));
    canvas.height = Math.min(8192, Math.floor(height * scale * dense));
  }
  drawOverlays();
}

/** Change the zoom about a point of a pane, given as fractions of its sheet. */
export function zoomTo(zoom, at = [0.5, 0.5]) {
  state.zoom = Math.max(1, Math.min(16, zoom));
  layOut();
  for (const pane of document.querySelectorAll(".scroll")) {
    pane.scrollLeft = at[0] * pane.scrollWidth - pane.clientWidth / 2;
    pane.scrollTop = at[1] * pane.scrollHeight - pane.clientHeight / 2;
  }
}

// -- overlays -------------------------------------------------------------------------------------------------

/** Compute the outline of the selection anew. */
export function updateOutline() {
  const session = state.session;
  outline = null;
  if (session && session.selected !== null && session.inst) {
    const object = extractObject(session.inst, session.width, session.height, session.selected);
    if (object) {
      const {inst, width, height} = session, id = session.selected;
      outline = outlinePath(object, (x, y) => x >= 0 && y >= 0 && x < width && y < height && inst[y * width + x] === id);
    }
  }
  drawOverlays();
}

/** Draw selection, brush and the shape under way; `shape` is {points, closed} or {rectangle} in pixel coordinates. */
export function drawOverlays(cursor = null, shape = null) {
  const session = state.session;
  if (!session) return;
  for (const canvas of overlays()) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const scale = canvas.width / session.width, dot = Math.min(2, window.devicePixelRatio || 1) / scale;
    context.scale(scale, canvas.height / session.height);
    const line = (draw, dash = []) => {
      for (const [colour, thickness, pattern] of [["#000c", 3, []], ["#fff", 1.5, dash]]) {
        Object.assign(context, {strokeStyle: colour, lineWidth: thickness * dot});
        context.setLineDash(pattern.map((d) => d * dot));
        draw();
      }
    };
    if (outline) line(() => context.stroke(outline), isObject(session, session.selected) ? [] : [5, 4]);
    if (shape) {
      line(() => {
        context.beginPath();
        if (shape.rectangle) {
          const [x0, y0, x1, y1] = shape.rectangle;
          context.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0) + 1, Math.abs(y1 - y0) + 1);
        } else {
          shape.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
          context.closePath();
        }
        context.stroke();
      }, [4, 3]);
    }
    if (cursor && state.tool === "brush") {
      line(() => {
        context.beginPath();
        context.arc(cursor[0], cursor[1], state.brush / 2, 0, 2 * Math.PI);
        context.stroke();
      });
    }
  }
}
