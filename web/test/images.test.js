import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import { Client, readStream, Weights } from "../src/client.js";
import { checkPixels, parse, readAll, Tag } from "../src/container.js";
import { BadMagic, FormatError, HashMismatch, LimitExceeded, Truncated, UnknownModel, WeightsError } from "../src/errors.js";
import { orientationOf, transformOf } from "../src/exif.js";
import { parseTiles } from "../src/lossless.js";
import { encodePng, wrapPng } from "../src/png.js";
import { readWeights } from "../src/weights.js";
import { CONFORMANCE, WEIGHTS, withCard } from "./files.js";

const ENCODER = withCard(WEIGHTS, { wire_hash: "0badcafe", name: "x", part: "encoder" });

/** Chunks of a PNG file as [name, content]. */
async function chunksOf(blob) {
  const data = new Uint8Array(await blob.arrayBuffer());
  const view = new DataView(data.buffer);
  const chunks = [];
  for (let at = 8; at < data.length; at += 12 + view.getUint32(at)) {
    const name = String.fromCharCode(...data.subarray(at + 4, at + 8));
    chunks.push([name, data.slice(at + 8, at + 8 + view.getUint32(at))]);
  }
  return chunks;
}

test("a PNG file has the pixels, the profile and the EXIF block", async () => {
  const rgba = Uint8ClampedArray.from({ length: 4 * 6 }, (_, i) => 9 * i);
  const image = { width: 3, height: 2, mode: "RGBA", icc: Uint8Array.of(1, 2, 3), exif: Uint8Array.of(4, 5) };
  const chunks = new Map(await chunksOf(await encodePng(image, [rgba.subarray(0, 12), rgba.subarray(12)])));
  assert.deepEqual([...chunks.keys()], ["IHDR", "iCCP", "eXIf", "IDAT", "IEND"]);
  assert.deepEqual([...inflateSync(chunks.get("iCCP").subarray(5))], [1, 2, 3]);
  assert.deepEqual([...chunks.get("eXIf")], [4, 5]);
  const lines = inflateSync(chunks.get("IDAT"));
  for (let i = 0; i < 12; i++) assert.equal(lines[1 + i], rgba[i]);
  for (let i = 0; i < 12; i++) assert.equal((lines[14 + i] + rgba[i]) & 255, rgba[12 + i]);
});

test("a wrapped PNG has stored blocks, also beyond 64 KiB, and drops what its mode has not", async () => {
  const rgba = Uint8ClampedArray.from({ length: 4 * 300 * 300 }, (_, i) => i * 31);
  for (const [mode, channels] of [["L", 1], ["LA", 2], ["RGB", 3], ["RGBA", 4]]) {
    const chunks = new Map(await chunksOf(wrapPng({ width: 300, height: 300, mode, icc: null }, rgba)));
    const lines = inflateSync(chunks.get("IDAT"));
    assert.equal(lines.length, 300 * (300 * channels + 1));
    assert.equal(lines[1], rgba[0]);
    assert.equal(lines.at(-1), rgba.at({ L: -4, LA: -1, RGB: -2, RGBA: -1 }[mode]));
  }
});

test("the orientation is read in both byte orders, and nonsense is upright", () => {
  const little = Uint8Array.of(0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0);
  const big = Uint8Array.of(0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 8, 0, 0);
  assert.deepEqual([orientationOf(little), orientationOf(big), orientationOf(null)], [6, 8, 1]);
  for (let size = 0; size < little.length; size++) assert.equal(orientationOf(little.subarray(0, size)), 1);
  for (let at = 0; at < little.length; at++) {
    for (const value of [0, 255]) {
      const odd = little.slice();
      odd[at] = value;
      const orientation = orientationOf(odd);
      assert.ok(orientation >= 1 && orientation <= 8);
    }
  }
});

test("every orientation brings the corners of the image to the corners of the canvas", () => {
  const seen = new Set();
  for (let orientation = 1; orientation <= 8; orientation++) {
    const [a, b, c, d, e, f] = transformOf(orientation, 5, 3);
    const corners = [[0, 0], [5, 0], [0, 3], [5, 3]].map(([x, y]) => [a * x + c * y + e, b * x + d * y + f].join());
    const [width, height] = orientation < 5 ? [5, 3] : [3, 5];
    const wanted = [[0, 0], [width, 0], [0, height], [width, height]].map((corner) => corner.join());
    assert.deepEqual(corners.toSorted(), wanted.toSorted());
    seen.add(corners.join(";"));
  }
  assert.equal(seen.size, 8);
});

test("the tiles of lossless files are found, and fill the image", () => {
  const files = CONFORMANCE.filter(({ name, error }) => name.startsWith("lossless-") && !error);
  assert.ok(files.length >= 8);
  for (const { data } of files) {
    const file = parse(data, 1e9);
    const tiles = parseTiles(readAll(data, file).get(Tag.LOSSLESS), file);
    const area = tiles.reduce((sum, { width, height }) => sum + width * height, 0);
    assert.equal(area, file.width * file.height);
  }
});

