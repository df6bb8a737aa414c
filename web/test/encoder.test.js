import assert from "node:assert/strict";
import { test } from "node:test";

import { packAlpha, unpackAlpha } from "../src/alpha.js";
import { parse, parseOutliers, readAll, Reader, Tag } from "../src/container.js";
import { compileKernel, decode, decodeLatents, Model, Models } from "../src/decoder.js";
import { checkImage, encode, EncoderModel, Encoders, levelOf, modeOf } from "../src/encoder.js";
import { chooseLanes, EntropyEncoder } from "../src/entropy_encoder.js";
import { CodingError, InputError, WeightsError } from "../src/errors.js";
import { packFile, packOutliers, packVarint, sectionsOf } from "../src/pack.js";
import { readWeights } from "../src/weights.js";
import { CONFORMANCE, kernel, read, WEIGHTS, withCard } from "./files.js";

const module = await kernel();
const CODED = CONFORMANCE.filter(({ latents, error }) => latents && !error);
const models = new Models(module, () => WEIGHTS); // all of a model: decoder and encoder
const ENCODER = withCard(WEIGHTS, { wire_hash: "0badcafe", part: "encoder" });
const encoders = new Encoders(models, () => ENCODER);

/** The conformance model in a kernel of its own. */
function freshModel() {
  const model = new Model(module, WEIGHTS);
  return { model, encoder: new EncoderModel(model, readWeights(WEIGHTS).tensors) };
}

/** What a file says of its latents. */
function stored(data) {
  const file = parse(data, 1e9);
  const contents = readAll(data, file);
  const shape = { level: file.level, zHeight: Math.ceil(file.height / 64), zWidth: Math.ceil(file.width / 64) };
  return { ...shape, payload: contents.get(Tag.LATENTS), outliers: contents.get(Tag.OUTLIERS) ?? new Uint8Array(0) };
}

for (const { name, data } of CODED) {
  test(`${name}: the latents of Python's file give its payload and outliers, byte for byte`, async () => {
    const { model, encoder } = await encoders.load("");
    const file = stored(data);
    const latents = model.entropy.decode(file);
    const index = model.entropy.scaleIndex(latents.zHat, file);
    const coded = encoder.entropy.encode({ ...latents, index }, file, 2 ** file.payload[0]);
    model.kernel.release();
    assert.deepEqual(coded.payload, file.payload);
    assert.deepEqual(coded.outliers, file.outliers);
  });
}

test("files are put together as Python does", async () => {
  for (const { data } of CODED) {
    const file = parse(data, 1e9);
    const contents = readAll(data, file);
    const unwritten = [Tag.ICC, Tag.EXIF, Tag.XMP, Tag.POSTFILTER];
    if (unwritten.some((tag) => file.sections.has(tag))) continue;
    const { payload, outliers } = stored(data);
    const again = packFile(file, sectionsOf({ payload, outliers }, contents.get(Tag.ALPHA)));
    assert.deepEqual(again, data.subarray(0, again.length));
  }
});

test("an encoded image has its latents, and decodes to the image", async () => {
  const [width, height] = [130, 70];
  const rgba = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    rgba.set([x + y, 255 - x, 40 + y, 255 - ((x * y) >> 6)], 4 * i);
  }
  const parts = [];
  const loaded = await encoders.load("");
  const data = await encode({ width, height, rgba }, { loaded, level: 31, progress: (part) => parts.push(part) });
  const file = parse(data, 1e6);
  assert.deepEqual([file.width, file.height, file.mode, file.level], [width, height, "RGBA", 31]);
  assert.equal(parts.at(-1), 1);
  const options = { loadModel: (header) => models.load(header), maxPixels: 1e6 };
  const { zShape, rShape } = await decodeLatents(data, options);
  assert.deepEqual([zShape.slice(1), rShape.slice(1)], [[2, 3], [8, 12]]);
  const bands = [];
  await decode(data, { ...options, sink: { rows: (top, rows, band) => bands.push(...band) } });
  assert.equal(bands.length, rgba.length);
  for (let i = 3; i < rgba.length; i += 4) assert.equal(bands[i], rgba[i]);
});

