// The side of the worker: one image at a time; while it decodes it tells what it has, row by row.
import { fromCompressed } from "./base64.js";
import { compileKernel, decode, decodeLatents, Models } from "./decoder.js";
import { encode, Encoders } from "./encoder.js";
import { packError, unpackError } from "./errors.js";
import { KERNEL, KERNEL_FUSED } from "./kernel_bytes.js";

/** What a model may keep of the memory of its last image. */
const KEPT_BYTES = 96 * 2 ** 20;

/** Answer the messages of a `Client` (client.js). scope: the worker's own. */
export function serve(scope) {
  const asked = new Map();
  const find = (key) =>
    new Promise((resolve, reject) => {
      asked.set(key, { resolve, reject });
      scope.postMessage({ type: "weights", key });
    });
  const loaded = compiledKernel().then((module) => {
    const models = new Models(module, ({ modelId, modelHash }) => find(`${modelId}-${modelHash}`));
    return { models, encoders: new Encoders(models, find) };
  });
  loaded.catch(() => {}); // told to whoever asks for an image
  scope.onmessage = async ({ data: message }) => {
    if (message.type === "weights") {
      const { resolve, reject } = asked.get(message.key);
      if (message.error) reject(unpackError(message.error));
      else resolve(message.bytes);
      return;
    }
    try {
      const send = (type, content, transfer = []) => scope.postMessage({ type, id: message.id, ...content }, transfer);
      send("done", { result: await run(message, await loaded, send) });
    } catch (error) {
      scope.postMessage({ type: "error", id: message.id, error: packError(error) });
    }
  };
}

async function run(message, { models, encoders }, send) {
  try {
    return await JOBS[message.type](message, { models, encoders, send });
  } finally {
    models.trim(KEPT_BYTES); // after errors, too: those of memory come from the largest images
    encoders.trim();
  }
}

async function compiledKernel() {
  return compileKernel({ plain: await fromCompressed(KERNEL), fused: await fromCompressed(KERNEL_FUSED) });
}

/** What a message asks for; what they give is the result of the job. */
const JOBS = {
  latents: ({ data, maxPixels }, { models }) =>
    decodeLatents(new Uint8Array(data), { loadModel: (file) => models.load(file), maxPixels }),

  decode: ({ data, maxPixels, preview }, { models, send }) =>
    decode(new Uint8Array(data), {
      loadModel: (file) => models.load(file),
      maxPixels,
      preview,
      sink: {
        start: (image) => send("start", { image }),
        preview: (image) => send("preview", { image }, [image.rgba.buffer]),
        rows: (top, rows, rgba) => send("rows", { top, rows, rgba }, [rgba.buffer]),
        progress: (part) => send("progress", { part }),
      },
    }),

  encode: async ({ data, width, height, level, key }, { encoders, send }) => {
    const progress = (part) => send("progress", { part });
    return encode({ width, height, rgba: new Uint8Array(data) }, { loaded: await encoders.load(key), level, progress });
  },
};
