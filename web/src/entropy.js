// Latent integers out of a payload: exact. See vaecodec/entropy, vaecodec/rans and vaecodec/intnet.
import { parseOutliers } from "./container.js";
import { CorruptStream, Truncated, WeightsError } from "./errors.js";
import { tensorOf } from "./weights.js";

const SCALE_INDICES = 64;
const LEVELS = 64;
const MAX_SYMBOLS = 4096;
const PROB_TOTAL = 65536;
const BUCKETS = 256;
const ACCUMULATOR_LIMIT = 2 ** 31;
const WEIGHT_MAX = 127;
/** Of the integer layers: see vaecodec/intnet/fixedpoint.py. A pixel shuffle by 2 follows the second and the fourth. */
const FORMATS = [
  { kernel: 3, shift: 3, most: 255, largestInput: 128, shuffled: false },
  { kernel: 1, shift: 8, most: 255, largestInput: 255, shuffled: true },
  { kernel: 3, shift: 8, most: 255, largestInput: 255, shuffled: false },
  { kernel: 1, shift: 10, most: 63, largestInput: 255, shuffled: true },
];
const GROWTH = 4;
const HALO = 2;
const TILE = 16;
export const RANS_L = 65536;
export const GROUP_LANES = 32;
const MAX_LANES_LOG2 = 13;
const R_LIMIT = 2 ** 20;
const Z_MIN = -128;
const Z_MAX = 127;
const MAX_BITS_PER_BYTE = 17;

/** The integer part of a model, checked and placed in the kernel's memory. Throws WeightsError. */
export class EntropyModel {
  constructor(kernel, tensors) {
    this.kernel = kernel;
    this.layers = FORMATS.map((format, number) => readLayer(kernel, tensors, number, format));
    this.y = readTables(tensors, "int.y");
    this.z = readTables(tensors, "int.z");
    this.zTable = tensorOf(tensors, "int.z_table", "U8", 2);
    const [levels, channels] = this.zTable.shape;
    this.N = channels;
    this.M = this.layers[3].outputs / 4;
    if (levels !== LEVELS || this.zTable.data.some((table) => table >= SCALE_INDICES)) {
      throw new WeightsError(`weights: int.z_table is ${levels} x ${channels}; it must be ${LEVELS} rows of 0..63`);
    }
    const inputs = [this.N, this.layers[0].outputs, this.layers[1].outputs / 4, this.layers[2].outputs];
    if (this.layers.some((layer, number) => layer.inputs !== inputs[number] || layer.inputs % 8)) {
      throw new WeightsError(`weights: the layers of h_scale take ${this.layers.map((l) => l.inputs)}; not ${inputs}`);
    }
    this.y.address = placeTables(kernel, this.y);
    this.z.address = placeTables(kernel, this.z);
  }

  /** Ideal content of the likeliest z there is at one position, all N channels, in bits. */
  leastZBits(level) {
    return this.#zTables(level).reduce((bits, table) => bits + this.z.leastBits[table], 0);
  }