test("an image takes 20 bytes of memory a pixel at most (and 10 MB), and gives them back", async () => {
  const weights = read("vaecodec/weights/base.safetensors");
  const model = new Model(module, weights);
  const { tensors, card } = readWeights(weights);
  const encoder = new EncoderModel(model, tensors);
  const loaded = model.kernel.top;
  const [width, height] = [1000, 500];
  const rgba = new Uint8Array(4 * width * height).map((_, i) => (i * 2654435761) >>> 24);
  await encode({ width, height, rgba }, { loaded: { model, encoder, card: { ...card, wire_hash: "00000000" } }, level: 40 });
  const taken = model.kernel.memory.buffer.byteLength - loaded;
  assert.ok(taken < 20 * width * height + 10e6, `${taken} bytes for ${width * height} pixels`);
  assert.equal(model.kernel.top, loaded);
});

test("fused multiply-add or not: the same image, give or take a rounding", async () => {
  const fused = await compileKernel({ plain: read("web/kernel/kernel.wasm"), fused: read("web/kernel/kernel-fma.wasm") });
  const rgba = new Uint8Array(4 * 64 * 64).map((_, i) => (i % 4 === 3 ? 255 : (i * i) >> 9));
  const sizes = [];
  for (const each of [module, fused]) {
    const loaded = await new Encoders(new Models(each, () => WEIGHTS), () => ENCODER).load("");
    sizes.push((await encode({ width: 64, height: 64, rgba }, { loaded, level: 50 })).length);
  }
  assert.ok(Math.abs(sizes[0] - sizes[1]) <= 0.005 * sizes[0] + 2, String(sizes));
});

test("latents that are no numbers are a CodingError, and leave no memory taken", async () => {
  const { model, encoder } = freshModel();
  const before = model.kernel.top;
  const shape = { level: 30, zHeight: 1, zWidth: 1 };
  const y = model.kernel.place(new Float32Array(16 * model.entropy.M).fill(NaN));
  assert.throws(() => encoder.analysis.hyperAnalyse(y, shape), CodingError);
  const zHat = model.kernel.place(new Int32Array(model.entropy.N));
  const index = model.entropy.scaleIndex(zHat, shape);
  assert.throws(() => model.networks.quantize({ zHat, y, index }, shape), CodingError);
  model.kernel.release();
  assert.equal(model.kernel.top, before);
});

test("z is rounded to even and clamped", () => {
  const { model } = freshModel();
  const z = [0.5, 1.5, -0.5, -2.5, 300, -300, 126.6, -128.4];
  const [from, to] = [model.kernel.place(Float32Array.from(z)), model.kernel.allocate(4 * z.length)];
  assert.equal(model.kernel.run.round_z(from, 1, z.length, 0, 1, to), 0);
  assert.deepEqual([...model.kernel.view(Int32Array, to, z.length)], [0, 2, 0, -2, 127, -128, 127, -128]);
});

test("values beyond their tables are outliers", () => {
  const { model, encoder } = freshModel();
  const shape = { level: 31, zHeight: 1, zWidth: 1 };
  const { entropy, kernel: memory } = model;
  const z = new Int32Array(entropy.N).map((_, i) => [127, -128, 0, 1][i % 4]);
  const zHat = memory.place(z);
  const index = entropy.scaleIndex(zHat, shape);
  const indices = memory.view(Uint8Array, index, 16 * entropy.M).slice();
  const r = memory.place(Int32Array.from(indices, (table, i) => (table ? [0, 1, -700, 2 ** 20 - 1, 3][i % 5] : 0)));
  const values = memory.view(Int32Array, r, indices.length).slice();
  const coded = encoder.entropy.encode({ zHat, r, index }, shape);
  assert.ok(parseOutliers(coded.outliers, 1e6).positions.length > 10);
  const again = entropy.decode({ ...shape, ...coded });
  assert.deepEqual(memory.view(Int32Array, again.zHat, z.length), z);
  assert.deepEqual(memory.view(Int32Array, again.r, values.length), values);
});

test("lanes are as many as cost next to nothing", () => {
  const bits = (count) => chooseLanes(BigInt(count) << 24n);
  assert.deepEqual([0, 8_000, 23_999, 39_999, 40_000, 72_000, 2 ** 40].map(bits), [1, 1, 1, 1, 2, 4, 8192]);
});

test("the costs of symbols are those of Python", () => {
  const { model } = freshModel();
  const { packed } = model.entropy.y;
  const { yCosts } = new EntropyEncoder(model.kernel, model.entropy);
  const costs = model.kernel.view(Int32Array, yCosts, packed.length);
  packed.forEach((row, i) => {
    const bits = 16 - Math.log2((row >>> 16) + 1);
    assert.ok(Math.abs(costs[i] / 2 ** 24 - bits) < 2 ** -22, `symbol ${i}`);
  });
});

