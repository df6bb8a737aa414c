// The WebAssembly kernel and its memory: a heap of two parts, weights that stay and what one image needs.
import { BackendError } from "./errors.js";

const PAGE = 65536;
const ALIGNMENT = 16;
const MAX_BYTES = 2 ** 31;

/** One instance of kernel.c. Its functions are in `run`; addresses are bytes. */
export class Kernel {
  constructor(module) {
    this.run = new WebAssembly.Instance(module).exports;
    this.memory = this.run.memory;
    this.top = aligned(this.run.__heap_base.value);
    this.mark = this.top;
  }

  /** From here on belongs to one image, until `release`. */
  keep() {
    this.mark = this.top;
  }

  release() {
    this.top = this.mark;
  }

  /** The address of so many bytes. Contents are not defined. Throws BackendError where there is no memory. */
  allocate(bytes) {
    const address = this.top;
    this.top = aligned(address + bytes);
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        if (this.top > MAX_BYTES) throw new RangeError(`${this.top} of at most ${MAX_BYTES} bytes`);
        this.memory.grow(Math.ceil(missing / PAGE));
      } catch (error) {
        throw new BackendError(`no memory left for this image (${error.message})`);
      }
    }
    return address;
  }

  memoryCopy(to, from, bytes) {
    new Uint8Array(this.memory.buffer).copyWithin(to, from, from + bytes);
  }

  floats(count) {
    return this.allocate(4 * count);
  }

  /** A copy of a typed array. */
  place(values) {
    const address = this.allocate(values.byteLength);
    this.view(values.constructor, address, values.length).set(values);
    return address;
  }

  /** Memory as a typed array; valid until the next allocation. */
  view(Type, address, length) {
    return new Type(this.memory.buffer, address, length);
  }
}

function aligned(address) {
  return Math.ceil(address / ALIGNMENT) * ALIGNMENT;
}
