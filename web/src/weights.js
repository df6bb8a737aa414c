// Weights files: safetensors, read whole; see vaecodec/weights/store.py.
import { WeightsError } from "./errors.js";

const TYPES = {
  F32: Float32Array,
  F16: Uint16Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U16: Uint16Array,
  U8: Uint8Array,
};
const CARD_KEY = "vaecodec";
const MAX_HEADER = 2 ** 20;

/**
 * The tensors of a weights file by name, {dtype, shape, data}; F16 as the 16-bit patterns. Throws WeightsError for
 * whatever is not a safetensors file: types, shapes and places are checked against the bytes.
 */
export function readWeights(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length >= 8 ? Number(view.getBigUint64(0, true)) : -1;
  if (length < 2 || length > MAX_HEADER || 8 + length > bytes.length) {
    throw new WeightsError(`weights: ${bytes.length} bytes that state a header of ${length}; not a safetensors file`);
  }
  const { __metadata__: metadata, ...entries } = parseJson(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = new Map(
    Object.entries(entries).map(([name, entry]) => [name, readTensor(name, entry, bytes, 8 + length)]),
  );
  return { tensors, card: parseJson(metadata?.[CARD_KEY] ?? "{}") };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WeightsError(`weights: the header is not JSON (${error.message})`);
  }
}

function readTensor(name, { dtype, shape, data_offsets: [start, end] = [] }, bytes, base) {
  const Type = TYPES[dtype];
  const isShape = Array.isArray(shape) && shape.every((side) => Number.isInteger(side) && side >= 0);
  const count = isShape ? shape.reduce((product, side) => product * side, 1) : NaN;
  const fits = Type && Number.isInteger(start) && start >= 0 && end - start === count * Type.BYTES_PER_ELEMENT;
  if (!fits || base + end > bytes.length) {
    throw new WeightsError(`weights: tensor ${name} is ${dtype} ${shape} at ${start}..${end} of ${bytes.length - base}`);
  }
  // A copy: a typed array must begin at a multiple of its size.
  return { dtype, shape, data: new Type(bytes.buffer.slice(bytes.byteOffset + base + start, bytes.byteOffset + base + end)) };
}

/** A tensor of this type and number of dimensions. */
export function tensorOf(tensors, name, dtype, dimensions) {
  const tensor = tensors.get(name);
  if (!tensor) throw new WeightsError(`weights: there is no tensor ${name}`);
  if (tensor.dtype !== dtype || tensor.shape.length !== dimensions) {
    throw new WeightsError(`weights: ${name} is ${tensor.dtype} ${tensor.shape}; it must be ${dtype}, ${dimensions} sides`);
  }
  return tensor;
}
