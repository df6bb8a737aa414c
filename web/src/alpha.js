// The ALPHA section: one byte a pixel, filtered, in a zlib stream; see vaecodec/container/alpha.py.
import { CorruptStream, Truncated } from "./errors.js";

const FILTERS = { none: 0, sub: 1, up: 2 };

/** Decode width * height bytes; memory grows with what is really decoded, never beyond that. */
export async function unpackAlpha(content, width, height) {
  const kind = content[0];
  if (!Object.values(FILTERS).includes(kind)) throw new CorruptStream(`alpha filter is ${kind}; it must be 0, 1 or 2`);
  const alpha = await inflate(content.subarray(1), width * height);
  if (kind === FILTERS.sub) undoSub(alpha, width);
  if (kind === FILTERS.up) undoUp(alpha, width);
  return alpha;
}

/** A zlib stream that must hold exactly `size` bytes, with nothing behind it. */
async function inflate(data, size) {
  const out = new Uint8Array(size);
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (!(error instanceof TypeError)) throw error; // how a stream says that its data are bad, cut or too long
      const Kind = count < size ? Truncated : CorruptStream;
      throw new Kind(`alpha: the zlib stream is damaged or cut after ${count} of ${size} bytes (${error.message})`);
    });
    if (done) break;
    if (count + value.length > size) {
      await reader.cancel();
      throw new CorruptStream(`alpha: more than the ${size} bytes of the image`);
    }
    out.set(value, count);
    count += value.length;
  }
  if (count !== size) throw new CorruptStream(`alpha: ${count} bytes; it must be ${size}`);
  return out;
}

function undoSub(alpha, width) {
  for (let start = 0; start < alpha.length; start += width) {
    for (let i = start + 1; i < start + width; i++) alpha[i] += alpha[i - 1];
  }
}

function undoUp(alpha, width) {
  for (let i = width; i < alpha.length; i++) alpha[i] += alpha[i - width];
}
