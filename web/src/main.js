// What a built script does when it is loaded: be a worker, or make <vaec-image> known.
import { addEmbeddedWeights, define, showEmbeddedFiles, VaecImage } from "./element.js";
import { serve } from "./worker.js";

/** base: the URL of the script or page; beside it lies weights/. */
export function start(base) {
  if (globalThis.document) {
    VaecImage.base = base;
    define();
    addEmbeddedWeights();
    showEmbeddedFiles();
  } else if (globalThis.name === "vaecodec") {
    serve(globalThis);
  }
}
