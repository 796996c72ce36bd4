// Requests to the server: JSON for small things, a header with arrays behind it for maps.

const TYPES = {u8: Uint8Array, u16: Uint16Array};

export class RequestError extends Error {}

/** Pack a header and arrays, {name: [shape, Uint8Array or Uint16Array]}. */
export function pack(header, arrays) {
  const listed = Object.entries(arrays).map(([name, [shape, array]]) => [name, array instanceof Uint16Array ? "u16" : "u8", shape]);
  const text = new TextEncoder().encode(JSON.stringify({...header, arrays: listed}));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length, true);
  return new Blob([length, text, ...Object.values(arrays).map(([, array]) => array)]);
}

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let start = 4 + length;
  for (const [name, kind, shape] of header.arrays) {
    const size = shape.reduce((a, b) => a * b, 1) * TYPES[kind].BYTES_PER_ELEMENT;
    // a copy, because 16 bits need an even offset
    arrays[name] = new TYPES[kind](buffer.slice(start, start + size));
    start += size;
  }
  return {header, arrays};
}

async function answer(promise) {
  let response;
  try {
    response = await promise;
  } catch {
    throw new RequestError("The server does not answer: is it still running?");
  }
  if (response.ok) return response;
  let text = `status ${response.status}`;
  try {
    text = (await response.json()).error;
  } catch { /* the status is all there is */ }
  throw new RequestError(text);
}

export const get = (path) => answer(fetch(path));
export const post = (path, body) => answer(fetch(path, {method: "POST", headers: {"Content-Type": "application/octet-stream"}, body}));
