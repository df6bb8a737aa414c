// The side of the page: one worker that decodes and encodes, and the weights that it asks for.
import { fromBase64 } from "./base64.js";
import { checkEnd, MAX_HEADER_BYTES, parseHeader } from "./container.js";
import { checkImage, DEFAULT_MODEL, levelOf } from "./encoder.js";
import { BackendError, HashMismatch, InputError, packError, Truncated, UnknownModel, unpackError, WeightsError } from "./errors.js";
import { readWeights } from "./weights.js";

const CACHE = "vaecodec-weights";
const ENCODER = "encoder";
const MODEL_NAME = /^[\w-]+$/;
/** 67 megapixels; they take 12 bytes each in the worker (model base), 20 to be encoded, and 4 on the canvas. */
export const MAX_PIXELS = 2 ** 26;

/** Where weights come from: embedded in the page, a folder, or both. */
export class Weights {
  #known = new Map();

  /** folder: the URL of the weights that `vaecodec web` wrote. */
  constructor(folder) {
    this.folder = folder;
  }

  /** Weights at hand: bytes, or a text in base64. Their card says what they are. */
  add(weights) {
    const bytes = typeof weights === "string" ? fromBase64(weights) : weights;
    this.#known.set(keyOf(bytes), Promise.resolve(bytes));
  }

  /** The bytes of the weights of a key, see `keyOf`. Throws UnknownModel where nobody has them. */
  get(key) {
    if (!this.#known.has(key)) {
      const fetched = this.#fetch(key).catch((error) => {
        const current = this.#known.get(key);
        if (current !== fetched) return current; // added while they could not be fetched
        this.#known.delete(key); // to be tried again
        throw error;
      });
      this.#known.set(key, fetched);
    }
    return this.#known.get(key);
  }

  async #fetch(key) {
    const url = new URL(`${key}.safetensors`, this.folder);
    if (url.protocol !== "file:") return fromServer(url, key);
    // A page from a disk may not fetch, but it may run a script from beside it.
    return checked(await fromScript(new URL(`${key}.js`, this.folder)), key, url);
  }
}

/** Bytes from a URL, if they are the weights of a key. Throws WeightsError and HashMismatch. */
function checked(bytes, key, url) {
  const found = keyOf(bytes);
  if (found !== key) throw new HashMismatch(`${url.pathname} holds ${found}; its name says ${key}`);
  return bytes;
}

/** "4-0123abcd", id and hash of a model, for a decoder; "base-perceptual.encoder" for what encoding takes beside it. */
function keyOf(weights) {
  const { card } = readWeights(weights);
  return card.part === ENCODER ? encoderKey(card.name) : `${card.model_id}-${card.wire_hash}`;
}

function encoderKey(name) {
  return `${name}.${ENCODER}`;
}

/** The key of a decoder says which integers are inside, so what is cached is right for ever; an encoder's does not. */
async function fromServer(url, key) {
  const isLasting = !key.endsWith(encoderKey(""));
  const cache = isLasting && globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
  const kept = await fromCache(cache, url, key);
  if (kept) return kept;
  // Only what is right is kept: a server may answer with a page of its own, and 200.
  const bytes = checked(await fetched(url, isLasting ? "default" : "no-cache"), key, url);
  await cache?.put(url, new Response(bytes)).catch(() => {}); // a full disk: fetched again next time
  return bytes;
}

/** What was kept, null where it is not there or is not right; that is forgotten. */
async function fromCache(cache, url, key) {
  const response = await cache?.match(url);
  if (!response) return null;
  try {
    return checked(new Uint8Array(await response.arrayBuffer()), key, url);
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    await cache.delete(url);
    return null;
  }
}

async function fetched(url, cache) {
  const unreachable = (error) => {
    throw new UnknownModel(`the weights ${url.pathname} cannot be fetched (${error.message})`);
  };
  const response = await fetch(url, { cache }).catch(unreachable);
  if (!response.ok) {
    await response.body?.cancel(); // or its connection stays taken
    throw new UnknownModel(`the weights ${url.pathname} are not on this server (${response.status})`);
  }
  return new Uint8Array(await response.arrayBuffer().catch(unreachable));
}

const waiting = new Map();

async function fromScript(url) {
  const text = await textOfScript(url);
  try {
    return fromBase64(text);
  } catch (error) {
    throw new WeightsError(`the weights ${url.pathname} are not in base64 (${error.message})`);
  }
}

function textOfScript(url) {
  const name = url.pathname.split("/").at(-1);
  const script = document.createElement("script");
  script.src = url;
  const told = new Promise((resolve, reject) => {
    script.onerror = () => reject(new UnknownModel(`the weights ${url.pathname} are not there`));
    // It has run by now, so that whatever it had to say is said.
    script.onload = () => reject(new WeightsError(`the weights ${url.pathname} are damaged: as a script they give nothing`));
    globalThis.vaecodecWeights = (other, text) => waiting.get(other)?.(text);
    waiting.set(name, resolve);
    document.head.append(script);
  });
  return told.finally(() => {
    waiting.delete(name);
    script.remove();
  });
}

/** Decodes and encodes in a worker, one image after the other. */
export class Client {
  #jobs = new Map();
  #next = 1;
  #worker = null;
  #last = Promise.resolve();

