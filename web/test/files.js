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

export function kernel() {
  return compileKernel({ plain: read("web/kernel/kernel.wasm") });
}
