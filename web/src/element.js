// <vaec-image src="photo.vaec" alt="...">: as <img>, for .vaec files.
import { fromBase64 } from "./base64.js";
import { CanvasPainter, resize, uprightSize } from "./canvas.js";
import { Client, MAX_PIXELS, readStream, Weights } from "./client.js";
import { checkPixels, parse } from "./container.js";
import { VaecodecError } from "./errors.js";
import { encodePng } from "./png.js";

const STYLE = `
  :host { display: inline-block; max-width: 100%; vertical-align: bottom; }
  :host([hidden]) { display: none; }
  canvas { display: block; width: 100%; height: 100%; max-height: inherit; object-fit: inherit; }
  canvas[hidden] { display: none; }
`;
/** How far outside of the window a lazy image begins to load. */
const LAZY_MARGIN = "600px";
const NAME = "vaec-image";

/**
 * Attributes: src, alt, loading="lazy", max-pixels. Parts: canvas, alt (the text, after an error). Properties: bytes (the
 * file itself, instead of src), naturalWidth, naturalHeight, complete. Events, none of which bubbles: "header" (the size is
 * known), "preview", "progress" (detail: 0..1), "load", "error" (detail: an Error; its name is the class, as in
 * vaecodec/errors.py).
 */
export class VaecImage extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["src", "alt", "loading"];
  /** Shared by all elements; set it before the first one loads to have weights or worker elsewhere. */
  static client = null;
  /** The URL of the script that `start` was called in. */
  static base = null;

  #canvas = null;
  #instead = null;
  #bytes = null;
  #abort = null;
  #waits = null;

  constructor() {
    super();
    const sheet = new CSSStyleSheet(); // legal under any style-src
    sheet.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    this.#canvas = document.createElement("canvas");
    this.#canvas.setAttribute("part", "canvas");
    this.#instead = document.createElement("span");
    this.#instead.setAttribute("part", "alt");
    root.append(this.#canvas, this.#instead);
    this.#empty();
    this.#show(true);
    this.#describe();
    this.complete = false;
  }

  get src() {
    return this.getAttribute("src") ?? "";
  }

  set src(value) {
    this.setAttribute("src", value);
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }

  set alt(value) {
    this.setAttribute("alt", value);
  }

  /** The file itself, Uint8Array; set instead of src. */
  get bytes() {
    return this.#bytes;
  }

  set bytes(value) {
    this.#bytes = value;
    this.#begin();
  }

  get naturalWidth() {
    return this.#canvas.width;
  }

  get naturalHeight() {
    return this.#canvas.height;
  }

  /** The attribute; what is no positive number there is no limit of anybody's. */
  get maxPixels() {
    const asked = Number(this.getAttribute("max-pixels"));
    return asked > 0 ? asked : MAX_PIXELS;
  }

  /** Resolves when the image is complete, rejects with its error. A lazy image, or one in no document, begins to load. */
  async decode() {
    await this.#loaded();
  }

  /** The bytes of the file, when its image is complete. */
  #loaded() {
    if (!this.done && (this.#bytes || this.src)) this.#load();
    return this.done ?? Promise.reject(new VaecodecError("there is no src"));
  }

  /**
   * The image as a file. "image/png" is decoded again, for the exact pixels of the file with its ICC profile and EXIF; other
   * types are made by the canvas, in its colours.
   */
  async toBlob(type = "image/png", quality = undefined) {
    const bytes = await this.#loaded();
    if (type !== "image/png") return new Promise((resolve) => this.#canvas.toBlob(resolve, type, quality));
    let image;
    const bands = [];
    const on = { start: (started) => (image = started), rows: (top, rows, rgba) => bands.push(rgba) };
    await clientOf().decode(bytes, { on, maxPixels: this.maxPixels, preview: false });
    return encodePng(image, bands);
  }

  connectedCallback() {
    if (!this.done) this.#begin();
  }

  disconnectedCallback() {
    this.#waits?.disconnect();
  }

  attributeChangedCallback(name, before, now) {
    if (name === "alt") this.#describe();
    else if (before !== now) {
      if (name === "src") this.#bytes = null;
      if (name === "src" || !this.done) this.#begin();
    }
  }

  /** For those who cannot see the canvas, and for all when it has nothing to show; alt="" is what need not be told. */
  #describe() {
    this.#canvas.setAttribute("role", this.getAttribute("alt") === "" ? "presentation" : "img");
    this.#canvas.setAttribute("aria-label", this.alt);
    this.#instead.textContent = this.alt;
  }

  /** Forget the image before, and load the one that there is now, unless it can wait. */
  #begin() {
    this.#abort?.abort(new DOMException("another image was chosen", "AbortError"));
    this.#waits?.disconnect();
    this.done = null;
    this.complete = false;
    this.#show(true);
    if (!this.#bytes && !this.src) this.#empty();
    else if (!this.#bytes && !this.isConnected) return; // connectedCallback goes on
    else if (this.getAttribute("loading") === "lazy") this.#whenNear(() => this.#load());
    else this.#load();
  }

  /** Show the canvas, or the text instead. */
  #show(canvas) {
    this.#canvas.hidden = !canvas;
    this.#instead.hidden = canvas;
  }

  /** No picture may stand beside a name that is not its own. */
  #empty() {
    [this.#canvas.width, this.#canvas.height] = [0, 0];
  }

  #whenNear(start) {
    const near = (entries) => {
      if (entries.at(-1).isIntersecting) start(); // the last one says how it is now
    };
    this.#waits = new IntersectionObserver(near, { rootMargin: LAZY_MARGIN });
    this.#waits.observe(this);
  }

  #load() {
    this.#waits?.disconnect();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.done = this.#run(signal);
    this.done.then(
      () => this.#tell("load"),
      (error) => {
        if (signal.aborted) return;
        this.#empty();
        this.#show(false);
        this.#tell("error", error);
      },
    );
  }

  async #run(signal) {
    const header = (file) => {
      signal.throwIfAborted();
      checkPixels(file, this.maxPixels);
      resize(this.#canvas, uprightSize(file, 1));
      this.#tell("header", file);
    };
    const bytes = await this.#read(header, signal);
    signal.throwIfAborted();
    parse(bytes, this.maxPixels); // what is wrong at first sight is told before the worker has time for it
    this.#bytes = bytes;
    let painter = null;
    const on = {
      start: (image) => (painter = new CanvasPainter(this.#canvas, image, signal)),
      preview: (image) => {
        painter.preview(image);
        this.#tell("preview");
      },
      rows: (top, rows, rgba) => painter.rows(top, rows, rgba),
      progress: (part) => this.#tell("progress", part),
    };
    await clientOf().decode(bytes, { on, maxPixels: this.maxPixels, signal });
    signal.throwIfAborted();
    await painter.finish();
    signal.throwIfAborted();
    this.complete = true;
    return bytes;
  }

  async #read(header, signal) {
    if (this.#bytes) return readStream(new Blob([this.#bytes]).stream(), header);
    const { src } = this;
    try {
      return await readStream(await open(src, signal), header);
    } catch (error) {
      throw named(error, src);
    }
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

async function open(src, signal) {
  const response = await fetch(src, { signal });
  if (response.ok) return response.body;
  await response.body?.cancel(); // or its connection stays taken
  throw new VaecodecError(`${src}: the server answers ${response.status}`);
}

/** What browsers throw for a network that fails, now or in the middle of a file, is a TypeError that names nothing. */
function named(error, src) {
  return error instanceof TypeError ? new VaecodecError(`${src}: it cannot be fetched (${error.message})`) : error;
}

/** A worker that runs this very script: a part of the page, or a module, which may come from another host. */
function startWorker() {
  const isPart = Boolean(document.getElementById("vaecodec-code")); // no module: a page from a disk could not start it
  workerUrl ??= isPart ? urlOf(document.getElementById("vaecodec-code").textContent) : urlOfModule(VaecImage.base);
  return new Worker(workerUrl, { type: isPart ? "classic" : "module", name: "vaecodec" });
}

/** One for all workers: such a URL holds its text for as long as the page is there. */
let workerUrl = null;

function urlOf(code) {
  return URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}

/** No worker may be started from another origin, but what it imports may come from there. */
function urlOfModule(url) {
  return new URL(url).origin === location.origin ? url : urlOf(`import ${JSON.stringify(url)};`);
}

function clientOf() {
  VaecImage.client ??= new Client(new Weights(new URL("weights/", VaecImage.base)), startWorker);
  return VaecImage.client;
}

/** Weights as bytes or in base64, for files that ask for them. Throws WeightsError for what is none. */
export function addWeights(weights) {
  clientOf().weights.add(weights);
}

/** Encode an image with the client of the elements, see `Client.encode`. */
export function encodeImage(image, options) {
  return clientOf().encode(image, options);
}

/** Weights that the page itself holds, in base64, in elements of this kind; see `vaecodec view`. */
export function addEmbeddedWeights(selector = "script[data-vaec-weights]") {
  for (const element of document.querySelectorAll(selector)) addWeights(element.textContent.trim());
}

/** Files that the page itself holds: those of <vaec-image data-embedded="NAME">, in base64 in elements of that name. */
export function showEmbeddedFiles() {
  const files = new Map();
  for (const element of document.querySelectorAll("script[data-vaec-file]")) files.set(element.dataset.vaecFile, element);
  for (const image of document.querySelectorAll("vaec-image[data-embedded]")) {
    image.bytes = fromBase64(files.get(image.dataset.embedded).textContent.trim());
  }
}

/** Make <vaec-image> known. */
export function define() {
  if (!customElements.get(NAME)) customElements.define(NAME, VaecImage);
}
