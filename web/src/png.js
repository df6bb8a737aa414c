// PNG files of decoded pixels: to be saved, and to hand pixels with an ICC profile to the browser's colour management.
import { adler32 } from "./alpha.js";
import { crc32 } from "./container.js";

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const COLOUR_TYPES = { L: 0, RGB: 2, LA: 4, RGBA: 6 };
const CHANNELS = { L: [0], RGB: [0, 1, 2], LA: [0, 3], RGBA: [0, 1, 2, 3] };
const STORED_MOST = 65535;
const UP = 2;
const NONE = 0;

/**
 * A PNG file, compressed. image: width, height, mode, icc, exif; bands: RGBA of rows from the top, in order, as arrays.
 */
export async function encodePng(image, bands) {
  const channels = CHANNELS[image.mode];
  const deflate = new CompressionStream("deflate");
  const writer = deflate.writable.getWriter();
  const written = new Response(deflate.readable).arrayBuffer();
  let above = new Uint8Array(image.width * channels.length);
  for (const rgba of bands) {
    const lines = packRows(rgba, image.width, channels);
    const length = above.length + 1;
    const filtered = new Uint8Array((lines.length / above.length) * length);
    for (let row = 0; row < lines.length / above.length; row++) {
      const line = lines.subarray(row * above.length, (row + 1) * above.length);
      filtered[row * length] = UP;
      for (let i = 0; i < line.length; i++) filtered[row * length + 1 + i] = line[i] - above[i];
      above = line;
    }
    await writer.write(filtered);
  }
  await writer.close();
  return assemble(image, await compressed(image.icc), new Uint8Array(await written));
}

/** The same, not compressed and at once: for what is decoded again in a moment. No EXIF. */
export function wrapPng(image, rgba) {
  const lines = packRows(rgba, image.width, CHANNELS[image.mode]);
  const length = lines.length / image.height;
  const filtered = new Uint8Array(lines.length + image.height);
  for (let row = 0; row < image.height; row++) {
    filtered[row * (length + 1)] = NONE;
    filtered.set(lines.subarray(row * length, (row + 1) * length), row * (length + 1) + 1);
  }
  return assemble({ ...image, exif: null }, image.icc && storedStream(image.icc), storedStream(filtered));
}

async function compressed(bytes) {
  if (!bytes) return null;
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function packRows(rgba, width, channels) {
  const count = rgba.length / 4;
  const out = new Uint8Array(count * channels.length);
  for (let i = 0, at = 0; i < count; i++) for (const channel of channels) out[at++] = rgba[4 * i + channel];
  return out;
}

function assemble({ width, height, mode, exif }, profile, pixels) {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, COLOUR_TYPES[mode], 0, 0, 0], 8);
  const parts = [Uint8Array.from(PNG_SIGNATURE), ...chunk("IHDR", [head])];
  if (profile) parts.push(...chunk("iCCP", [Uint8Array.of(0x49, 0x43, 0x43, 0, 0), profile])); // "ICC", zlib
  if (exif) parts.push(...chunk("eXIf", [exif]));
  parts.push(...chunk("IDAT", [pixels]), ...chunk("IEND", []));
  return new Blob(parts, { type: "image/png" });
}

function chunk(name, parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const kind = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
  const crc = [kind, ...parts].reduce((value, part) => crc32(part, value), 0);
  return [bigEndian(length), kind, ...parts, bigEndian(crc)];
}

function bigEndian(value) {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** A zlib stream of stored blocks. */
function storedStream(bytes) {
  const blocks = Math.max(1, Math.ceil(bytes.length / STORED_MOST));
  const out = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
  out.set([0x78, 0x01]);
  let at = 2;
  for (let block = 0; block < blocks; block++) {
    const part = bytes.subarray(block * STORED_MOST, (block + 1) * STORED_MOST);
    const { length } = part;
    out.set([Number(block === blocks - 1), length & 255, length >> 8, ~length & 255, (~length >> 8) & 255], at);
    out.set(part, at + 5);
    at += 5 + length;
  }
  out.set(bigEndian(adler32(bytes)), at);
  return out;
}
