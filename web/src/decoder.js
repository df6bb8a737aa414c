// From the bytes of a file to rows of pixels.
import { unpackAlpha } from "./alpha.js";
import { parse, readAll, Tag } from "./container.js";
import { EntropyModel } from "./entropy.js";
import { BackendError, UnknownModel } from "./errors.js";
import { Kernel } from "./kernel.js";
import { decodeTiles } from "./lossless.js";
import { Networks } from "./networks.js";
import { FilteredRows, parsePostfilter } from "./postfilter.js";
import { readWeights } from "./weights.js";

const Z_CELL = 64;
const PREVIEW_SCALE = 8;
const NO_OUTLIERS = new Uint8Array(0);
/** An image has a preview where it has more pixels than this: the others are there as soon. */
const PREVIEW_PIXELS = 200_000;

/** A model in a kernel of its own. Throws WeightsError. */
export class Model {
  constructor(module, weights) {
    const { tensors } = readWeights(weights);
    this.kernel = new Kernel(module);
    this.entropy = new EntropyModel(this.kernel, tensors);
    this.networks = new Networks(this.kernel, tensors, this.entropy);
    this.kernel.keep();
  }
}

/**
 * Decode a file. loadModel(file) gives its Model; only files that are no lossless ones need one.
 * sink: start({width, height, mode, icc, exif}), preview({width, height, rgba}), rows(top, rows, rgba), progress(0..1);
 * all optional. Every section is checked before the first pixel. Throws FormatError, WeightsError, BackendError.
 */
export async function decode(data, { loadModel, maxPixels, sink = {}, preview = true }) {
  const file = parse(data, maxPixels);
  const contents = readAll(data, file);
  if (file.isLossless) {
    await decodeTiles(file, contents.get(Tag.LOSSLESS), { ...sink, start: () => sink.start?.(describe(file, contents)) });
    return;
  }
  const model = await loadModel(file);
  const stored = storedLatents(file, contents);
  model.entropy.checkPaid(stored);
  const alpha = file.hasAlpha ? await unpackAlpha(contents.get(Tag.ALPHA), file.width, file.height) : null;
  const image = { width: file.width, height: file.height, isGray: file.isGray, alpha };
  const postfilter = parsePostfilter(contents.get(Tag.POSTFILTER));
  try {
    const latents = model.entropy.decode(stored);
    sink.start?.(describe(file, contents));
    const context = 0.2;
    const yHat = model.networks.reconstruct(latents, stored, (part) => sink.progress?.(part * context));
    if (preview && model.networks.preview && file.width * file.height > PREVIEW_PIXELS) {
      sink.preview?.(previewOf(model.networks, yHat, stored, image));
    }
    const show = (top, rows, rgba) => {
      sink.rows?.(top, rows, rgba);
      sink.progress?.(context + ((1 - context) * (top + rows)) / file.height);
    };
    if (postfilter) {
      const filtered = new FilteredRows(postfilter, image, show);
      model.networks.synthesize(yHat, stored, { ...image, isGray: false }, (...band) => filtered.push(...band));
    } else {
      model.networks.synthesize(yHat, stored, image, show);
    }
  } finally {
    model.kernel.release();
  }
}

/** The integers of a file: {zHat Int32Array, r Int32Array, shapes}. */
export async function decodeLatents(data, { loadModel, maxPixels }) {
  const file = parse(data, maxPixels);
  const contents = readAll(data, file);
  const { entropy, kernel } = await loadModel(file);
  const stored = storedLatents(file, contents);
  try {
    const { zHat, r } = entropy.decode(stored);
    const { zHeight, zWidth } = stored;
    const zShape = [entropy.N, zHeight, zWidth];
    const rShape = [entropy.M, 4 * zHeight, 4 * zWidth];
    const copy = (address, shape) => kernel.view(Int32Array, address, shape.reduce((a, b) => a * b)).slice();
    return { level: file.level, zShape, rShape, zHat: copy(zHat, zShape), r: copy(r, rShape) };
  } finally {
    kernel.release();
  }
}

function storedLatents(file, contents) {
  return {
    level: file.level,
    zHeight: Math.ceil(file.height / Z_CELL),
    zWidth: Math.ceil(file.width / Z_CELL),
    payload: contents.get(Tag.LATENTS),
    outliers: contents.get(Tag.OUTLIERS) ?? NO_OUTLIERS,
  };
}

function describe(file, contents) {
  const { width, height, mode } = file;
  return { width, height, mode, icc: contents.get(Tag.ICC) ?? null, exif: contents.get(Tag.EXIF) ?? null };
}

function previewOf(networks, yHat, stored, image) {
  const width = Math.ceil(image.width / PREVIEW_SCALE);
  const height = Math.ceil(image.height / PREVIEW_SCALE);
  const rgba = new Uint8ClampedArray(4 * width * height);
  const reduced = { width, height, isGray: image.isGray, alpha: image.alpha && reduceAlpha(image, width, height) };
  networks.synthesizePreview(yHat, stored, reduced, (top, rows, band) => rgba.set(band, 4 * top * width));
  return { width, height, rgba };
}

/** One of 8 x 8 values: the preview is on the screen for a moment. */
function reduceAlpha({ alpha, width: wide, height: high }, width, height) {
  const middle = (place, side) => Math.min(PREVIEW_SCALE * place + PREVIEW_SCALE / 2, side - 1);
  return Uint8Array.from({ length: width * height }, (_, i) => alpha[middle(Math.floor(i / width), high) * wide + middle(i % width, wide)]);
}

/** The models of this thread. find(file) gives the bytes of the weights that a file names, or null. */
export class Models {
  constructor(module, find) {
    Object.assign(this, { module, find });
    this.loaded = new Map();
  }

  async load(file) {
    const key = `${file.modelId}-${file.modelHash}`;
    if (!this.loaded.has(key)) {
      const weights = await this.find(file);
      if (!weights) throw new UnknownModel(`the weights of model ${file.modelId}, ${file.modelHash}, are not at hand`);
      this.loaded.set(key, new Model(this.module, weights));
    }
    return this.loaded.get(key);
  }

  /** Whether a model is still loaded. */
  has(model) {
    return [...this.loaded.values()].includes(model);
  }

  /** Memory of WebAssembly never shrinks: what a large image took is given back with the model, to be loaded again. */
  trim(mostBytes) {
    for (const [key, model] of this.loaded) {
      if (model.kernel.memory.buffer.byteLength > mostBytes) this.loaded.delete(key);
    }
  }
}

/** Compile the kernel: with fused multiply-add where browser and processor have it. Throws BackendError. */
export async function compileKernel({ plain, fused }) {
  try {
    if (fused && WebAssembly.validate(fused)) return await WebAssembly.compile(fused);
    return await WebAssembly.compile(plain);
  } catch (error) {
    throw new BackendError(`this browser has no WebAssembly with SIMD, or a policy forbids it (${error.message})`);
  }
}
