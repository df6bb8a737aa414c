// source.js
async function openSource(file) {
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
function pixelsOf(canvas) {
return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}

// encoding_panel.js
const MIME = "image/x-vaec";
const UNITS = [[1e6, "MB"], [1e3, "kB"], [1, "bytes"]];
class EncodingPanel {
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
#write(id, text) {
if (this.#get(id).textContent !== text) this.#get(id).textContent = text;
}
read() {
return { quality: Number(this.#get("quality").value), model: this.#get("model").value };
}
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
save() {
const { name, bytes } = this.image;
offer(this.page, `${stem(name)}.vaec`, new Blob([bytes], { type: MIME }));
}
}
function stem(name) {
return name.replace(/^(.+)\.\w+$/, "$1");
}
function offer(page, name, blob) {
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

// viewer.js
const STEP = 1.25;
const MOST = 16;
const KEY_MOVE = 60;
const SHARP = 2;
const FIRST_BYTE = 0x8f;
const WEIGHTS = /\.safetensors$/i;
const ENCODED = 0.6;
class Viewer {
#images = [];
#shown = null;
#notice = "";
constructor(page) {
this.page = page;
this.stage = page.getElementById("stage");
this.stage.classList.add("empty-now");
const encoders = page.getElementById("encoders");
this.models = encoders ? JSON.parse(encoders.textContent) : [];
if (this.models.length) {
this.panel = new EncodingPanel(page, this.models, { change: () => this.#encodeAgain(), compare: () => this.compare() });
this.#get("encodes").hidden = false;
this.#get("files").accept += ",image/*";
}
this.#listen();
for (const element of page.querySelectorAll("script[data-vaec-file]")) {
this.add(element.dataset.vaecFile, fromBase64(element.textContent.trim()));
}
if (this.#images.length) this.show(this.#images[0]);
}
#get(id) {
return this.page.getElementById(id);
}
add(name, bytes) {
if (WEIGHTS.test(name)) {
addWeights(bytes);
for (const image of this.#images) if (image.error && image.bytes) image.element.bytes = image.bytes;
return;
}
const image = this.#newImage(name, { bytes });
image.element.bytes = bytes;
}
async addSource(file) {
if (!this.models.length) {
throw new InputError("this is no .vaec file, and this page cannot make one of it: it has no encoder; `vaecodec web` writes a page that has");
}
const canvas = await openSource(file);
canvas.className = "original";
canvas.hidden = true; // until it is the one to be seen
this.stage.append(canvas);
this.#encode(this.#newImage(file.name, { source: { canvas, size: file.size, choice: this.panel.read(), busy: true } }));
}
#newImage(name, more) {
const element = this.page.createElement("vaec-image");
element.alt = name;
element.hidden = true;
const tab = this.page.createElement("button");
tab.type = "button";
const label = this.page.createElement("span");
label.textContent = name;
tab.append(label);
const image = { name, element, tab, bytes: null, source: null, ...more };
Object.assign(image, { file: null, error: null, part: 0, seconds: null, encoded: null, view: null, comparing: false });
tab.addEventListener("click", () => this.show(image));
this.#images.push(image);
this.#get("tabs").append(tab);
this.stage.append(element);
this.#follow(image);
return image;
}
#tell(image, change) {
Object.assign(image, change);
if (image === this.#shown) this.#update();
}
#follow(image) {
const tell = (change) => this.#tell(image, change);
const { element } = image;
const base = image.source ? ENCODED : 0;
let started = performance.now();
element.addEventListener("header", ({ detail }) => {
started = performance.now();
tell({ file: detail, error: null });
});
element.addEventListener("progress", ({ detail }) => tell({ part: base + (1 - base) * detail }));
element.addEventListener("preview", () => tell({}));
element.addEventListener("load", () => tell({ part: 1, seconds: (performance.now() - started) / 1000 }));
element.addEventListener("error", ({ detail }) => tell({ error: detail, part: 1 }));
}
async #encode(image) {
const { source } = image;
source.stop?.abort(new DOMException("other settings were chosen", "AbortError"));
source.stop = new AbortController();
source.busy = true;
const { signal } = source.stop;
const started = performance.now();
this.#tell(image, { part: 0, error: null });
try {
const on = { progress: (part) => this.#tell(image, { part: ENCODED * part }) };
const bytes = await encodeImage(pixelsOf(source.canvas), { ...source.choice, on, signal });
source.busy = false;
this.#tell(image, { bytes, encoded: (performance.now() - started) / 1000, seconds: null });
image.element.bytes = bytes;
} catch (error) {
if (signal.aborted) return; // somebody else goes on
source.busy = false;
this.#tell(image, { error, part: 1 });
}
}
#encodeAgain() {
const image = this.#shown;
if (!image?.source) return;
image.source.choice = this.panel.read();
this.#encode(image);
}
compare() {
const image = this.#shown;
if (image?.source) this.#tell(image, { comparing: !image.comparing });
}
show(image) {
if (this.#shown) for (const element of elementsOf(this.#shown)) element.hidden = true;
this.#shown = image;
this.#notice = "";
for (const { tab } of this.#images) tab.setAttribute("aria-pressed", String(tab === image.tab));
this.#update();
}
#update() {
const { file, error, part, source, element, comparing } = this.#shown;
const seesOriginal = Boolean(source) && (comparing || !element.complete);
this.stage.classList.remove("empty-now");
this.#get("empty").hidden = true;
this.#tellError();
this.#get("progress").hidden = part === 1;
this.#get("progress").value = part;
element.hidden = Boolean(error) || seesOriginal;
if (source) source.canvas.hidden = Boolean(error) || !seesOriginal;
for (const id of ["in", "out", "fit"]) this.#get(id).disabled = (!file && !source) || Boolean(error);
this.#get("save").disabled = !element.complete;
this.panel?.show(source ? this.#shown : null);
this.#place();
this.#tellFacts(file ? facts(this.#shown) : []);
}
#tellFacts(list) {
const line = this.#get("facts");
const elements = list.map((fact) => this.#fact(...fact));
const textOf = (parts) => parts.map((part) => part.textContent).join("\n");
if (textOf(elements) !== textOf([...line.children])) line.replaceChildren(...elements);
}
#fact(label, value) {
const element = this.page.createElement("span");
const strong = this.page.createElement("b");
strong.textContent = value;
element.append(`${label} `, strong);
return element;
}
#isSized() {
return Boolean(this.#shown && sizeOf(this.#shown).width);
}
#fitted() {
const { width, height } = sizeOf(this.#shown);
const { clientWidth, clientHeight } = this.stage;
const scale = Math.min(clientWidth / width, clientHeight / height, 1);
return { scale, x: (clientWidth - scale * width) / 2, y: (clientHeight - scale * height) / 2 };
}
#place() {
const { view } = this.#shown;
if (!sizeOf(this.#shown).width) return;
const { scale, x, y } = view ?? this.#fitted();
for (const element of elementsOf(this.#shown)) element.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
this.stage.classList.toggle("sharp", scale >= SHARP);
this.#get("fit").textContent = view ? `${Math.round(100 * scale)} %` : "fit";
}
zoom(factor, point = { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 }) {
if (!this.#isSized()) return;
const fitted = this.#fitted();
const { scale, x, y } = this.#shown.view ?? fitted;
const next = Math.min(MOST, Math.max(Math.min(fitted.scale, 1) / 2, scale * factor));
const part = next / scale;
this.#shown.view = { scale: next, x: point.x - part * (point.x - x), y: point.y - part * (point.y - y) };
this.#place();
}
fit() {
if (!this.#isSized()) return;
const { view } = this.#shown;
this.#shown.view = null;
if (!view) this.zoom(1 / this.#fitted().scale);
this.#place();
}
move(dx, dy) {
if (!this.#isSized()) return;
const { scale, x, y } = this.#shown.view ?? this.#fitted();
this.#shown.view = { scale, x: x + dx, y: y + dy };
this.#place();
}
async save() {
const { name, element } = this.#shown;
const button = this.#get("save");
button.disabled = true;
try {
offer(this.page, `${stem(name)}.png`, await element.toBlob());
} catch (error) {
this.#tellErrors([`${name} cannot be saved: ${error.message}`]);
} finally {
button.disabled = !this.#shown.element.complete; // another may be shown by now
}
}
async #take(files) {
const before = this.#images.length;
const failures = [];
for (const file of files) {
try {
if (await isOwn(file)) this.add(file.name, new Uint8Array(await file.arrayBuffer()));
else await this.addSource(file);
} catch (error) {
failures.push(`${file.name}: ${error.message}`);
}
}
if (this.#images.length > before) this.show(this.#images[before]);
if (failures.length) this.#tellErrors(failures);
}
#tellErrors(lines) {
this.#notice = lines.join("\n");
this.#get("empty").hidden = true;
this.#tellError();
}
#tellError() {
const { error } = this.#shown ?? {};
const text = [error ? `${error.name}: ${error.message}` : "", this.#notice].filter(Boolean).join("\n");
const element = this.#get("error");
element.hidden = !text;
if (element.textContent !== text) element.textContent = text;
}
#listen() {
const { stage } = this;
this.#get("files").addEventListener("change", ({ target }) => this.#take(target.files));
this.#get("in").addEventListener("click", () => this.zoom(STEP));
this.#get("out").addEventListener("click", () => this.zoom(1 / STEP));
this.#get("fit").addEventListener("click", () => this.fit());
this.#get("save").addEventListener("click", () => this.save());
this.#listenForDrops();
this.#listenForPointers();
this.page.addEventListener("keydown", (event) => this.#key(event));
stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
stage.addEventListener("dblclick", () => this.fit());
new ResizeObserver(() => this.#shown && this.#place()).observe(stage);
}
#listenForDrops() {
const { page, stage } = this;
page.addEventListener("dragover", (event) => {
event.preventDefault();
stage.classList.add("drop");
});
page.addEventListener("dragleave", () => stage.classList.remove("drop"));
page.addEventListener("drop", (event) => {
event.preventDefault();
stage.classList.remove("drop");
this.#take(event.dataTransfer.files);
});
}
#listenForPointers() {
const { stage } = this;
const down = new Map();
const spread = () => {
const [a, b] = [...down.values()];
return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.hypot(a.x - b.x, a.y - b.y) };
};
stage.addEventListener("pointerdown", (event) => {
if (event.button || event.target.closest(".error")) return;
stage.setPointerCapture(event.pointerId);
down.set(event.pointerId, this.#point(event));
stage.classList.add("moving");
});
stage.addEventListener("pointermove", (event) => {
const last = down.get(event.pointerId);
if (!last) return;
const now = this.#point(event);
const before = down.size === 2 ? spread() : null;
down.set(event.pointerId, now);
if (!before) this.move(now.x - last.x, now.y - last.y);
else {
const after = spread();
this.move(after.x - before.x, after.y - before.y);
this.zoom(after.distance / Math.max(1, before.distance), after);
}
});
const up = (event) => {
down.delete(event.pointerId);
if (!down.size) stage.classList.remove("moving");
};
stage.addEventListener("pointerup", up);
stage.addEventListener("pointercancel", up);
}
#point({ clientX, clientY }) {
const { left, top } = this.stage.getBoundingClientRect();
return { x: clientX - left, y: clientY - top };
}
#wheel(event) {
event.preventDefault();
this.zoom(STEP ** (-event.deltaY / (event.deltaMode ? 3 : 100)), this.#point(event));
}
#key(event) {
if (event.target.closest?.("input, select, textarea")) return; // they have keys of their own
if (event.ctrlKey || event.metaKey || event.altKey) return;
const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const actions = { "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP), 0: () => this.fit() };
actions.o = () => this.compare();
actions.s = () => !this.#get("save").disabled && this.save();
if (event.key in moves) this.move(...moves[event.key].map((part) => part * KEY_MOVE));
else if (event.key in actions) actions[event.key]();
else return;
event.preventDefault();
}
}
async function isOwn(file) {
if (WEIGHTS.test(file.name) || /\.vaec$/i.test(file.name)) return true;
return new Uint8Array(await file.slice(0, 1).arrayBuffer())[0] === FIRST_BYTE;
}
function elementsOf({ element, source }) {
return source ? [element, source.canvas] : [element];
}
function sizeOf({ element, source }) {
return source?.canvas ?? { width: element.naturalWidth, height: element.naturalHeight };
}
function facts({ file, bytes, encoded, seconds }) {
const size = bytes.length;
const bpp = (8 * size) / (file.width * file.height);
const list = [["Size", `${file.width} × ${file.height}`], ["Mode", file.mode]];
list.push(["File", `${size.toLocaleString("en")} bytes, ${bpp.toFixed(2)} bits a pixel`]);
list.push(file.isLossless ? ["Coding", "lossless"] : ["Level", `${file.level} of 63, model ${file.modelId}-${file.modelHash}`]);
if (encoded !== null) list.push(["Encoded in", `${encoded.toFixed(2)} s`]);
if (seconds !== null) list.push(["Decoded in", `${seconds.toFixed(2)} s`]);
return list;
}

// viewer_main.js
start(globalThis.document?.baseURI);
if (globalThis.document) new Viewer(document);
