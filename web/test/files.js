// What the tests read: the files of the Python package, the source of truth.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { compileKernel } from "../src/decoder.js";

const ROOT = new URL("../../", import.meta.url);

/** Bytes of a file of the repository. */
export function read(path) {
  return new Uint8Array(readFileSync(fileURLToPath(new URL(path, ROOT))));
}

export function readText(path) {
  return new TextDecoder().decode(read(path));
}

/** The conformance set: name, data, latents, peak, error. */
export const CONFORMANCE = JSON.parse(readText("vaecodec/conformance_data/manifest.json")).files.map((entry) => ({
  ...entry,
  data: read(`vaecodec/conformance_data/${entry.name}.vaec`),
}));

export const WEIGHTS = read("vaecodec/conformance_data/model.safetensors");

/** Weights whose card says more, as those that are made for browsers. */
export function withCard(weights, more) {
  const length = Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
  header.__metadata__.vaecodec = JSON.stringify({ ...JSON.parse(header.__metadata__.vaecodec), ...more });
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + weights.length - 8 - length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(weights.subarray(8 + length), 8 + text.length);
  return out;
}

export function kernel() {
  return compileKernel({ plain: read("web/kernel/kernel.wasm") });
}
