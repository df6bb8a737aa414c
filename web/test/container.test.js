import assert from "node:assert/strict";
import { test } from "node:test";

import { packAlpha, unpackAlpha } from "../src/alpha.js";
import { crc32, parse, parseHeader, parseOutliers, readAll, Reader, Tag } from "../src/container.js";
import { CorruptStream, FormatError, LimitExceeded, packError, Truncated, unpackError } from "../src/errors.js";
import { CONFORMANCE, readText } from "./files.js";

const bytes = (text) => Uint8Array.from(text.trim().split(/\s+/), (pair) => Number.parseInt(pair, 16));
const GOOD = CONFORMANCE.filter(({ error }) => !error);

/** The worked examples of the specification. */
function examples() {
  const blocks = readText("vaecodec/container/FORMAT.md").split("Worked example")[1].match(/```\n([^`]*)```/g);
  return blocks.map((block) => bytes(block.replace(/```/g, "").replace(/\|.*$/gm, "")));
}

test("the worked examples of FORMAT.md are read", async () => {
  const [first, second] = examples();
  const file = parse(first, 1e6);
  assert.deepEqual([file.width, file.height, file.mode, file.level, file.modelHash], [3, 2, "RGBA", 38, "0badcafe"]);
  const contents = readAll(first, file);
  assert.deepEqual([...contents.keys()], [Tag.LATENTS, Tag.OUTLIERS, Tag.ALPHA]);
  assert.deepEqual(parseOutliers(contents.get(Tag.OUTLIERS), 1000), { positions: [2, 300], values: [-70, 65] });
  assert.deepEqual([...(await unpackAlpha(contents.get(Tag.ALPHA), 3, 2))], [255, 128, 0, 255, 128, 0]);
  const lossless = parse(second, 1e6);
  assert.deepEqual([lossless.isLossless, lossless.width, lossless.height, lossless.mode], [true, 3, 1, "L"]);
});

test("every flipped bit of a header is found", () => {
  const [data] = examples();
  const size = parseHeader(data).sections.get(Tag.LATENTS).offset;
  for (let bit = 0; bit < 8 * size; bit++) {
    const damaged = data.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    assert.throws(() => parse(damaged, 1e6), FormatError, `bit ${bit}`);
  }
});

test("every cut of a file is Truncated, and a prefix is enough for the header", () => {
  for (const { data } of GOOD.slice(0, 8)) {
    for (let size = 4; size < data.length; size++) assert.throws(() => parse(data.subarray(0, size), 1e6), Truncated);
    const file = parse(data, 1e6);
    const start = Math.min(...[...file.sections.values()].map(({ offset }) => offset));
    assert.equal(parseHeader(data.subarray(0, start)).width, file.width);
  }
});

test("varints have their shortest form only", () => {
  const varint = (text) => new Reader(bytes(text)).varint("n");
  assert.equal(varint("AC 02"), 300);
  assert.equal(varint("FF FF FF FF 0F"), 2 ** 32 - 1);
  assert.throws(() => varint("80 00"), FormatError);
  assert.throws(() => varint("FF FF FF FF 1F"), FormatError);
  assert.throws(() => varint("80 80 80 80 80 01"), FormatError);
  assert.throws(() => varint("80 80"), Truncated);
});

test("the limit of pixels is the caller's", () => {
  const { data } = GOOD.find(({ name }) => name === "size-130x61");
  assert.equal(parse(data, 130 * 61).width, 130);
  assert.throws(() => parse(data, 130 * 61 - 1), LimitExceeded);
});

test("alpha that is longer, shorter, damaged or followed by more is refused", async () => {
  const packed = async (alpha) => {
    const stream = new Blob([alpha]).stream().pipeThrough(new CompressionStream("deflate"));
    return Uint8Array.of(0, ...new Uint8Array(await new Response(stream).arrayBuffer()));
  };
  const good = await packed(new Uint8Array(12).fill(7));
  assert.deepEqual([...(await unpackAlpha(good, 4, 3))], Array(12).fill(7));
  await assert.rejects(unpackAlpha(good, 4, 2), CorruptStream);
  await assert.rejects(unpackAlpha(good, 4, 4), CorruptStream);
  await assert.rejects(unpackAlpha(good.subarray(0, good.length - 1), 4, 3), FormatError);
  await assert.rejects(unpackAlpha(Uint8Array.of(...good, 0), 4, 3), FormatError);
  await assert.rejects(unpackAlpha(Uint8Array.of(3, ...good.subarray(1)), 4, 3), CorruptStream);
  await assert.rejects(unpackAlpha(await packed(new Uint8Array(1 << 24)), 4, 3), CorruptStream);
});

test("alpha that is cut is Truncated, alpha that is damaged is not, as in Python", async () => {
  const alpha = Uint8Array.from({ length: 1000 }, (_, i) => (i * i) >> 3);
  const good = await packAlpha(alpha, 50);
  const damaged = (at) => good.map((byte, i) => (i === at ? byte ^ 255 : byte));
  for (const size of [0, 1, 40, good.length - 4, good.length - 1]) {
    await assert.rejects(unpackAlpha(good.subarray(0, size), 50, 20), Truncated, `${size} bytes`);
  }
  for (const at of [1, 2, good.length - 1]) await assert.rejects(unpackAlpha(damaged(at), 50, 20), CorruptStream, `byte ${at}`);
});

test("outliers lie below the number of symbols", () => {
  assert.throws(() => parseOutliers(bytes("05 02"), 5), CorruptStream);
  assert.deepEqual(parseOutliers(bytes("04 02"), 5), { positions: [4], values: [1] });
});

test("crc32 is that of PNG, also in parts", () => {
  const text = new TextEncoder().encode("123456789");
  assert.equal(crc32(text), 0xcbf43926);
  assert.equal(crc32(text.subarray(4), crc32(text.subarray(0, 4))), 0xcbf43926);
});

test("errors keep their kind between threads", () => {
  const error = unpackError(structuredClone(packError(new Truncated("cut"))));
  assert.ok(error instanceof Truncated && error instanceof FormatError);
  assert.deepEqual([error.name, error.message], ["Truncated", "cut"]);
  assert.equal(unpackError(packError(new TypeError("x"))).name, "BackendError");
});