  #zTables(level) {
    return Array.from(this.zTable.data.subarray(level * this.N, (level + 1) * this.N));
  }

  /** The address of the table of every z, uint8 [N][plane]. */
  zIndex(level, plane) {
    const address = this.kernel.allocate(this.N * plane);
    const indices = this.kernel.view(Uint8Array, address, this.N * plane);
    this.#zTables(level).forEach((table, c) => indices.fill(table, c * plane, (c + 1) * plane));
    return address;
  }

  /** Throws CorruptStream for a payload too short for its image, before anything of the image's size exists. */
  checkPaid({ level, zHeight, zWidth, payload }) {
    if (payload[0] > MAX_LANES_LOG2) throw new CorruptStream(`lanes: log2 is ${payload[0]}; it must be 0..${MAX_LANES_LOG2}`);
    const needed = (this.leastZBits(level) * zHeight * zWidth) / MAX_BITS_PER_BYTE;
    if (needed > payload.length) {
      throw new CorruptStream(`payload has ${payload.length} bytes; ${zHeight} x ${zWidth} positions take ${needed}`);
    }
  }

  /**
   * Latents -> addresses of z_hat int32 [N][h w] and r int32 [M][16 h w] (0 where nothing is coded).
   * stored: level, zHeight, zWidth, payload and outliers (bytes). Throws CorruptStream and Truncated.
   */
  decode(stored) {
    this.checkPaid(stored);
    const { kernel } = this;
    const plane = stored.zHeight * stored.zWidth;
    const zCount = this.N * plane;
    const yCount = this.M * GROWTH ** 2 * plane;
    const listed = parseOutliers(stored.outliers, zCount + yCount);
    checkMagnitudes(listed);
    const split = listed.positions.findIndex((position) => position >= zCount);
    const border = split < 0 ? listed.positions.length : split;
    const zHat = kernel.allocate(4 * zCount);
    const r = kernel.allocate(4 * yCount);
    const start = kernel.top; // what follows is not needed any more afterwards
    const stream = new Stream(kernel, stored.payload.subarray(1), 2 ** stored.payload[0]);

    stream.decode(this.z.address, this.zIndex(stored.level, plane), zCount, false, outliersOf(listed, 0, border, 0), zHat);
    checkZ(kernel.view(Int32Array, zHat, zCount));

    const index = this.scaleIndex(zHat, stored);
    const coded = stream.decode(this.y.address, index, yCount, true, outliersOf(listed, border, undefined, zCount), r);
    stream.finish();
    const last = listed.positions.at(-1);
    if (last >= zCount + coded) throw new CorruptStream(`outlier at ${last}; there are ${zCount + coded} coded symbols`);
    kernel.top = start;
    return { zHat, r };
  }

  /** The scale network: z_hat int32 [N][h w] -> the address of the scale index uint8 [M][16 h w], tile by tile. */
  scaleIndex(zHat, { level, zHeight, zWidth }) {
    const { kernel, N, M } = this;
    const index = kernel.allocate(M * GROWTH ** 2 * zHeight * zWidth);
    const start = kernel.top;
    for (let top = 0; top < zHeight; top += TILE) {
      for (let left = 0; left < zWidth; left += TILE) {
        const [firstRow, firstColumn] = [Math.max(0, top - HALO), Math.max(0, left - HALO)];
        const [bottom, right] = [Math.min(zHeight, top + TILE), Math.min(zWidth, left + TILE)];
        const height = Math.min(zHeight, bottom + HALO) - firstRow;
        const width = Math.min(zWidth, right + HALO) - firstColumn;
        const tile = this.#runLayers(zHat + 4 * (firstRow * zWidth + firstColumn), level, height, width, zHeight, zWidth);
        const step = GROWTH * width * M;
        const corner = tile + 2 * (GROWTH * (top - firstRow) * step + GROWTH * (left - firstColumn) * M);
        const [rows, columns] = [GROWTH * (bottom - top), GROWTH * (right - left)];
        const at = index + GROWTH * top * GROWTH * zWidth + GROWTH * left;
        const plane = GROWTH ** 2 * zHeight * zWidth;
        kernel.run.scatter_index(corner, step, rows, columns, M, at, plane, GROWTH * zWidth);
        kernel.top = start;
      }
    }
    return index;
  }

  #runLayers(zHat, level, height, width, zHeight, zWidth) {
    const { kernel } = this;
    let [x, inner, step] = bordered(kernel, height, width, this.N, FORMATS[0].kernel);
    kernel.run.gather_z(zHat, this.N, zHeight * zWidth, zWidth, height, width, inner, step);
    this.layers.forEach((layer, number) => {
      const growth = layer.shuffled ? 2 : 1;
      const next = FORMATS[number + 1]?.kernel ?? 1;
      const [out, outInner, outStep] = bordered(kernel, growth * height, growth * width, layer.outputs / growth ** 2, next);
      kernel.run.integer_layer(
        x, height, width, layer.inputs, layer.kernel, layer.weight, layer.bias + 4 * level * layer.outputs, layer.outputs,
        layer.shift, layer.most, outInner, outStep, Number(layer.shuffled),
      );
      [x, height, width] = [out, growth * height, growth * width];
    });
    return x;
  }
}

