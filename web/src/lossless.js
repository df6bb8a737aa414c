// The LOSSLESS section: WebP images in tiles, decoded by the browser; see vaecodec/container/lossless.py.
import { Reader } from "./container.js";
import { BackendError, CorruptStream, Truncated } from "./errors.js";

const WEBP = 1;
const MIN_TILE = 256;
const MAX_TILE = 16383;
const HEAD_BYTES = 25;
const SIGNATURE = 0x2f;

/** Decode all tiles; sink.start() once all are checked, sink.rows(top, rows, rgba) for each row of tiles. */
export async function decodeTiles(file, content, sink) {
  const tiles = parseTiles(content, file);
  sink.start();
  while (tiles.length) {
    const { top, height } = tiles[0];
    const row = tiles.splice(0, tiles.filter((tile) => tile.top === top).length);
    const rgba = new Uint8ClampedArray(4 * file.width * height);
    for (const tile of row) {
      const pixels = await decodeTile(tile);
      for (let i = 0; i < height; i++) {
        const line = pixels.subarray(4 * i * tile.width, 4 * (i + 1) * tile.width);
        rgba.set(line, 4 * (i * file.width + tile.left));
      }
    }
    if (file.isGray) toGray(rgba);
    sink.rows?.(top, height, rgba);
    sink.progress?.((top + height) / file.height);
  }
}

/** The tiles of a file's section, sizes checked against the header; no pixel is decoded. */
export function parseTiles(content, { width, height, mode, hasAlpha }) {
  const reader = new Reader(content);
  const codec = reader.byte("lossless codec");
  if (codec !== WEBP) throw new CorruptStream(`lossless codec is ${codec}; it must be ${WEBP} (WebP)`);
  const [tileWidth, tileHeight] = [["tile width", width], ["tile height", height]].map(([field, whole]) => {
    const side = reader.varint(field);
    const [least, most] = [Math.min(MIN_TILE, whole), Math.min(MAX_TILE, whole)];
    if (side < least || side > most) throw new CorruptStream(`${field} is ${side}; it must be ${least}..${most}`);
    return side;
  });
  const tiles = [];
  for (let top = 0; top < height; top += tileHeight) {
    for (let left = 0; left < width; left += tileWidth) {
      const name = `tile at ${left}, ${top}`;
      const webp = reader.take(reader.varint(`length of the ${name}`), name);
      const tile = { left, top, width: Math.min(tileWidth, width - left), height: Math.min(tileHeight, height - top), webp };
      checkWebp(tile, name, mode, hasAlpha);
      tiles.push(tile);
    }
  }
  if (reader.offset !== content.length) {
    throw new CorruptStream(`section LOSSLESS has ${content.length} bytes; its tiles end at ${reader.offset}`);
  }
  return tiles;
}

function checkWebp({ webp, width, height }, name, mode, hasAlpha) {
  if (webp.length < HEAD_BYTES) {
    throw new Truncated(`${name}: ${webp.length} bytes; a lossless WebP file has ${HEAD_BYTES} or more`);
  }
  const view = new DataView(webp.buffer, webp.byteOffset, webp.byteLength);
  const text = (at) => String.fromCharCode(...webp.subarray(at, at + 4));
  if (text(0) !== "RIFF" || text(8) !== "WEBP" || text(12) !== "VP8L" || webp[20] !== SIGNATURE) {
    throw new CorruptStream(`${name}: it must be a lossless WebP image and nothing else`);
  }
  const [riff, chunk, bits] = [4, 16, 21].map((at) => view.getUint32(at, true));
  if (riff !== webp.length - 8 || chunk + (chunk % 2) !== webp.length - 20) {
    throw new CorruptStream(`${name}: has ${webp.length} bytes, but states ${riff} and ${chunk}`);
  }
  const [w, h, alpha, version] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, (bits >>> 28) & 1, bits >>> 29];
  if (w !== width || h !== height) throw new CorruptStream(`${name}: the WebP file is ${w} x ${h}; it must be ${width} x ${height}`);
  if (version !== 0 || (alpha && !hasAlpha)) {
    throw new CorruptStream(`${name}: alpha is ${alpha} in mode ${mode}, WebP version ${version}; it must be 0`);
  }
}

/**
 * RGBA of a tile. Through ImageDecoder where there is one: a canvas multiplies colours by alpha and divides again, which
 * changes what is nearly transparent. Opaque pixels are exact either way.
 */
async function decodeTile({ webp, width, height }) {
  const pixels = globalThis.ImageDecoder ? await decodeFrame(webp, width, height) : null;
  return pixels ?? decodeOnCanvas(webp, width, height);
}

async function decodeFrame(webp, width, height) {
  const options = { data: webp.slice(), type: "image/webp", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const decoder = new ImageDecoder(options);
  try {
    const { image } = await decoder.decode({ completeFramesOnly: true });
    const pixels = new Uint8ClampedArray(4 * width * height);
    const isKnown = /^(RGB|BGR)[AX]$/.test(image.format ?? "");
    if (isKnown) await image.copyTo(pixels, { layout: [{ offset: 0, stride: 4 * width }] });
    const format = image.format;
    image.close();
    return isKnown ? inOrder(pixels, format) : null;
  } catch (error) {
    throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
  } finally {
    decoder.close();
  }
}

/** RGBA out of what a frame has. */
function inOrder(pixels, format) {
  for (let i = 0; i < pixels.length; i += 4) {
    if (format.startsWith("BGR")) [pixels[i], pixels[i + 2]] = [pixels[i + 2], pixels[i]];
    if (format.endsWith("X")) pixels[i + 3] = 255;
  }
  return pixels;
}

async function decodeOnCanvas(webp, width, height) {
  const blob = new Blob([webp], { type: "image/webp" });
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, options).catch((error) => {
    throw new CorruptStream(`the WebP image of a tile is damaged (${error.message})`);
  });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new BackendError(`a canvas of ${width} x ${height} cannot be had`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}

function toGray(rgba) {
  for (let i = 0; i < rgba.length; i += 4) {
    const gray = Math.floor((rgba[i] + rgba[i + 1] + rgba[i + 2] + 1) / 3);
    rgba.fill(gray, i, i + 3);
  }
}