test("the header is told before the rest is there", async () => {
  const { data } = CONFORMANCE.find(({ name }) => name === "size-130x61");
  const told = [];
  let sent = 0;
  const stream = new ReadableStream({
    pull(controller) {
      if (sent === data.length) controller.close();
      else controller.enqueue(data.slice(sent, ++sent));
    },
  }, { highWaterMark: 0 });
  const bytes = await readStream(stream, (file) => told.push([file.width, file.height, sent]));
  assert.deepEqual(bytes, data);
  assert.equal(told.length, 1);
  assert.deepEqual(told[0].slice(0, 2), [130, 61]);
  assert.ok(told[0][2] < 60);
});

test("a stream that can be no .vaec file ends at once, one that is cut at its end", async () => {
  const text = new Blob(["<!doctype html>"]).stream();
  await assert.rejects(readStream(text, () => {}), BadMagic);
  const { data } = CONFORMANCE[0];
  const cut = await readStream(new Blob([data.subarray(0, 10)]).stream(), () => assert.fail());
  assert.throws(() => parse(cut, 1e9), Truncated);
});

test("a stream that is refused is not read to its end", async () => {
  const { data } = CONFORMANCE.find(({ name }) => name === "size-130x61");
  const refuse = (file) => checkPixels(file, 1);
  for (const [start, header, error] of [
    [new TextEncoder().encode("<!doctype html>"), () => {}, BadMagic],
    [data, () => {}, FormatError], // whole, and it goes on
    [data, refuse, LimitExceeded],
  ]) {
    let sent = 0;
    let cancelled = null;
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(sent++ ? new Uint8Array(1000) : start),
      cancel: (reason) => (cancelled = reason),
    });
    await assert.rejects(readStream(stream, header), error);
    assert.ok(cancelled instanceof error);
    assert.ok(sent < 5, String(sent));
  }
});

test("a limit that is no number lets nothing through", () => {
  for (const limit of [NaN, undefined, "many"]) assert.throws(() => parse(CONFORMANCE[0].data, limit), LimitExceeded);
});

test("weights that are added while they are fetched in vain are the ones", async (context) => {
  const weights = new Weights("http://host/weights/");
  context.mock.method(globalThis, "fetch", async () => {
    weights.add(ENCODER);
    return new Response("", { status: 404 });
  });
  assert.equal(await weights.get("x.encoder"), ENCODER);
  await assert.rejects(weights.get("y.encoder"), UnknownModel);
  await assert.rejects(weights.get("y.encoder"), UnknownModel);
  assert.equal(fetch.mock.callCount(), 3);
});

test("weights are of the key that their name says", async (context) => {
  context.mock.method(globalThis, "fetch", async () => new Response(ENCODER));
  assert.deepEqual(await new Weights("http://host/").get("x.encoder"), ENCODER);
  await assert.rejects(new Weights("http://host/").get("y.encoder"), HashMismatch);
  await assert.rejects(new Weights("http://host/").get("1-0badcafe"), HashMismatch);
});

/** A cache of one browser, as `caches` gives it. */
function fakeCache(entries) {
  return {
    match: async (url) => entries.get(String(url))?.clone(),
    put: async (url, response) => void entries.set(String(url), response),
    delete: async (url) => entries.delete(String(url)),
  };
}

test("only weights of the right key are kept, and a wrong entry is fetched again", async (context) => {
  const entries = new Map();
  globalThis.caches = { open: async () => fakeCache(entries) };
  context.after(() => delete globalThis.caches);
  const { card } = readWeights(WEIGHTS);
  const key = `${card.model_id}-0badcafe`;
  const good = withCard(WEIGHTS, { wire_hash: "0badcafe" });
  const answers = ["<!doctype html>", WEIGHTS, good];
  context.mock.method(globalThis, "fetch", async () => new Response(answers.shift()));
  await assert.rejects(new Weights("http://host/").get(key), WeightsError);
  await assert.rejects(new Weights("http://host/").get(key), HashMismatch);
  assert.equal(entries.size, 0);
  const url = `http://host/${key}.safetensors`;
  entries.set(url, new Response("<!doctype html>")); // kept by an earlier release
  assert.deepEqual(await new Weights("http://host/").get(key), good);
  assert.deepEqual(await new Weights("http://host/").get(key), good); // from the cache: there is no other answer
  assert.equal(answers.length, 0);
});

/** A worker that asks for weights, and answers nothing else. */
class AskingWorker {
  postMessage(message) {
    if (message.type === "weights") this.given = message;
    else queueMicrotask(() => this.ask());
  }

  ask() {
    this.onmessage({ data: { type: "weights", key: "x.encoder" } });
  }

  terminate() {}
}

test("a worker that was stopped is not answered, and a signal holds nothing of what is over", async () => {
  const workers = [];
  const client = new Client(new Weights("http://host/"), () => workers.push(new AskingWorker()) && workers.at(-1));
  client.weights.add(ENCODER);
  const stop = new AbortController();
  const listeners = new Set();
  stop.signal.addEventListener = (type, listener) => listeners.add(listener);
  stop.signal.removeEventListener = (type, listener) => listeners.delete(listener);
  const job = client.decode(CONFORMANCE[0].data, { signal: stop.signal });
  await new Promise(setImmediate);
  assert.ok(workers[0].given.bytes);
  for (const listener of listeners) listener();
  await assert.rejects(job);
  assert.equal(listeners.size, 0);
  workers[0].ask(); // must not throw, though nobody is there to be answered
  await new Promise(setImmediate);
});
