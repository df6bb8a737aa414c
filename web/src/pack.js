// Writing a .vaec file: the inverse of container.js.
import { crc32, MODEL_VERSION, Tag } from "./container.js";

const MAGIC_BYTES = [0x8f, 0x56, 0x41, 0x43];
const MODE_BYTES = { RGB: 1, L: 2, RGBA: 3, LA: 4 };
const FLAGS = 0;

/** LEB128, the shortest form. */
export function packVarint(value) {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** The OUTLIERS section; positions ascend. No outliers: no bytes. */
export function packOutliers({ positions, values }) {
  const bytes = [];
  positions.forEach((position, number) => {
    const gap = position - (number ? positions[number - 1] : -1) - 1;
    const value = values[number];
    bytes.push(...packVarint(gap), ...packVarint(value < 0 ? -2 * value - 1 : 2 * value));
  });
  return Uint8Array.from(bytes);
}

/**
 * A whole file. header: modelId, modelHash (hex), level, mode, width, height. sections: [tag, bytes] in ascending order of
 * tag; empty ones are left out.
 */
export function packFile({ modelId, modelHash, level, mode, width, height }, sections) {
  const rows = sections.filter(([, content]) => content?.length);
  const head = [...MAGIC_BYTES, MODEL_VERSION, FLAGS, ...packVarint(modelId), ...fromHex(modelHash), level, MODE_BYTES[mode]];
  head.push(...packVarint(width), ...packVarint(height), rows.length);
  for (const [tag, content] of rows) head.push(tag, ...packVarint(content.length), ...u32(crc32(content)));
  head.push(...u32(crc32(Uint8Array.from(head))));
  const file = new Uint8Array(rows.reduce((size, [, content]) => size + content.length, head.length));
  file.set(head);
  let at = head.length;
  for (const [, content] of rows) {
    file.set(content, at);
    at += content.length;
  }
  return file;
}

/** The sections of an image: what the entropy coder gave, and the packed alpha or null. */
export function sectionsOf({ payload, outliers }, alpha) {
  return [[Tag.LATENTS, payload], [Tag.OUTLIERS, outliers], [Tag.ALPHA, alpha]];
}

function u32(value) {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

function fromHex(text) {
  return text.match(/../g).map((pair) => Number.parseInt(pair, 16));
}
