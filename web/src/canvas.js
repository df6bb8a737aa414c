// Rows of pixels onto a canvas: upright, and in the colours of the canvas.
import { BackendError } from "./errors.js";
import { isTurned, orientationOf, transformOf } from "./exif.js";
import { wrapPng } from "./png.js";

/** Sides and areas beyond these are refused by browsers, without a word. */
const MAX_CANVAS_SIDE = 16384;
const MAX_CANVAS_PIXELS = 2 ** 28;

/** Size an image is seen in. */
export function uprightSize({ width, height }, orientation) {
  return isTurned(orientation) ? { width: height, height: width } : { width, height };
}

/** Give a canvas the size of an image. Throws BackendError for one that no canvas holds. */
export function resize(canvas, { width, height }) {
  if (Math.max(width, height) > MAX_CANVAS_SIDE || width * height > MAX_CANVAS_PIXELS) {
    throw new BackendError(`the image is ${width} x ${height}; a canvas has ${MAX_CANVAS_SIDE} a side at most`);
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/**
 * Paints what a Client tells of one image. Pixels of an image with an ICC profile go through the browser's own colour
 * management, as PNG files of some rows that carry the profile.
 */
export class CanvasPainter {
  #turn = Promise.resolve();

  /** signal: when it is aborted, nothing more is painted, and `finish` rejects with its reason. */
  constructor(canvas, image, signal) {
    Object.assign(this, { canvas, image, signal });
    this.orientation = orientationOf(image.exif);
    resize(canvas, uprightSize(image, this.orientation));
    this.context = canvas.getContext("2d");
    if (!this.context) throw new BackendError("a canvas cannot be had");
    this.isPlain = this.orientation === 1 && !image.icc;
  }

  /** Pixels that stand for the whole image, until it is there. */
  preview({ width, height, rgba }) {
    this.#draw(rgba, width, height, (bitmap) => {
      this.context.drawImage(bitmap, 0, 0, this.image.width, this.image.height);
    });
  }

  rows(top, rows, rgba) {
    const { width } = this.image;
    if (this.isPlain) {
      this.#then(() => this.context.putImageData(new ImageData(rgba, width, rows), 0, top));
      return;
    }
    this.#draw(rgba, width, rows, (bitmap) => {
      this.context.clearRect(0, top, width, rows); // the preview, where the image is not opaque
      this.context.drawImage(bitmap, 0, top);
    });
  }

  /** When all that was told is on the canvas. */
  finish() {
    return this.#turn;
  }

  #draw(rgba, width, height, paint) {
    this.#then(async () => {
      const bitmap = await this.#bitmap(rgba, width, height);
      this.signal.throwIfAborted(); // the canvas is another image's
      this.context.setTransform(...transformOf(this.orientation, this.image.width, this.image.height));
      paint(bitmap);
      this.context.resetTransform();
      bitmap.close();
    });
  }

  #bitmap(rgba, width, height) {
    const { icc, mode } = this.image;
    const source = icc ? wrapPng({ width, height, mode, icc }, rgba) : new ImageData(rgba, width, height);
    return createImageBitmap(source).catch((error) => {
      throw new BackendError(`rows of the image cannot be painted (${error.message})`);
    });
  }

  #then(work) {
    this.#turn = this.#turn.then(() => {
      this.signal.throwIfAborted();
      return work();
    });
    this.#turn.catch(() => {}); // told by `finish`
  }
}
