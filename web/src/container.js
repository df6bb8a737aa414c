// The .vaec file around the coded bytes; vaecodec/container/FORMAT.md is the specification.
import { BadMagic, ChecksumMismatch, CorruptStream, FormatError, LimitExceeded, Truncated, UnsupportedVersion } from "./errors.js";

export const MODEL_VERSION = 1;
export const LOSSLESS_VERSION = 2;
export const MAX_HEADER_BYTES = 2582;
export const Tag = { LATENTS: 1, OUTLIERS: 2, ALPHA: 3, LOSSLESS: 4, ICC: 16, EXIF: 17, XMP: 18, POSTFILTER: 129 };

const MAGIC = [0x8f, 0x56, 0x41, 0x43];
const MODES = { 1: "RGB", 2: "L", 3: "RGBA", 4: "LA" };
export const MAX_LEVEL = 63;
export const MAX_SIDE = 65535;
const VARINT_MAX = 2 ** 32 - 1;
const VARINT_MAX_BYTES = 5;
const OPTIONAL_BIT = 0x80;
const MAX_METADATA = 16 * 2 ** 20;
const METADATA = [Tag.ICC, Tag.EXIF, Tag.XMP];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** CRC-32 of zlib and PNG; `crc`: that of what came before. */
export function crc32(bytes, crc = 0) {
  let value = ~crc;
  for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** A place in bytes that moves on as numbers are read. Its errors name the field. */
export class Reader {
  constructor(bytes, offset = 0) {
    this.bytes = bytes;
    this.offset = offset;
  }

  take(count, field) {
    const end = this.offset + count;
    if (end > this.bytes.length) {
      throw new Truncated(`${field}: needs bytes ${this.offset}..${end - 1}, the data have ${this.bytes.length}`);
    }
    const taken = this.bytes.subarray(this.offset, end);
    this.offset = end;
    return taken;
  }

  byte(field) {
    return this.take(1, field)[0];
  }

  u32(field) {
    const [a, b, c, d] = this.take(4, field);
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  varint(field) {
    const start = this.offset;
    let value = 0;
    for (let index = 0; index < VARINT_MAX_BYTES; index++) {
      if (start + index >= this.bytes.length) {
        throw new Truncated(`${field}: the data end at byte ${this.bytes.length}, inside the number at byte ${start}`);
      }
      const byte = this.bytes[start + index];
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte >= 0x80) continue;
      if (value > VARINT_MAX) throw new FormatError(`${field} is ${value}; it must be 0..${VARINT_MAX}`);
      if (byte === 0 && index > 0) {
        throw new FormatError(`${field}: ${value} takes ${index + 1} bytes; only the shortest form is legal`);
      }
      this.offset = start + index + 1;
      return value;
    }
    throw new FormatError(`${field}: the number at byte ${start} has more than ${VARINT_MAX_BYTES} bytes`);
  }
}

/**
 * Read and check the header from the first bytes of a file; the first MAX_HEADER_BYTES always suffice.
 * fileSize: bytes of the whole file, null where not yet known. Contents are not looked at. Throws FormatError.
 */
export function parseHeader(prefix, fileSize = null) {
  checkStart(prefix);
  const reader = new Reader(prefix, MAGIC.length);
  const [version, flags] = reader.take(2, "flags");
  const modelId = reader.varint("model id");
  const fixed = reader.take(6, "model hash, level, mode");
  const header = { version, flags, modelId, modelHash: hex(fixed.subarray(0, 4)), level: fixed[4], modeByte: fixed[5] };
  header.width = reader.varint("width");
  header.height = reader.varint("height");
  const rows = parseTable(reader);
  const computed = crc32(prefix.subarray(0, reader.offset));
  const stored = reader.u32("header CRC");
  if (stored !== computed) throw new ChecksumMismatch(`header CRC is ${computed}; the file states ${stored}`);
  checkRanges(header);
  header.mode = MODES[header.modeByte];
  header.isLossless = version === LOSSLESS_VERSION;
  header.hasAlpha = header.mode.endsWith("A");
  header.isGray = header.mode.startsWith("L");
  checkTable(header, rows);
  return layOut(header, rows, reader.offset, fileSize);
}

/** Check a whole file except for the contents of its sections. maxPixels: largest legal width * height. */
export function parse(data, maxPixels) {
  const file = parseHeader(data, data.length);
  checkPixels(file, maxPixels);
  return file;
}

/** Throws LimitExceeded for more pixels than that, and whatever the image for a limit that is no number. */
export function checkPixels({ width, height }, maxPixels) {
  if (!(width * height <= maxPixels)) {
    throw new LimitExceeded(`image has ${width} x ${height} = ${width * height} pixels; the limit is ${maxPixels}`);
  }
}

/** The content of a section, its CRC checked; null where the file has none. */
export function readSection(data, file, tag) {
  const section = file.sections.get(tag);
  if (!section) return null;
  const content = new Reader(data, section.offset).take(section.length, `section ${tagName(tag)}`);
  const computed = crc32(content);
  if (computed !== section.crc) {
    throw new ChecksumMismatch(`section ${tagName(tag)} CRC is ${computed}; the header states ${section.crc}`);
  }
  return content;
}

/** The contents of all known sections, every CRC checked. */
export function readAll(data, file) {
  return new Map([...file.sections.keys()].map((tag) => [tag, readSection(data, file, tag)]));
}

/** (position, value) of every outlier, positions strictly ascending and below `symbols`. */
export function parseOutliers(content, symbols) {
  const reader = new Reader(content);
  const positions = [];
  const values = [];
  let position = -1;
  while (reader.offset < content.length) {
    position += reader.varint("outlier position") + 1;
    const zigzag = reader.varint("outlier value");
    if (position >= symbols) {
      throw new CorruptStream(`outlier position is ${position}; it must be below the ${symbols} coded symbols`);
    }
    positions.push(position);
    values.push(zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2);
  }
  return { positions, values };
}

function checkStart(prefix) {
  const start = prefix.subarray(0, MAGIC.length);
  if (!start.length || start.some((byte, index) => byte !== MAGIC[index])) {
    throw new BadMagic(`magic is ${hex(start) || "empty"}; a .vaec file starts with ${hex(MAGIC)}`);
  }
  const version = new Reader(prefix).take(MAGIC.length + 1, "version")[MAGIC.length];
  if (version !== MODEL_VERSION && version !== LOSSLESS_VERSION) {
    throw new UnsupportedVersion(`version is ${version}; this release reads ${MODEL_VERSION} and ${LOSSLESS_VERSION}`);
  }
}

function parseTable(reader) {
  const count = reader.byte("section count");
  const rows = [];
  for (let number = 0; number < count; number++) {
    const tag = reader.byte(`tag of section ${number}`);
    const length = reader.varint(`length of section ${number}`);
    rows.push({ tag, length, crc: reader.u32(`CRC of section ${number}`) });
  }
  return rows;
}

function checkRanges(header) {
  if (!(header.modeByte in MODES)) throw new FormatError(`mode is ${header.modeByte}; it must be 1..4`);
  if (header.flags !== 0) throw new FormatError(`flags is ${header.flags}; it must be 0`);
  if (header.version === LOSSLESS_VERSION) checkNoModel(header);
  else checkModel(header);
  for (const side of ["width", "height"]) {
    if (header[side] < 1 || header[side] > MAX_SIDE) {
      throw new LimitExceeded(`${side} is ${header[side]}; it must be 1..${MAX_SIDE}`);
    }
  }
}

function checkModel(header) {
  if (header.modelId < 1) throw new FormatError(`model id is ${header.modelId}; it must be 1..${VARINT_MAX}`);
  if (header.level > MAX_LEVEL) throw new LimitExceeded(`level is ${header.level}; it must be 0..${MAX_LEVEL}`);
}

function checkNoModel({ modelId, modelHash, level }) {
  if (modelId !== 0 || modelHash !== "00000000" || level !== MAX_LEVEL) {
    throw new FormatError(
      `model id, model hash and level are ${modelId}, ${modelHash} and ${level}; they must be 0, 00000000 and ` +
        `${MAX_LEVEL} in version ${LOSSLESS_VERSION}`,
    );
  }
}

function checkTable(header, rows) {
  rows.forEach(({ tag, length }, number) => {
    if (number && tag <= rows[number - 1].tag) {
      throw new FormatError(`section tag ${tag} follows ${rows[number - 1].tag}; tags must ascend`);
    }
    if (!Object.values(Tag).includes(tag) && tag < OPTIONAL_BIT) throw new FormatError(`section tag ${tag} is not known`);
    if (length < 1) throw new FormatError(`section ${tagName(tag)} has ${length} bytes; it must have 1 or more`);
    if (METADATA.includes(tag) && length > MAX_METADATA) {
      throw new LimitExceeded(`section ${tagName(tag)} has ${length} bytes; the limit is ${MAX_METADATA}`);
    }
  });
  const present = new Set(rows.map(({ tag }) => tag));
  const [needed, barred] = header.isLossless
    ? [[Tag.LOSSLESS], [Tag.LATENTS, Tag.OUTLIERS, Tag.ALPHA, Tag.POSTFILTER]]
    : [[Tag.LATENTS, ...(header.hasAlpha ? [Tag.ALPHA] : [])], [Tag.LOSSLESS, ...(header.hasAlpha ? [] : [Tag.ALPHA])]];
  const where = `in version ${header.version}, mode ${header.mode}`;
  for (const tag of needed) if (!present.has(tag)) throw new FormatError(`section ${tagName(tag)} is missing ${where}`);
  for (const tag of barred) if (present.has(tag)) throw new FormatError(`section ${tagName(tag)} is not legal ${where}`);
}

/** Sections follow the header without gaps, up to the end of the file. */
function layOut(header, rows, start, fileSize) {
  const sections = new Map();
  let offset = start;
  for (const { tag, length, crc } of rows) {
    if (Object.values(Tag).includes(tag)) sections.set(tag, { offset, length, crc });
    offset += length;
  }
  if (fileSize !== null && fileSize < offset) {
    throw new Truncated(`file has ${fileSize} bytes; header and sections have ${offset}`);
  }
  checkEnd(fileSize ?? 0, offset);
  return { ...header, sections, size: offset };
}

/** Throws FormatError for more bytes than header and sections have. */
export function checkEnd(fileSize, size) {
  if (fileSize > size) {
    throw new FormatError(`file has ${fileSize} bytes; header and sections have ${size}, nothing may follow`);
  }
}

function tagName(tag) {
  return Object.keys(Tag).find((name) => Tag[name] === tag) ?? String(tag);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
