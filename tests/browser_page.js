// What the tests of the browser decoder call, in their page.
import { Client, VaecImage, Weights } from "./vaecodec.js";
const base = new URL("vaecodec.js", location.href);
const startWorker = () => new Worker(base, { type: "module", name: "vaecodec" });
window.client = new Client(new Weights(new URL("weights/", base)), startWorker);
window.toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};
window.bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
/** The integers of a file; int8 and int32 in base64. */
window.integers = async (name) => {
  const { zHat, r, ...rest } = await client.latents(await bytesOf(name));
  return { ...rest, z: toBase64(new Uint8Array(Int8Array.from(zHat).buffer)), r: toBase64(new Uint8Array(r.buffer)) };
};
/** {error} or {image, rgba in base64, preview}. */
window.decoded = async (name, options = {}) => {
  const found = { image: null, preview: null };
  const bands = [];
  const on = {
    start: ({ icc, exif, ...image }) => (found.image = image),
    preview: ({ width, height }) => (found.preview = [width, height]),
    rows: (top, rows, rgba) => bands.push(rgba),
  };
  try {
    await client.decode(await bytesOf(name), { on, ...options });
  } catch (error) {
    return { error: error.name, message: error.message };
  }
  const rgba = new Uint8Array(bands.reduce((sum, band) => sum + band.length, 0));
  let at = 0;
  for (const band of bands) {
    rgba.set(band, at);
    at += band.length;
  }
  return { ...found, rgba: toBase64(rgba) };
};
/** {file in base64} or {error} of an image {width, height}, its RGBA under a name; `progress`: the parts told. */
window.encoded = async (name, { width, height, ...options }) => {
  const progress = [];
  const on = { progress: (part) => progress.push(part) };
  try {
    const file = await client.encode({ width, height, rgba: await bytesOf(name) }, { on, ...options });
    return { file: toBase64(file), progress };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
};
/** The events of a new element, until "load" or "error", and the element as window.element. */
window.shown = (attributes) => new Promise((resolve) => {
  const element = document.createElement("vaec-image");
  const events = [];
  for (const type of ["header", "preview", "progress", "load", "error"]) {
    element.addEventListener(type, ({ detail }) => {
      const { naturalWidth, naturalHeight } = element;
      if (type !== "progress") events.push({ type, error: detail?.name ?? null, size: [naturalWidth, naturalHeight] });
      if (type === "load" || type === "error") resolve(events);
    });
  }
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  window.element = element;
  document.body.append(element);
});
window.onCanvas = () => {
  const canvas = element.shadowRoot.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return { size: [canvas.width, canvas.height], rgba: toBase64(new Uint8Array(data.buffer)) };
};
window.png = async (src) => {
  await shown({ src });
  return toBase64(new Uint8Array(await (await element.toBlob()).arrayBuffer()));
};
