// Shapes, regions and objects on maps of numbers: pure functions on typed arrays, row by row from the top left.

/** Call put(index) for every pixel within `radius` of the segment from (x0, y0) to (x1, y1), pixel centres at +0.5. */
export function strokePixels(width, height, x0, y0, x1, y1, radius, put) {
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius)), right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius)), bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
  const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const px = x + 0.5 - x0, py = y + 0.5 - y0;
      const t = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      const ex = px - t * dx, ey = py - t * dy;
      if (ex * ex + ey * ey <= radius * radius) put(y * width + x);
    }
  }
}

/** Call put(index) for every pixel between two corners, both included. */
export function rectanglePixels(width, height, x0, y0, x1, y1, put) {
  const clamp = (v, high) => Math.max(0, Math.min(high, Math.floor(v)));
  const left = clamp(Math.min(x0, x1), width - 1), right = clamp(Math.max(x0, x1), width - 1);
  const top = clamp(Math.min(y0, y1), height - 1), bottom = clamp(Math.max(y0, y1), height - 1);
  for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) put(y * width + x);
}

/** Call put(index) for every pixel whose centre lies in the polygon (even-odd rule). */
export function polygonPixels(width, height, points, put) {
  const ys = points.map((p) => p[1]);
  const top = Math.max(0, Math.floor(Math.min(...ys))), bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  for (let y = top; y <= bottom; y++) {
    const crossings = [], middle = y + 0.5;
    for (let i = 0; i < points.length; i++) {
      const [xa, ya] = points[i], [xb, yb] = points[(i + 1) % points.length];
      if (ya <= middle !== yb <= middle) crossings.push(xa + (middle - ya) / (yb - ya) * (xb - xa));
    }
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] - 0.5)), to = Math.min(width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1);
      for (let x = from; x <= to; x++) put(y * width + x);
    }
  }
}

/** Indices of the connected region around `start` whose pixels all satisfy same(index). */
export function floodPixels(width, height, start, same) {
  const seen = new Uint8Array(width * height), stack = [start], found = [];
  seen[start] = 1;
  while (stack.length) {
    const i = stack.pop(), x = i % width;
    found.push(i);
    const next = (j) => { if (!seen[j] && same(j)) { seen[j] = 1; stack.push(j); } };
    if (x > 0) next(i - 1);
    if (x < width - 1) next(i + 1);
    if (i >= width) next(i - width);
    if (i < width * (height - 1)) next(i + width);
  }
  return found;
}

/** Indices of the pixels that have a number. */
export function indicesOf(map, number) {
  const found = [];
  for (let i = 0; i < map.length; i++) if (map[i] === number) found.push(i);
  return found;
}

/** The object with instance number `id`: {x, y, width, height, mask, area}, or null where there is none. */
export function extractObject(inst, width, height, id) {
  let left = width, right = -1, top = height, bottom = -1, area = 0;
  for (let i = 0; i < inst.length; i++) {
    if (inst[i] !== id) continue;
    const x = i % width, y = (i - x) / width;
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < top) top = y;
    if (y > bottom) bottom = y;
    area++;
  }
  if (!area) return null;
  const w = right - left + 1, h = bottom - top + 1, mask = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) mask[y * w + x] = inst[(y + top) * width + x + left] === id ? 1 : 0;
  return {x: left, y: top, width: w, height: h, mask, area};
}

// Scenes lie in layers: what an object hides continues what stands left and right of it rather than above and below.
const ACROSS = 1, ALONG = 3;

/** What a pixel is to a hole beside it: ground that may continue there, void, or an object with ground behind it. */
export const GROUND = 0, VOID = 1, OBJECT = 2;

/**
 * Give the pixels of instance `id` the label and instance number of the nearest ground; false where there is none.
 * `kinds` says what each class is; instance numbers from 1000 are objects in any case.
 */
