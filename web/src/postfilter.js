// The POSTFILTER section, read and applied: see vaecodec/container/postfilter.py. Whole numbers, the same as there.
import { FormatError, Truncated } from "./errors.js";

const FILTER_KIND = 1;
const FILTER_COLOURS = 3;
const FILTER_REACH = 2;
const [SHIFT_MIN, SHIFT_MAX] = [4, 9];
const LARGEST_WEIGHT = 511;
const MOST_ZEROS = 9;
/** Half of the square around a pixel, as [rows down, columns to the right]; the other half is opposite. */
const FILTER_OFFSETS = Array.from({ length: 25 }, (_, place) => [Math.floor(place / 5) - FILTER_REACH, (place % 5) - FILTER_REACH]).slice(13);
const FILTER_WEIGHTS = FILTER_COLOURS * FILTER_COLOURS * FILTER_OFFSETS.length;
const TO_YCOCG = [
  [1, 2, 1],
  [2, 0, -2],
  [-1, 2, -1],
];
const TO_RGB = [
  [1, 1, -1],
  [1, 0, 1],
  [1, -1, -1],
];

/** {shift, taps: [from R, G, B][offset] -> [to R, G, B]}; null for no section, or one of another kind. */
export function parsePostfilter(content) {
  if (content?.[0] !== FILTER_KIND) return null;
  if (content.length < 2) throw new Truncated("POSTFILTER ends before its shift");
  const shift = content[1];
  if (shift < SHIFT_MIN || shift > SHIFT_MAX) {
    throw new FormatError(`POSTFILTER shift is ${shift}; it must be ${SHIFT_MIN}..${SHIFT_MAX}`);
  }
  return { shift, taps: tapsOf(parseWeights(content.subarray(2))) };
}

/** Numbers in the Exp-Golomb code of order 0: as many zeros as a number has bits behind its first 1, then the number. */
function parseWeights(content) {
  const bits = Array.from(content, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const weights = [];
  let place = 0;
  for (let number = 0; number < FILTER_WEIGHTS; number++) {
    const first = bits.indexOf("1", place);
    const end = 2 * first - place + 1;
    if (first < 0 || end > bits.length) throw new Truncated(`POSTFILTER ends inside weight ${number} of ${FILTER_WEIGHTS}`);
    if (first - place > MOST_ZEROS) {
      throw new FormatError(`POSTFILTER weight ${number} is too long; it must be ${-LARGEST_WEIGHT}..${LARGEST_WEIGHT}`);
    }
    const value = parseInt(bits.slice(first, end), 2);
    weights.push(value % 2 ? -(value - 1) / 2 : value / 2);
    place = end;
  }
  const rest = bits.slice(place);
  if (rest.length >= 8 || rest.includes("1")) {
    throw new FormatError(`POSTFILTER has ${rest.length} bits behind its last weight; it must be fewer than 8, all 0`);
  }
  return weights;
}

function planesOf(length) {
  return Array.from({ length: FILTER_COLOURS }, () => new Int32Array(length));
}

function tapsOf(weights) {
  const colours = [0, 1, 2];
  const weight = (to, of, k) => weights[(FILTER_COLOURS * to + of) * FILTER_OFFSETS.length + k];
  const tap = (colour, source, k) =>
    colours.reduce(
      (sum, a) => sum + colours.reduce((part, b) => part + TO_RGB[colour][a] * weight(a, b, k) * TO_YCOCG[b][source], 0),
      0,
    );
  return colours.map((source) => FILTER_OFFSETS.map((_, k) => colours.map((colour) => tap(colour, source, k))));
}

/** Filters rows of RGBA that come from the top of an image, two rows later. show(top, rows, rgba) takes them. */
export class FilteredRows {
  constructor({ shift, taps }, { width, height, isGray }, show) {
    Object.assign(this, { shift, taps, width, height, isGray, show });
    this.planes = Array.from({ length: 2 * FILTER_REACH + 1 }, () => planesOf(width + 2 * FILTER_REACH));
    this.alphas = Array.from({ length: 2 * FILTER_REACH + 1 }, () => new Uint8Array(width));
    this.sums = planesOf(width);
  }

  /** The next rows, and with the last ones those that waited for them. */
  push(top, rows, rgba) {
    const { width, height } = this;
    const isLast = top + rows === height;
    const from = Math.max(0, top - FILTER_REACH);
    const to = isLast ? height : top + rows - FILTER_REACH;
    const out = new Uint8ClampedArray(4 * width * Math.max(0, to - from));
    const emit = (row) => {
      if (row >= from) this.#filter(row, out.subarray(4 * width * (row - from), 4 * width * (row - from + 1)));
    };
    for (let row = top; row < top + rows; row++) {
      this.#keep(row, rgba.subarray(4 * width * (row - top), 4 * width * (row - top + 1)));
      emit(row - FILTER_REACH);
    }
    if (isLast) for (let row = Math.max(0, height - FILTER_REACH); row < height; row++) emit(row);
    if (out.length) this.show(from, to - from, out);
  }

  #keep(row, rgba) {
    const { width } = this;
    const slot = row % this.planes.length;
    for (let c = 0; c < FILTER_COLOURS; c++) {
      const plane = this.planes[slot][c];
      for (let j = 0; j < width; j++) plane[FILTER_REACH + j] = rgba[4 * j + c];
      plane.fill(plane[FILTER_REACH], 0, FILTER_REACH);
      plane.fill(plane[FILTER_REACH + width - 1], FILTER_REACH + width);
    }
    for (let j = 0; j < width; j++) this.alphas[slot][j] = rgba[4 * j + 3];
  }

  /** The row of the image that is `row`, or the nearest one. */
  #row(row) {
    return this.planes[Math.min(Math.max(row, 0), this.height - 1) % this.planes.length];
  }

  #filter(row, out) {
    const { width, sums, shift } = this;
    const middle = this.#row(row);
    const [red, green, blue] = sums;
    for (const sum of sums) sum.fill(1 << (shift + 1));
    FILTER_OFFSETS.forEach(([down, right], k) => {
      const [below, above] = [this.#row(row + down), this.#row(row - down)];
      for (let d = 0; d < FILTER_COLOURS; d++) {
        const [toRed, toGreen, toBlue] = this.taps[d][k];
        if (!toRed && !toGreen && !toBlue) continue;
        const [under, over, here] = [below[d], above[d], middle[d]];
        for (let j = 0, at = FILTER_REACH; j < width; j++, at++) {
          const bend = under[at + right] + over[at - right] - 2 * here[at];
          red[j] += toRed * bend;
          green[j] += toGreen * bend;
          blue[j] += toBlue * bend;
        }
      }
    });
    const alpha = this.alphas[row % this.alphas.length];
    for (let j = 0; j < width; j++) {
      for (let c = 0; c < FILTER_COLOURS; c++) out[4 * j + c] = middle[c][FILTER_REACH + j] + (sums[c][j] >> (shift + 2));
      if (this.isGray) out.fill(Math.floor((out[4 * j] + out[4 * j + 1] + out[4 * j + 2] + 1) / 3), 4 * j, 4 * j + 3);
      out[4 * j + 3] = alpha[j];
    }
  }
}
