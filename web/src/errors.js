// The errors of vaecodec/errors.py, by the same names.

/** The base of all errors of this package. `name` is the name of the class. */
export class VaecodecError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.kind;
  }

  static kind = "VaecodecError";
}

/** The bytes are not a valid .vaec file. */
export class FormatError extends VaecodecError {
  static kind = "FormatError";
}

/** The data do not start with the signature of a .vaec file. */
export class BadMagic extends FormatError {
  static kind = "BadMagic";
}

/** A .vaec file of a format version that this release cannot read. */
export class UnsupportedVersion extends FormatError {
  static kind = "UnsupportedVersion";
}

/** The data end before the structure they announce does. */
export class Truncated extends FormatError {
  static kind = "Truncated";
}

/** A CRC-32 differs from the stored one. */
export class ChecksumMismatch extends FormatError {
  static kind = "ChecksumMismatch";
}

/** A value is larger than a limit of the format or of the caller. */
export class LimitExceeded extends FormatError {
  static kind = "LimitExceeded";
}

/** The coded content contradicts itself although its checksum is right. */
export class CorruptStream extends FormatError {
  static kind = "CorruptStream";
}

/** The weights are missing, damaged or do not fit together. */
export class WeightsError extends VaecodecError {
  static kind = "WeightsError";
}

/** No model of this id, or none of these weights, is at hand. */
export class UnknownModel extends WeightsError {
  static kind = "UnknownModel";
}

/** Weights of this id are at hand, but others. */
export class HashMismatch extends WeightsError {
  static kind = "HashMismatch";
}

/** This browser lacks what the codec needs, or has no memory left. */
export class BackendError extends VaecodecError {
  static kind = "BackendError";
}

/** The networks gave what no file can hold. */
export class CodingError extends VaecodecError {
  static kind = "CodingError";
}

/** A bad argument, or an image that cannot be coded. */
export class InputError extends VaecodecError {
  static kind = "InputError";
}

const KINDS = [
  VaecodecError, FormatError, BadMagic, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream,
  WeightsError, UnknownModel, HashMismatch, BackendError, CodingError, InputError,
];

/** An error as plain data, for a message between threads. */
export function packError(error) {
  return { kind: error instanceof VaecodecError ? error.name : "BackendError", message: error.message ?? String(error) };
}

/** The inverse. */
export function unpackError({ kind, message }) {
  const Kind = KINDS.find((candidate) => candidate.kind === kind) ?? VaecodecError;
  return new Kind(message);
}