/** Zeros for int16 [height][width][channels] and a border: address, that of the first position inside, row step. */
function bordered(kernel, height, width, channels, size) {
  const radius = (size - 1) / 2;
  const step = (width + 2 * radius) * channels;
  const count = (height + 2 * radius) * step;
  const address = kernel.allocate(2 * count);
  kernel.view(Int16Array, address, count).fill(0);
  return [address, address + 2 * radius * (step + channels), step];
}

/** A bias of each level: int32, stored as int16 where it fits. */
function biasOf(tensors, name) {
  const isNarrow = tensors.get(name)?.dtype === "I16";
  const { shape, data } = tensorOf(tensors, name, isNarrow ? "I16" : "I32", 2);
  return { shape, data: isNarrow ? Int32Array.from(data) : data };
}

function readLayer(kernel, tensors, number, format) {
  const name = `int.h_scale.${number}`;
  const weight = tensorOf(tensors, `${name}.weight`, "I8", 4);
  const bias = biasOf(tensors, `${name}.bias`);
  const [outputs, inputs, height, width] = weight.shape;
  const { kernel: side, largestInput, shift } = format;
  if (height !== side || width !== side || outputs % 4 || bias.shape[0] !== LEVELS || bias.shape[1] !== outputs) {
    throw new WeightsError(`weights: ${name} is ${weight.shape}, bias ${bias.shape}; it must be [out, in, ${side}, ${side}]`);
  }
  const size = inputs * side ** 2;
  for (let n = 0; n < outputs; n++) {
    const row = weight.data.subarray(n * size, (n + 1) * size);
    let worst = 0;
    for (let l = 0; l < LEVELS; l++) worst = Math.max(worst, Math.abs(bias.data[l * outputs + n]));
    worst += row.reduce((sum, value) => sum + Math.abs(value), 0) * largestInput + 2 ** (shift - 1);
    if (worst >= ACCUMULATOR_LIMIT || row.some((value) => value < -WEIGHT_MAX)) {
      throw new WeightsError(`weights: ${name}, output ${n}: an accumulator may reach ${worst}, or a weight is -128`);
    }
  }
  // [out][in][row][column] -> [out][row][column][in]
  const relaid = new Int16Array(weight.data.length);
  for (let n = 0; n < outputs; n++) {
    for (let c = 0; c < inputs; c++) {
      for (let i = 0; i < side ** 2; i++) relaid[n * size + i * inputs + c] = weight.data[n * size + c * side ** 2 + i];
    }
  }
  return { ...format, inputs, outputs, weight: kernel.place(relaid), bias: kernel.place(bias.data) };
}

/** Probability tables, checked: sizes, (frequency - 1) << 16 | start of every symbol, and where a search starts. */
export function readTables(tensors, prefix) {
  const sizes = tensorOf(tensors, `${prefix}.sizes`, "I32", 1).data;
  const frequencies = tensorOf(tensors, `${prefix}.frequencies`, "U16", 1).data;
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (sizes.length !== SCALE_INDICES || total !== frequencies.length || sizes.some((s) => s < 1 || s > MAX_SYMBOLS)) {
    throw new WeightsError(`weights: ${prefix} has ${sizes.length} tables of ${total} symbols, ${frequencies.length} given`);
  }
  const offsets = new Uint32Array(sizes.length + 1).fill(total);
  const packed = new Uint32Array(total);
  const buckets = new Uint16Array(sizes.length * BUCKETS);
  const leastBits = [];
  let at = 0;
  sizes.forEach((size, table) => {
    offsets[table] = at;
    let [start, bucket, largest] = [0, 0, 0];
    for (let symbol = 0; symbol < size; symbol++, at++) {
      const frequency = frequencies[at] + 1;
      packed[at] = (frequencies[at] << 16) | start;
      start += frequency;
      largest = Math.max(largest, frequency);
      for (; bucket < BUCKETS && bucket * (PROB_TOTAL / BUCKETS) < start; bucket++) buckets[table * BUCKETS + bucket] = symbol;
    }
    if (start !== PROB_TOTAL) throw new WeightsError(`weights: ${prefix} table ${table}: frequencies sum to ${start}`);
    leastBits.push(16 - Math.log2(largest));
  });
  return { offsets, packed, buckets, leastBits };
}