test("qualities are levels as in Python, others are refused", () => {
  const levels = [1, 2, 50, 60, 78.4, 100].map((quality) => levelOf({ quality }));
  assert.deepEqual(levels, [0, 1, 31, 38, 49, 63]);
  assert.deepEqual([levelOf({}), levelOf({ level: 0 }), levelOf({ level: 63 })], [38, 0, 63]);
  for (const bad of [{ quality: 0.9 }, { quality: NaN }, { quality: "60" }, { level: -1 }, { level: 3.5 }, { level: 3, quality: 3 }]) {
    assert.throws(() => levelOf(bad), InputError, JSON.stringify(bad));
  }
});

test("images are checked, and an ImageData is one", () => {
  const rgba = new Uint8ClampedArray(24);
  assert.equal(checkImage({ width: 3, height: 2, data: rgba }, 6).rgba, rgba);
  for (const bad of [{ width: 0 }, { height: 65536 }, { width: 1.5 }, { rgba: new Uint8Array(23) }, { rgba: new Float32Array(24) }, { rgba: null }]) {
    assert.throws(() => checkImage({ width: 3, height: 2, rgba, ...bad }, 1e9), InputError);
  }
  for (const limit of [5, NaN]) assert.throws(() => checkImage({ width: 3, height: 2, rgba }, limit), InputError);
});

test("the mode is the one that loses nothing", () => {
  const pixels = (...list) => Uint8Array.from(list.flat());
  assert.equal(modeOf(pixels([7, 7, 7, 255], [9, 9, 9, 255])), "L");
  assert.equal(modeOf(pixels([7, 7, 7, 255], [9, 9, 9, 254])), "LA");
  assert.equal(modeOf(pixels([7, 7, 7, 255], [9, 9, 8, 255])), "RGB");
  assert.equal(modeOf(pixels([7, 7, 7, 0], [9, 8, 9, 255])), "RGBA");
});

test("alpha is packed without loss, with the filter that suits it", async () => {
  const [width, height] = [70, 50];
  const of = (value) => Uint8Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width)));
  const kinds = new Map();
  for (const [name, alpha] of [
    ["noise", of((x, y) => ((x * 7919 + y * 104729) * 2654435761) >>> 24)],
    ["columns", of((x) => (x * x * 31) >> 3)],
    ["rows", of((x, y) => (y * y * 31) >> 3)],
    ["one", of(() => 3)],
  ]) {
    const packed = await packAlpha(alpha, width);
    kinds.set(name, packed[0]);
    assert.deepEqual(await unpackAlpha(packed, width, height), alpha, name);
  }
  assert.equal(kinds.get("columns"), 2);
});

test("varints and outliers are the inverse of what reads them", () => {
  for (const value of [0, 127, 128, 300, 2 ** 31, 2 ** 32 - 1]) {
    assert.equal(new Reader(Uint8Array.from(packVarint(value))).varint("n"), value);
  }
  const listed = { positions: [0, 1, 500, 70000], values: [-1, 2 ** 20 - 1, 1 - 2 ** 20, 5] };
  assert.deepEqual(parseOutliers(packOutliers(listed), 1e5), listed);
  assert.equal(packOutliers({ positions: [], values: [] }).length, 0);
});

test("an encoder's weights that do not fit their decoder are refused", async () => {
  const text = new TextDecoder("latin1").decode(ENCODER);
  const swap = (from, to) => Uint8Array.from(text.replace(from, to), (letter) => letter.charCodeAt(0));
  for (const damaged of [ENCODER.subarray(0, -1), WEIGHTS, swap("net.g_a.stem.w", "net.g_a.stem.v"), swap("net.h_a.4.1.w", "net.h_a.4.1.v")]) {
    await assert.rejects(new Encoders(models, () => damaged).load(""), WeightsError);
  }
});

test("an encoder goes with its model, whose memory it holds", async () => {
  const own = new Models(module, () => WEIGHTS);
  const loaded = new Encoders(own, () => ENCODER);
  const { model } = await loaded.load("");
  loaded.trim();
  assert.equal(loaded.loaded.size, 1);
  own.trim(0);
  loaded.trim();
  assert.equal(loaded.loaded.size, 0);
  assert.notEqual((await loaded.load("")).model, model);
});
