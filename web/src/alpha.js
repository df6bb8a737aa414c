// The ALPHA section: one byte a pixel, filtered, in a zlib stream; see vaecodec/container/alpha.py.
import { Reader } from "./container.js";
import { CorruptStream, Truncated } from "./errors.js";

const FILTERS = { none: 0, sub: 1, up: 2 };

/** Decode width * height bytes, and never more. Their memory is taken at once: the caller holds the size against a limit. */
export async function unpackAlpha(content, width, height) {
  if (!content.length) throw new Truncated("alpha: the section is empty; it starts with a filter byte");
  const kind = content[0];
  if (!Object.values(FILTERS).includes(kind)) throw new CorruptStream(`alpha filter is ${kind}; it must be 0, 1 or 2`);
  const alpha = await inflate(content.subarray(1), width * height);
  if (kind === FILTERS.sub) undoSub(alpha, width);
  if (kind === FILTERS.up) undoUp(alpha, width);
  return alpha;
}

/** The section of width * height bytes, row by row, with the filter that takes the fewest bytes. */
export async function packAlpha(alpha, width) {
  const distances = { [FILTERS.none]: 0, [FILTERS.sub]: 1, [FILTERS.up]: width };
  let best = null;
  for (const [kind, distance] of Object.entries(distances)) {
    const isAtEdge = Number(kind) === FILTERS.sub ? (i) => i % width === 0 : (i) => i < distance;
    const filtered = distance ? alpha.map((value, i) => (isAtEdge(i) ? value : value - alpha[i - distance])) : alpha;
    const stream = new Blob([filtered]).stream().pipeThrough(new CompressionStream("deflate"));
    const packed = new Uint8Array(await new Response(stream).arrayBuffer());
    if (!best || packed.length + 1 < best.length) best = joinedBytes(Number(kind), packed);
  }
  return best;
}

function joinedBytes(first, rest) {
  const bytes = new Uint8Array(1 + rest.length);
  bytes[0] = first;
  bytes.set(rest, 1);
  return bytes;
}

/** A zlib stream that must hold exactly `size` bytes, with nothing behind it. */
async function inflate(data, size) {
  const out = new Uint8Array(size);
  const inflater = new DecompressionStream("deflate");
  const writer = inflater.writable.getWriter();
  let isTaken = false; // all of the data, without an objection: an error after that says that more should come
  const end = () => {
    isTaken = true;
    return writer.close();
  };
  writer.write(data).then(end).catch(() => {}); // told by the reader
  const reader = inflater.readable.getReader();
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      const isCut = isTaken && error.code !== "Z_DATA_ERROR"; // Node takes all before it looks
      const Kind = isCut ? Truncated : CorruptStream;
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
  // Not every DecompressionStream minds what follows a stream.
  const stated = new Reader(data, data.length - 4).take(4).reduce((value, byte) => value * 256 + byte, 0);
  if (stated !== adler32(out)) throw new CorruptStream("alpha: the section goes on behind its zlib stream");
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

/** The checksum of zlib streams. */
export function adler32(bytes) {
  let [a, b] = [1, 0];
  for (let i = 0; i < bytes.length; ) {
    for (const end = Math.min(i + 3800, bytes.length); i < end; i++) {
      a += bytes[i];
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return b * 65536 + a;
}