function placeTables(kernel, { offsets, packed, buckets }) {
  return kernel.place(Uint32Array.of(kernel.place(offsets), kernel.place(packed), kernel.place(buckets)));
}

function checkMagnitudes({ positions, values }) {
  const bad = values.findIndex((value) => Math.abs(value) >= R_LIMIT);
  if (bad >= 0) throw new CorruptStream(`outlier ${values[bad]} at ${positions[bad]}; it must be below ${R_LIMIT}`);
}

function outliersOf({ positions, values }, from, to, before) {
  return { positions: positions.slice(from, to).map((position) => position - before), values: values.slice(from, to) };
}

function checkZ(zHat) {
  const bad = zHat.find((value) => value < Z_MIN || value > Z_MAX);
  if (bad !== undefined) throw new CorruptStream(`z_hat reaches ${bad}; it must be ${Z_MIN}..${Z_MAX}`);
}

/** The lanes and words of one payload. */
class Stream {
  constructor(kernel, payload, lanes) {
    this.kernel = kernel;
    this.lanes = lanes;
    this.groups = Math.max(1, lanes / GROUP_LANES);
    const { states, words, bounds } = unpackPayload(payload, lanes, this.groups);
    this.states = kernel.place(states);
    this.next = kernel.place(bounds.slice(0, -1));
    this.ends = kernel.place(bounds.slice(1));
    this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.ends, kernel.place(words)));
  }

  /** The next segment; returns its number of symbols. */
  decode(tables, index, count, skip, { positions, values }, out) {
    const { kernel } = this;
    const listed = [kernel.place(Uint32Array.from(positions)), kernel.place(Int32Array.from(values)), positions.length];
    const outliers = kernel.place(Uint32Array.from(listed));
    const coded = kernel.run.decode_segment(this.address, tables, index, count, Number(skip), outliers, out);
    if (coded < 0) throw new Truncated(`rANS group ${-1 - coded}: the words end in the middle of the symbols`);
    return coded;
  }

  /** Every word must be used and every lane back in its start state. */
  finish() {
    const [next, ends] = [this.next, this.ends].map((at) => this.kernel.view(Uint32Array, at, this.groups));
    const group = next.findIndex((place, number) => place !== ends[number]);
    if (group >= 0) throw new CorruptStream(`rANS group ${group}: ${ends[group] - next[group]} words are left over`);
    const states = this.kernel.view(Uint32Array, this.states, this.lanes);
    const lane = states.findIndex((state) => state !== RANS_L);
    if (lane >= 0) throw new CorruptStream(`rANS lane ${lane} ends in state ${states[lane]}; it must be ${RANS_L}`);
  }
}

/** States of all lanes, all words one after the other, and where those of each group begin and end. */
export function unpackPayload(payload, lanes, groups) {
  const fixed = 4 * (groups - 1) + 4 * lanes;
  if (payload.length < fixed || (payload.length - fixed) % 2) {
    throw new Truncated(`payload of ${payload.length} bytes for ${lanes} lanes; it must be ${fixed} and a multiple of 2 more`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const total = (payload.length - fixed) / 2;
  const bounds = new Uint32Array(groups + 1);
  let claimed = 0;
  for (let group = 0; group < groups - 1; group++) {
    claimed += view.getUint32(4 * group, true);
    if (claimed > total) throw new Truncated(`payload: groups claim ${claimed} words; the data holds ${total}`);
    bounds[group + 1] = claimed;
  }
  bounds[groups] = total;
  const states = new Uint32Array(lanes);
  const words = new Uint16Array(total);
  let at = 4 * (groups - 1);
  for (let group = 0, lane = 0; group < groups; group++) {
    for (const end = lane + lanes / groups; lane < end; lane++, at += 4) states[lane] = view.getUint32(at, true);
    for (let word = bounds[group]; word < bounds[group + 1]; word++, at += 2) words[word] = view.getUint16(at, true);
  }
  const low = states.findIndex((state) => state < RANS_L);
  if (low >= 0) throw new CorruptStream(`rANS lane ${low} starts in state ${states[low]}; it must be ${RANS_L} or more`);
  return { states, words, bounds };
}
