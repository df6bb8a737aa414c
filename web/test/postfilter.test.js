import assert from "node:assert/strict";
import { test } from "node:test";

import { readSection, parse, Tag } from "../src/container.js";
import { FormatError, Truncated } from "../src/errors.js";
import { FilteredRows, parsePostfilter } from "../src/postfilter.js";
import { CONFORMANCE } from "./files.js";

const { data } = CONFORMANCE.find(({ name }) => name === "postfilter");
const CONTENT = readSection(data, parse(data, 1e6), Tag.POSTFILTER);

/** An image of noise, filtered in bands of `count` rows. */
function filtered(count, { width, height, isGray = false }) {
  const rgba = Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => (i * 2654435761) >>> 24);
  const out = new Uint8ClampedArray(rgba.length);
  let next = 0;
  const rows = new FilteredRows(parsePostfilter(CONTENT), { width, height, isGray }, (top, shown, band) => {
    assert.equal(top, next);
    assert.equal(band.length, 4 * shown * width);
    out.set(band, 4 * top * width);
    next += shown;
  });
  for (let top = 0; top < height; top += count) {
    const last = Math.min(height, top + count);
    rows.push(top, last - top, rgba.slice(4 * width * top, 4 * width * last));
  }
  assert.equal(next, height);
  return { rgba, out };
}

test("bands of any height give the same image", () => {
  for (const size of [{ width: 7, height: 13 }, { width: 1, height: 1 }, { width: 3, height: 2 }, { width: 40, height: 3 }]) {
    const whole = filtered(size.height, size).out;
    for (const count of [1, 2, 3, 8]) assert.deepEqual(filtered(count, size).out, whole);
  }
});

test("alpha stays, and gray stays gray", () => {
  const { rgba, out } = filtered(8, { width: 9, height: 17, isGray: true });
  for (let i = 0; i < rgba.length; i += 4) {
    assert.equal(out[i + 3], rgba[i + 3]);
    assert.deepEqual([out[i + 1], out[i + 2]], [out[i], out[i]]);
  }
});

test("another kind is skipped, what is malformed refused", () => {
  assert.equal(parsePostfilter(undefined), null);
  assert.equal(parsePostfilter(Uint8Array.of(2, 0)), null);
  assert.throws(() => parsePostfilter(Uint8Array.of(1)), Truncated);
  assert.throws(() => parsePostfilter(Uint8Array.of(1, 3, ...CONTENT.subarray(2))), FormatError);
  assert.throws(() => parsePostfilter(CONTENT.subarray(0, -1)), Truncated);
  assert.throws(() => parsePostfilter(Uint8Array.of(...CONTENT, 0)), FormatError);
});
