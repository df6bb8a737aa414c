// The side of the worker: decodes one image at a time and tells what it has, row by row.
import { fromBase64 } from "./base64.js";
import { compileKernel, decode, decodeLatents, Models } from "./decoder.js";
import { packError, unpackError } from "./errors.js";
import { KERNEL, KERNEL_FUSED } from "./kernel_bytes.js";

/** What a model may keep of the memory of its last image. */
const KEPT_BYTES = 96 * 2 ** 20;

/** Answer the messages of a `Client` (client.js). scope: the worker's own. */
export function serve(scope) {
  const asked = new Map();
  const find = (file) =>
    new Promise((resolve, reject) => {
      asked.set(`${file.modelId}-${file.modelHash}`, { resolve, reject });
      scope.postMessage({ type: "weights", modelId: file.modelId, modelHash: file.modelHash });
    });
  const models = compileKernel({ plain: fromBase64(KERNEL), fused: fromBase64(KERNEL_FUSED) }).then(
    (module) => new Models(module, find),
  );
  models.catch(() => {}); // told to whoever asks for an image
  scope.onmessage = async ({ data: message }) => {
    if (message.type === "weights") {
      const { resolve, reject } = asked.get(message.key);
      if (message.error) reject(unpackError(message.error));
      else resolve(message.bytes);
      return;
    }
    try {
      await run(message, await models, scope);
      scope.postMessage({ type: "done", id: message.id });
    } catch (error) {
      scope.postMessage({ type: "error", id: message.id, error: packError(error) });
    }
  };
}

async function run({ type, id, data, maxPixels, preview }, models, scope) {
  const options = { loadModel: (file) => models.load(file), maxPixels };
  const bytes = new Uint8Array(data);
  if (type === "latents") {
    scope.postMessage({ type: "latents", id, latents: await decodeLatents(bytes, options) });
    return;
  }
  const send = (kind, content, transfer = []) => scope.postMessage({ type: kind, id, ...content }, transfer);
  await decode(bytes, {
    ...options,
    preview,
    sink: {
      start: (image) => send("start", { image }),
      preview: (image) => send("preview", { image }, [image.rgba.buffer]),
      rows: (top, rows, rgba) => send("rows", { top, rows, rgba }, [rgba.buffer]),
      progress: (part) => send("progress", { part }),
    },
  });
  models.trim(KEPT_BYTES);
}