export function removeObject(doc, id, kinds) {
  const {label, inst, width, height} = doc;
  const kind = (i) => (inst[i] >= 1000 ? OBJECT : kinds[label[i]]);
  const hole = (i) => inst[i] === id;
  const hidden = (i) => hole(i) || kind(i) === OBJECT;
  let open = indicesOf(inst, id).length;
  // void stays where it is as long as anything else adjoins the hole; objects are ground where there is nothing else
  for (const [ground, through] of [
    [(i) => !hidden(i) && kind(i) === GROUND, hidden],
    [(i) => !hidden(i), hidden],
    [(i) => !hole(i), hole],
  ]) {
    const found = open ? nearest(width, height, hole, ground, through, open) : [];
    for (const [i, j] of found) {
      label[i] = label[j];
      inst[i] = inst[j];
      open--;
    }
  }
  return !open;
}

/** For the pixels of a hole, `open` in number, the nearest ground seen through what is neither: Map pixel -> ground. */
function nearest(width, height, hole, ground, through, open) {
  const from = new Int32Array(width * height).fill(-1), buckets = [[]], found = new Map();
  const visit = (origin, i, cost) => { if (from[i] < 0 && through(i)) (buckets[cost] ||= []).push([i, origin]); };
  const spread = (i, origin, cost) => {
    const x = i % width;
    if (x > 0) visit(origin, i - 1, cost + ACROSS);
    if (x < width - 1) visit(origin, i + 1, cost + ACROSS);
    if (i >= width) visit(origin, i - width, cost + ALONG);
    if (i < width * (height - 1)) visit(origin, i + width, cost + ALONG);
  };
  for (let i = 0; i < from.length; i++) if (ground(i)) { from[i] = i; spread(i, i, 0); }
  for (let cost = 0; cost < buckets.length && found.size < open; cost++) {
    for (const [i, origin] of buckets[cost] || []) {
      if (from[i] >= 0) continue;
      from[i] = origin;
      if (hole(i)) found.set(i, origin);
      spread(i, origin, cost);
    }
    buckets[cost] = null;
  }
  return found;
}

/** Draw an object at its place: pixels outside the map are cut off. */
export function placeObject(doc, object, label, id) {
  for (let y = 0; y < object.height; y++) {
    for (let x = 0; x < object.width; x++) {
      const px = object.x + x, py = object.y + y;
      if (!object.mask[y * object.width + x] || px < 0 || py < 0 || px >= doc.width || py >= doc.height) continue;
      doc.label[py * doc.width + px] = label;
      doc.inst[py * doc.width + px] = id;
    }
  }
}

/** An object scaled about the middle of its lower edge, where it stands on the ground. */
export function scaleObject(object, factor) {
  const width = Math.max(1, Math.round(object.width * factor)), height = Math.max(1, Math.round(object.height * factor));
  const mask = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sx = Math.min(object.width - 1, Math.floor((x + 0.5) * object.width / width));
      const sy = Math.min(object.height - 1, Math.floor((y + 0.5) * object.height / height));
      mask[y * width + x] = object.mask[sy * object.width + sx];
    }
  }
  return {
    x: Math.round(object.x + (object.width - width) / 2), y: object.y + object.height - height, width, height, mask,
    area: mask.reduce((a, b) => a + b, 0),
  };
}

/** An object mirrored left to right. */
export function mirrorObject(object) {
  const mask = new Uint8Array(object.mask.length), w = object.width;
  for (let y = 0; y < object.height; y++) for (let x = 0; x < w; x++) mask[y * w + x] = object.mask[y * w + w - 1 - x];
  return {...object, mask};
}

/** The outline of the pixels that satisfy inside(x, y), as a path in pixel coordinates. */
export function outlinePath(box, inside) {
  const path = new Path2D();
  for (let y = box.y; y <= box.y + box.height; y++) {
    for (let x = box.x; x <= box.x + box.width; x++) {
      const here = inside(x, y);
      if (here !== inside(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
      if (here !== inside(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
    }
  }
  return path;
}
