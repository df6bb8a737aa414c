// The controls of an image that this page encodes: quality, model, what it weighs, saving.
import { DEFAULT_MODEL, DEFAULT_QUALITY } from "./encoder.js";

const MIME = "image/x-vaec";
const UNITS = [[1e6, "MB"], [1e3, "kB"], [1, "bytes"]];

/** The part #encoding of the page viewer.html. */
export class EncodingPanel {
  /** models: names of those that the page can encode with. on: change(), compare(). */
  constructor(page, models, { change, compare }) {
    this.page = page;
    for (const name of models) this.#get("model").append(new Option(name, name));
    this.#get("model").value = models.includes(DEFAULT_MODEL) ? DEFAULT_MODEL : models[0];
    this.#get("quality").value = DEFAULT_QUALITY;
    this.#get("model-label").hidden = models.length < 2;
    const quality = this.#get("quality");
    quality.addEventListener("input", () => (this.#get("quality-now").textContent = quality.value));
    for (const element of [quality, this.#get("model")]) element.addEventListener("change", change);
    this.#get("original").addEventListener("click", compare);
    this.#get("save-vaec").addEventListener("click", () => this.save());
  }

  #get(id) {
    return this.page.getElementById(id);
  }

  /** Only what differs: a screen reader reads it out. */
  #write(id, text) {
    if (this.#get(id).textContent !== text) this.#get(id).textContent = text;
  }

  /** What is chosen now. */
  read() {
    return { quality: Number(this.#get("quality").value), model: this.#get("model").value };
  }

  /** Show the state of an image; null: of none. source: size, choice, busy; comparing: whether the original is seen. */
  show(image) {
    this.image = image;
    this.#get("encoding").hidden = !image;
    if (!image) return;
    const { source, bytes, comparing } = image;
    this.#get("quality").value = source.choice.quality;
    this.#get("quality-now").textContent = source.choice.quality;
    this.#get("model").value = source.choice.model;
    this.#write("before", sizeText(source.size));
    this.#write("after", source.busy || !bytes ? "…" : sizeText(bytes.length));
    this.#write("change", source.busy || !bytes ? "" : changeText(source.size, bytes.length));
    this.#get("original").setAttribute("aria-pressed", String(comparing));
    this.#get("original").disabled = !bytes;
    this.#get("save-vaec").disabled = source.busy || !bytes;
  }

  /** Offer the file. */
  save() {
    const { name, bytes } = this.image;
    offer(this.page, `${stem(name)}.vaec`, new Blob([bytes], { type: MIME }));
  }
}

/** A name without its last suffix. */
export function stem(name) {
  return name.replace(/^(.+)\.\w+$/, "$1");
}

/** Let the browser save a blob under a name. */
export function offer(page, name, blob) {
  const link = page.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function sizeText(bytes) {
  const [unit, name] = UNITS.find(([least]) => bytes >= least) ?? UNITS[2];
  return `${(bytes / unit).toFixed(unit > 1 && bytes < 100 * unit ? 1 : 0)} ${name}`;
}

function changeText(before, after) {
  const percent = Math.round(100 * (after / before - 1));
  return `${percent > 0 ? "+" : percent < 0 ? "−" : "±"}${Math.abs(percent)} %`;
}
