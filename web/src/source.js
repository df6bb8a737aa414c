// Images that the browser itself can open, to be encoded: upright, in sRGB, on a canvas.
import { resize } from "./canvas.js";
import { InputError } from "./errors.js";

/** A canvas with the image of a file, turned as its EXIF says. Throws InputError for what this browser cannot open, BackendError for sizes. */
export async function openSource(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (error) {
    throw new InputError(`this browser cannot open it as an image (${error.message})`);
  }
  try {
    const canvas = document.createElement("canvas");
    resize(canvas, bitmap);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return canvas;
  } finally {
    bitmap.close();
  }
}

/** The pixels of a canvas. Throws BackendError where there is no memory for them. */
export function pixelsOf(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}