  /** weights: a `Weights`. startWorker: a function that gives a Worker with `serve` in it. */
  constructor(weights, startWorker) {
    this.weights = weights;
    this.startWorker = startWorker;
  }

  /**
   * Decode the bytes of a file. on: start({width, height, mode, icc, exif}), preview({width, height, rgba}),
   * rows(top, rows, rgba), progress(0..1), all optional. signal: an AbortSignal. Rejects with a VaecodecError.
   */
  decode(bytes, { on = {}, maxPixels = MAX_PIXELS, preview = true, signal } = {}) {
    return this.#enqueue({ type: "decode", bytes, maxPixels, preview }, on, signal);
  }

  /** The integers of a file, see `decodeLatents`. */
  latents(bytes, { maxPixels = MAX_PIXELS } = {}) {
    return this.#enqueue({ type: "latents", bytes, maxPixels });
  }

  /**
   * Encode an ImageData, or {width, height, rgba}, to the bytes of a .vaec file. quality: 1..100, 60 unless given; or
   * level: 0..63. model: its name; the page or its folder of weights has the encoder. on: progress(0..1). Rejects with a
   * VaecodecError.
   */
  async encode(image, { quality, level, model = DEFAULT_MODEL, on = {}, maxPixels = MAX_PIXELS, signal } = {}) {
    const { width, height, rgba } = checkImage(image, maxPixels);
    if (!MODEL_NAME.test(model)) throw new InputError(`model is ${model}; it must be the name of one`);
    const message = { type: "encode", width, height, bytes: rgba, level: levelOf({ quality, level }), key: encoderKey(model) };
    return this.#enqueue(message, on, signal);
  }

  /** One after the other: two at a time would take the memory of both. */
  #enqueue(message, on = {}, signal = undefined) {
    const turn = this.#last.then(() => this.#run(message, on, signal));
    this.#last = turn.catch(() => {});
    return turn;
  }

  #run({ bytes, ...message }, on, signal) {
    signal?.throwIfAborted();
    const id = this.#next++;
    const abort = () => this.#stop(id, signal.reason);
    const job = new Promise((resolve, reject) => {
      this.#jobs.set(id, { on, resolve, reject });
      signal?.addEventListener("abort", abort);
      const data = bytes.slice().buffer;
      try {
        this.#worker ??= this.#start();
      } catch (error) {
        this.#stop(id, new BackendError(`no worker can be started (${error.message})`));
        return;
      }
      this.#worker.postMessage({ ...message, id, data }, [data]);
    });
    return job.finally(() => signal?.removeEventListener("abort", abort));
  }

  #start() {
    const worker = this.startWorker();
    worker.onmessage = ({ data: message }) => {
      if (worker === this.#worker) this.#answer(message); // what a stopped one still had to say
    };
    worker.onerror = (event) => {
      for (const id of this.#jobs.keys()) this.#stop(id, new BackendError(`the worker failed (${event.message ?? "not loaded"})`));
    };
    return worker;
  }

  async #answer(message) {
    if (message.type === "weights") {
      await this.#sendWeights(message);
      return;
    }
    const job = this.#jobs.get(message.id);
    if (!job) return;
    if (message.type === "done" || message.type === "error") {
      this.#jobs.delete(message.id);
      if (message.type === "done") job.resolve(message.result);
      else job.reject(unpackError(message.error));
      return;
    }
    try {
      if (message.type === "rows") job.on.rows?.(message.top, message.rows, message.rgba);
      else job.on[message.type]?.(message.image ?? message.part);
    } catch (error) {
      this.#stop(message.id, error); // the caller cannot take what it asked for: a canvas that large, for one
    }
  }

  async #sendWeights({ key }) {
    const worker = this.#worker;
    try {
      worker.postMessage({ type: "weights", key, bytes: await this.weights.get(key) });
    } catch (error) {
      worker.postMessage({ type: "weights", key, error: packError(error) });
    }
  }

  /** What a worker is busy with can only be stopped together with it. */
  #stop(id, reason) {
    const job = this.#jobs.get(id);
    if (!job) return;
    this.#jobs.delete(id);
    this.#worker?.terminate();
    this.#worker = null;
    job.reject(reason);
  }
}

/**
 * Read a stream of bytes; header(file) is called as soon as the header is whole and right, long before the rest. Throws
 * FormatError for a header that can never become one and for bytes behind the end that it states, and what `header` throws.
 */
export async function readStream(stream, header) {
  const reader = stream.getReader();
  try {
    return await readAllOf(reader, header);
  } catch (error) {
    // Or the rest comes all the same, and takes one of the few connections to its host.
    await reader.cancel(error).catch(() => {}); // it ended by itself, with this very error
    throw error;
  }
}

async function readAllOf(reader, header) {
  const parts = [];
  let size = 0;
  let file = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return joined(parts, size);
    parts.push(value);
    size += value.length;
    file ??= tryHeader(joined(parts, size), header);
    if (file) checkEnd(size, file.size);
  }
}

/** The header, null where more of it must come. */
function tryHeader(bytes, header) {
  let file;
  try {
    file = parseHeader(bytes);
  } catch (error) {
    if (error instanceof Truncated && bytes.length < MAX_HEADER_BYTES) return null;
    throw error;
  }
  header(file);
  return file;
}

function joined(parts, size) {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
