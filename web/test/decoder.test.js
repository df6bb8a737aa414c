import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { parse } from "../src/container.js";
import { decode, decodeLatents, Model, Models } from "../src/decoder.js";
import { CorruptStream, UnknownModel, VaecodecError, WeightsError } from "../src/errors.js";
import { CONFORMANCE, kernel, read, WEIGHTS } from "./files.js";

const module = await kernel();
const models = new Models(module, () => WEIGHTS);
const OPTIONS = { loadModel: (file) => models.load(file), maxPixels: 2 ** 26 };

/** As vaecodec.conformance.digest. */
function digest({ level, zShape, rShape, zHat, r }) {
  const sha = createHash("sha256").update(`level ${level} z_hat (${zShape.join(", ")}) r (${rShape.join(", ")})\n`);
  return sha.update(Int8Array.from(zHat)).update(new Uint8Array(r.buffer)).digest("hex");
}

for (const { name, data, latents, error } of CONFORMANCE) {
  if (error) {
    const skip = name === "refuse-lossless-pixels" && "Node has no decoder of WebP images; browsers are tested from Python";
    test(`conformance: ${name} is refused`, { skip }, () => assert.rejects(decode(data, OPTIONS), { name: error }));
  } else if (latents) {
    test(`conformance: ${name} has the integers of the manifest`, async () => {
      assert.equal(digest(await decodeLatents(data, OPTIONS)), latents);
    });
  }
}

test("rows come from the top, all of them, once", async () => {
  for (const { data } of CONFORMANCE.filter(({ latents, peak }) => latents && peak)) {
    let [image, next] = [null, 0];
    const start = (started) => (image = started);
    const rows = (top, count, rgba) => {
      assert.equal(top, next);
      assert.equal(rgba.length, 4 * count * image.width);
      next += count;
    };
    await decode(data, { ...OPTIONS, sink: { start, rows } });
    assert.equal(next, image.height);
  }
});

test("damaged files end in errors of vaecodec or decode", async () => {
  const { data } = CONFORMANCE.find(({ name }) => name === "section-all");
  const { size, sections } = parse(data, 1e6);
  const isKnown = (at) => [...sections.values()].some(({ offset, length }) => at >= offset && at < offset + length);
  const start = Math.min(...[...sections.values()].map(({ offset }) => offset));
  for (let at = 0; at < size; at++) {
    const damaged = data.slice();
    damaged[at] ^= 1 << (at % 8);
    const result = decode(damaged, OPTIONS);
    // Of sections that this release does not know nothing is looked at.
    if (at < start || isKnown(at)) await assert.rejects(result, VaecodecError, `byte ${at}`);
    else await result;
  }
});

test("a claim that the payload has not paid for allocates nothing", async () => {
  const { entropy, kernel: memory } = new Model(module, WEIGHTS);
  const before = memory.top;
  const stored = { level: 31, zHeight: 1000, zWidth: 1000, payload: new Uint8Array(1000), outliers: new Uint8Array(0) };
  assert.throws(() => entropy.decode(stored), CorruptStream);
  assert.equal(memory.top, before);
});

test("an image takes 12 bytes of memory a pixel at most (and 10 MB), and gives them back", async () => {
  const weights = read("vaecodec/weights/base.safetensors");
  const model = new Model(module, weights);
  const loaded = model.kernel.top;
  const [zHeight, zWidth] = [16, 24];
  const pixels = 64 ** 2 * zHeight * zWidth;
  const { kernel: memory, entropy, networks } = model;
  const zHat = memory.place(new Int32Array(entropy.N * zHeight * zWidth));
  const r = memory.place(new Int32Array(16 * entropy.M * zHeight * zWidth));
  entropy.scaleIndex(zHat, { level: 30, zHeight, zWidth });
  const yHat = networks.reconstruct({ zHat, r }, { level: 30, zHeight, zWidth });
  assert.ok(yHat > 0);
  const taken = memory.memory.buffer.byteLength - loaded;
  assert.ok(taken < 12 * pixels + 10e6, `${taken} bytes for ${pixels} pixels`);
  memory.release();
  assert.equal(memory.top, loaded);
});

test("every shipped model loads", () => {
  for (const { file } of JSON.parse(new TextDecoder().decode(read("vaecodec/weights/MANIFEST.json"))).models) {
    const { networks } = new Model(module, read(`vaecodec/weights/${file}`));
    assert.ok(networks.preview, file);
  }
});

test("weights that do not fit together are refused", () => {
  const text = new TextDecoder("latin1").decode(WEIGHTS);
  const swap = (from, to) => Uint8Array.from(text.replace(from, to), (letter) => letter.charCodeAt(0));
  for (const damaged of [
    WEIGHTS.subarray(0, 100),
    WEIGHTS.subarray(0, WEIGHTS.length - 1),
    new Uint8Array(20),
    swap("int.z_table", "int.z_tabel"),
    swap('"F16","shape":[16,32,1,1]', '"F16","shape":[32,16,1,1]'),
  ]) {
    assert.throws(() => new Model(module, damaged), WeightsError);
  }
});

test("weights that nobody has are UnknownModel", async () => {
  const nobody = new Models(module, () => null);
  await assert.rejects(decode(CONFORMANCE[0].data, { ...OPTIONS, loadModel: (file) => nobody.load(file) }), UnknownModel);
});
