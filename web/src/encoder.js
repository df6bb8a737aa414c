// From pixels to the bytes of a file.
import { packAlpha } from "./alpha.js";
import { Analysis } from "./analysis.js";
import { MAX_LEVEL, MAX_SIDE } from "./container.js";
import { EntropyEncoder } from "./entropy_encoder.js";
import { InputError, WeightsError } from "./errors.js";
import { packFile, sectionsOf } from "./pack.js";
import { readWeights } from "./weights.js";

export const DEFAULT_MODEL = "base-perceptual";
export const DEFAULT_QUALITY = 60;
const [LOWEST_QUALITY, HIGHEST_QUALITY] = [1, 100];
const WIRE_HASH = /^[0-9a-f]{8}$/;
const OPAQUE = 255;
const CELL = 64;
/** Where progress stands behind the analysis. */
const ANALYSED = 0.55;

/** The encoder of a model, in the kernel of its decoder. Throws WeightsError. */
export class EncoderModel {
  constructor(model, tensors) {
    this.analysis = new Analysis(model.kernel, tensors, model.networks);
    this.entropy = new EntropyEncoder(model.kernel, model.entropy);
    model.kernel.keep();
  }
}

/** The models of this thread that encode. find(key) gives the bytes of an encoder's weights. */
export class Encoders {
  constructor(models, find) {
    Object.assign(this, { models, find });
    this.loaded = new Map();
  }

  /** {model, encoder, card} of a key. */
  async load(key) {
    const known = this.loaded.get(key);
    if (known && this.models.has(known.model)) return known;
    const { tensors, card } = readWeights(await this.find(key));
    if (!Number.isInteger(card.model_id) || !WIRE_HASH.test(card.wire_hash)) {
      throw new WeightsError(`weights: ${key} belongs to model ${card.model_id}, ${card.wire_hash}; that is none`);
    }
    const model = await this.models.load({ modelId: card.model_id, modelHash: card.wire_hash });
    const loaded = { model, encoder: new EncoderModel(model, tensors), card };
    this.loaded.set(key, loaded);
    return loaded;
  }

  /** Forget what belongs to models that were given back: it holds their memory. */
  trim() {
    for (const [key, { model }] of this.loaded) if (!this.models.has(model)) this.loaded.delete(key);
  }
}

/** The level 0..63 that is asked for by level or quality, 1..100. Throws InputError. */
export function levelOf({ quality, level }) {
  if (quality !== undefined && level !== undefined) throw new InputError("quality and level can't be combined");
  if (level !== undefined) {
    if (!Number.isInteger(level) || level < 0 || level > MAX_LEVEL) {
      throw new InputError(`level is ${level}; it must be a whole number, 0..${MAX_LEVEL}`);
    }
    return level;
  }
  const asked = quality ?? DEFAULT_QUALITY;
  if (typeof asked !== "number" || !(asked >= LOWEST_QUALITY && asked <= HIGHEST_QUALITY)) {
    throw new InputError(`quality is ${asked}; it must be ${LOWEST_QUALITY}..${HIGHEST_QUALITY}`);
  }
  return roundToEven(((asked - LOWEST_QUALITY) * MAX_LEVEL) / (HIGHEST_QUALITY - LOWEST_QUALITY));
}

function roundToEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

/** An ImageData or {width, height, rgba} as the latter. Throws InputError for what cannot be coded. */
export function checkImage({ width, height, data, rgba = data }, maxPixels) {
  for (const [side, value] of [["width", width], ["height", height]]) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_SIDE) {
      throw new InputError(`${side} is ${value}; it must be 1..${MAX_SIDE}`);
    }
  }
  if (!(width * height <= maxPixels)) {
    throw new InputError(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
  }
  const isBytes = rgba instanceof Uint8Array || rgba instanceof Uint8ClampedArray;
  if (!isBytes || rgba.length !== 4 * width * height) {
    const seen = isBytes ? `${rgba.length} bytes` : String(rgba?.constructor?.name ?? rgba);
    throw new InputError(`rgba is ${seen}; it must be ${4 * width * height} bytes, a Uint8Array or Uint8ClampedArray`);
  }
  return { width, height, rgba };
}

/** The mode that loses nothing: gray where all pixels are, alpha where one is not opaque. */
export function modeOf(rgba) {
  let [isGray, isOpaque] = [true, true];
  for (let i = 0; i < rgba.length && (isGray || isOpaque); i += 4) {
    if (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2]) isGray = false;
    if (rgba[i + 3] !== OPAQUE) isOpaque = false;
  }
  return (isGray ? "L" : "RGB") + (isOpaque ? "" : "A");
}

function alphaOf(rgba) {
  return Uint8Array.from({ length: rgba.length / 4 }, (_, i) => rgba[4 * i + 3]);
}

/**
 * Encode an image {width, height, rgba} at a level. loaded: what `Encoders.load` gives. Resolves to the bytes of a file;
 * throws CodingError and BackendError.
 */
export async function encode(image, { loaded: { model, encoder, card }, level, progress = () => {} }) {
  const { width, height, rgba } = image;
  const mode = modeOf(rgba);
  const alpha = mode.endsWith("A") ? await packAlpha(alphaOf(rgba), width) : null;
  const shape = { level, zHeight: Math.ceil(height / CELL), zWidth: Math.ceil(width / CELL) };
  const { kernel, entropy, networks } = model;
  try {
    const y = encoder.analysis.analyse(image, shape, (part) => progress(ANALYSED * part));
    const zHat = encoder.analysis.hyperAnalyse(y, shape);
    const index = entropy.scaleIndex(zHat, shape);
    const r = networks.quantize({ zHat, y, index }, shape, (part) => progress(ANALYSED + (1 - ANALYSED) * part));
    const coded = encoder.entropy.encode({ zHat, r, index }, shape);
    const header = { modelId: card.model_id, modelHash: card.wire_hash, level, mode, width, height };
    return packFile(header, sectionsOf(coded, alpha));
  } finally {
    kernel.release();
  }
}
