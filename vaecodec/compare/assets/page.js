"use strict";
// Everything is in this file and in the JSON before it; nothing is fetched.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Lines: each has a contrast of 3:1 or more with the card behind it, light and dark.
const PALETTE = ["#0072b2", "#009e73", "#cc5fa0", "#8f7cc4", "#8a8a00", "#1f8fb3", "#9d7a54", "#6f8091"];
const OWN = ["#d55e00", "#e0218a", "#b77b00"];
const colours = new Map();
function colourOf(name) {
  if (!colours.has(name)) {
    const own = name.startsWith("vaecodec");
    const used = [...colours.keys()].filter((other) => other.startsWith("vaecodec") === own).length;
    const list = own ? OWN : PALETTE;
    colours.set(name, list[used % list.length]);
  }
  return colours.get(name);
}
DATA.charts.forEach((chart) => chart.curves.forEach((curve) => curve.published || colourOf(curve.name)));

// ---------------------------------------------------------------- state
const state = { scene: 0, left: 0, right: 1, split: 0.5, zoom: 1, x: 0.5, y: 0.5, show: "picture", layout: "slider" };
const scene = () => DATA.scenes[state.scene];
const stage = $("stage"), handle = $("handle");
const panes = { left: $("pane-left"), right: $("pane-right") };

const bytesText = (bytes) => bytes >= 1e6 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e3).toFixed(1)} kB`;
const percent = (ratio) => {
  const amount = Math.abs(100 * ratio).toFixed(1);
  return `${amount === "0.0" ? "" : ratio < 0 ? "−" : "+"}${amount} %`;
};
const db = (value) => value === null ? "lossless" : `${value.toFixed(2)} dB`;

// ---------------------------------------------------------------- maps
// Nine stops of matplotlib's inferno (errors) and viridis (bits), both even to the eye and safe for colour-blind readers.
const MAPS = {
  error: { stops: ["000004", "210c4a", "57106e", "8a226a", "bc3754", "e45a31", "f98e09", "f9cb35", "fcffa4"], text: "Error, gray levels (RMS of 8 × 8 pixels)" },
  bits: { stops: ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"], text: "Bits per pixel (16 × 16 blocks)" },
};
const rgb = (hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
function lookup(stops) {
  const table = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = i / 255 * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    const from = rgb(stops[low]), to = rgb(stops[low + 1]);
    for (let c = 0; c < 3; c++) table[3 * i + c] = from[c] + (at - low) * (to[c] - from[c]);
  }
  return table;
}
for (const map of Object.values(MAPS)) map.table = lookup(map.stops);

// One scale for all codecs of a picture, or the maps could not be compared.
const scaleOf = (kind) => Math.max(...scene().versions.map((v) => v[kind] ? v[kind].max : 0), 1e-9);

function drawMap(canvas, version, kind) {
  const map = kind === "picture" ? null : version[kind];
  canvas.hidden = !map;
  if (!map) return false;
  const values = Uint8Array.from(atob(map.values), (c) => c.charCodeAt(0));
  canvas.width = map.columns;
  canvas.height = map.rows;
  // The last row and column of blocks may reach over the picture's edge.
  canvas.style.width = `${100 * map.columns * map.block / scene().width}%`;
  canvas.style.height = `${100 * map.rows * map.block / scene().height}%`;
  const context = canvas.getContext("2d"), image = context.createImageData(map.columns, map.rows);
  const gain = map.max / scaleOf(kind), table = MAPS[kind].table;
  values.forEach((value, i) => {
    const step = 3 * Math.round(clamp(value * gain, 0, 255));
    image.data.set([table[step], table[step + 1], table[step + 2], 205], 4 * i);
  });
  context.putImageData(image, 0, 0);
  return true;
}

// ---------------------------------------------------------------- the stage
const paneWidth = () => stage.clientWidth / (state.layout === "both" ? 2 : 1);
const fitScale = () => Math.min(paneWidth() / scene().width, stage.clientHeight / scene().height);
const scaleNow = () => fitScale() * state.zoom;

function place() {
  const { width, height } = scene(), scale = scaleNow(), paneW = paneWidth(), paneH = stage.clientHeight;
  const limit = (centre, size, pane) => size * scale <= pane ? 0.5 : clamp(centre, pane / 2 / (size * scale), 1 - pane / 2 / (size * scale));
  state.x = limit(state.x, width, paneW);
  state.y = limit(state.y, height, paneH);
  const left = paneW / 2 - state.x * width * scale, top = paneH / 2 - state.y * height * scale;
  for (const pane of Object.values(panes)) {
    const world = pane.firstElementChild;
    world.style.width = `${width}px`;
    world.style.height = `${height}px`;
    world.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    pane.classList.toggle("sharp", scale * devicePixelRatio >= 2.5);
  }
  // The slider runs over the picture, not over the empty margins beside it.
  const from = Math.max(left, 0), to = Math.min(left + width * scale, paneW);
  const at = from + state.split * (to - from);
  panes.right.style.clipPath = state.layout === "slider" ? `inset(0 0 0 ${at}px)` : "";
  panes.left.style.clipPath = state.layout === "slider" ? `inset(0 ${paneW - at}px 0 0)` : "";
  handle.style.left = `${at}px`;
  handle.setAttribute("aria-valuenow", Math.round(100 * state.split));
  stage.classList.toggle("zoomed", state.zoom > 1.001);
  stage.classList.toggle("both", state.layout === "both");
  $("zoom").textContent = state.zoom > 1.001 ? `${Math.round(100 * scale * devicePixelRatio)} %` : "fit";
  return { from, to };
}

function fillPane(side) {
  const version = scene().versions[state[side]], pane = panes[side], image = pane.querySelector("img");
  if (image.getAttribute("src") !== version.src) image.src = version.src;
  image.alt = `${scene().name}, ${version.title}`;
  pane.classList.toggle("map", drawMap(pane.querySelector("canvas"), version, state.show));
  const chip = $(`chip-${side}`), strong = document.createElement("b");
  strong.textContent = version.title;
  chip.replaceChildren(strong, document.createTextNode(chipText(version)));
}

function chipText(version) {
  if (version.bytes === undefined) return `${scene().width} × ${scene().height}`;
  if (state.show === "bits" && !version.bits) return "does not tell where its bits go";
  return `${bytesText(version.bytes)} · ${db(version.psnr)}`;
}

function show() {
  fillPane("left");
  fillPane("right");
  const kind = state.show, versions = scene().versions;
  $("legend").hidden = kind === "picture";
  if (kind !== "picture") {
    $("legend-text").textContent = MAPS[kind].text;
    $("legend-max").textContent = scaleOf(kind).toFixed(kind === "bits" ? 2 : 1);
    $("legend-bar").style.background = `linear-gradient(90deg, ${MAPS[kind].stops.map((s) => "#" + s).join(",")})`;
  }
  document.querySelectorAll("[data-show]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.show === kind));
  document.querySelectorAll("[data-layout]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.layout === state.layout));
  $("left").value = state.left;
  $("right").value = state.right;
  const [a, b] = [versions[state.left], versions[state.right]];
  $("truth").textContent = a.copy === b.copy ? `Both: ${a.copy}.` : `${a.title}: ${a.copy}. ${b.title}: ${b.copy}.`;
  document.querySelectorAll("#table tbody tr").forEach((row) => row.classList.toggle("chosen", +row.dataset.version === state.right));
  place();
}

function choose(side, index) {
  if (index < 0 || index >= scene().versions.length) return;
  state[side] = index;
  const version = scene().versions[index];
  $("live").textContent = `${side}: ${version.title}, ${chipText(version)}`;
  show();
}

function zoomTo(zoom, clientX, clientY) {
  // What is under the pointer stays under it.
  const box = stage.getBoundingClientRect(), before = scaleNow();
  let dx = clientX === undefined ? 0 : (clientX - box.left) % paneWidth() - paneWidth() / 2;
  let dy = clientY === undefined ? 0 : clientY - box.top - stage.clientHeight / 2;
  state.zoom = clamp(zoom, 1, Math.max(1, 16 / fitScale()));
  const after = scaleNow();
  state.x += dx * (1 / before - 1 / after) / scene().width;
  state.y += dy * (1 / before - 1 / after) / scene().height;
  place();
}

function pan(dx, dy) {
  state.x -= dx / (scaleNow() * scene().width);
  state.y -= dy / (scaleNow() * scene().height);
  place();
}

function splitAt(clientX) {
  const { from, to } = place();
  state.split = clamp((clientX - stage.getBoundingClientRect().left - from) / (to - from), 0, 1);
  place();
}

// Pointers: one drags the slider, or the picture when it is zoomed; two pinch.
const pointers = new Map();
let dragging = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  stage.setPointerCapture(event.pointerId);
  const onHandle = handle.contains(event.target);
  const slides = state.layout === "slider" && (onHandle || state.zoom <= 1.001);
  dragging = pointers.size > 1 ? "pinch" : slides ? "split" : "pan";
  stage.classList.toggle("moving", dragging === "pan");
  if (dragging === "split") splitAt(event.clientX);
  if (onHandle) handle.focus({ preventScroll: true });
});
stage.addEventListener("pointermove", (event) => {
  const old = pointers.get(event.pointerId);
  if (!old) return;
  const now = { x: event.clientX, y: event.clientY };
  if (dragging === "split") splitAt(now.x);
  if (dragging === "pan") pan(now.x - old.x, now.y - old.y);
  if (dragging === "pinch") {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const span = (p) => Math.hypot(p.x - other.x, p.y - other.y);
    zoomTo(state.zoom * span(now) / Math.max(span(old), 1), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }
  pointers.set(event.pointerId, now);
});
for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    dragging = pointers.size ? "pan" : null;
    stage.classList.remove("moving");
  });
}
// The wheel scrolls the page, unless the reader zooms on purpose or has zoomed already.
stage.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && state.zoom <= 1.001 && document.activeElement !== stage) return;
  event.preventDefault();
  zoomTo(state.zoom * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
}, { passive: false });
stage.addEventListener("dblclick", (event) => zoomTo(state.zoom > 1.001 ? 1 : 1 / fitScale() * 2, event.clientX, event.clientY));

// ---------------------------------------------------------------- keys
const KEYS = {
  "+": () => zoomTo(state.zoom * 1.4), "=": () => zoomTo(state.zoom * 1.4), "-": () => zoomTo(state.zoom / 1.4), "0": () => zoomTo(1),
  p: () => set("show", "picture"), e: () => set("show", "error"), b: () => set("show", "bits"),
  s: () => set("layout", "slider"), d: () => set("layout", "both"), x: swap, n: () => open((state.scene + 1) % DATA.scenes.length),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, #chart")) return;
  const digit = /^Digit([1-9])$/.exec(event.code), arrow = ARROWS[event.key], onStage = stage.contains(document.activeElement);
  if (arrow && onStage) moveByKey(arrow, event.shiftKey);
  else if (event.key === "Home" && onStage) { state.split = 0; place(); }
  else if (event.key === "End" && onStage) { state.split = 1; place(); }
  else if (digit) choose(event.shiftKey ? "left" : "right", +digit[1] - 1);
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});
function moveByKey([dx, dy], shift) {
  if (shift || dy || state.layout === "both") return pan(-60 * dx, -60 * dy);
  state.split = clamp(state.split + 0.02 * dx, 0, 1);
  place();
}
function set(field, value) {
  if (field === "show" && !DATA.scenes.some((s) => s.versions.some((v) => value === "picture" || v[value]))) return;
  state[field] = value;
  show();
}
function swap() {
  [state.left, state.right] = [state.right, state.left];
  show();
}

// ---------------------------------------------------------------- table
function cell(row, text, best) {
  const td = row.insertCell();
  td.className = best ? "n best" : "n";
  td.append(text);
  return td;
}
function fillTable() {
  const body = document.querySelector("#table tbody"), coded = scene().versions.filter((v) => v.bytes !== undefined);
  const top = (field) => Math.max(...coded.map((v) => v[field] === null ? (field === "psnr" ? Infinity : -1) : v[field]));
  const [bestPsnr, bestSsim] = [top("psnr"), top("msssim")];
  body.replaceChildren();
  coded.forEach((version) => {
    const index = scene().versions.indexOf(version), row = body.insertRow(), head = document.createElement("th"), button = document.createElement("button");
    row.dataset.version = index;
    head.scope = "row";
    button.type = "button";
    button.textContent = version.title;
    button.style.color = version.name.startsWith("vaecodec") ? "var(--accent)" : "";
    head.append(button);
    row.append(head);
    row.addEventListener("click", () => choose("right", index));
    const size = cell(row, `${version.bytes.toLocaleString("en")} `), apart = document.createElement(version.matched ? "small" : "span");
    apart.textContent = percent(version.deviation);
    apart.className = version.matched ? "" : "off";
    apart.title = version.matched ? "" : "this codec's steps are too coarse to match the size within 2 %";
    size.append(apart);
    cell(row, version.bpp.toFixed(3));
    cell(row, version.psnr === null ? "lossless" : version.psnr.toFixed(2), (version.psnr ?? Infinity) === bestPsnr);
    cell(row, version.msssim === null ? "–" : version.msssim.toFixed(4), version.msssim !== null && version.msssim === bestSsim);
    cell(row, version.encode.toFixed(3));
    cell(row, version.decode.toFixed(3));
    row.insertCell().textContent = version.setting;
    const names = document.querySelectorAll("#table thead th");
    [...row.cells].forEach((one, place) => { one.dataset.label = names[place].textContent; }); // a phone shows them
  });
  $("failures").textContent = scene().failures.join(" · ");
  $("failures").hidden = !scene().failures.length;
}

// ---------------------------------------------------------------- chart
const SVG = "http://www.w3.org/2000/svg";
const svg = $("chart"), tip = $("tip");
const chart = { metric: null, hidden: new Set(), spots: [], at: -1 };
function node(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}
const chartNow = () => DATA.charts.find((c) => c.name === scene().name) || DATA.charts[0];
const curveColour = (curve) => curve.published ? "var(--soft)" : colourOf(curve.name);
const DASHES = ["6 4", "2 3", "9 3 2 3", "12 4", "4 2", "2 6", "8 2 2 2 2 2"];

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) found.push(+v.toFixed(6));
  return found;
}

function drawChart() {
  const data = chartNow();
  $("chart-card").hidden = !data;
  if (!data) return;
  const metrics = [...new Set(data.curves.flatMap((c) => Object.keys(c.points).filter((m) => c.points[m].length)))];
  if (!metrics.includes(chart.metric)) chart.metric = metrics[0];
  buttons($("metrics"), metrics, chart.metric, (m) => { chart.metric = m; drawChart(); });
  $("chart-name").textContent = `${data.name} · bits per pixel of whole files · dashed curves are published numbers, not measured here`
    .replace(data.curves.some((c) => c.published) ? "" : " · dashed curves are published numbers, not measured here", "");
  const wide = Math.max(svg.parentElement.clientWidth, 300), w = wide, h = clamp(wide * 0.56, 280, 560);
  const edge = { left: 46, right: 14, top: 12, bottom: 40 };
  const curves = data.curves.map((c, i) => ({ ...c, order: i, list: c.points[chart.metric] || [] })).filter((c) => c.list.length);
  const measured = curves.filter((c) => !c.published), basis = measured.length ? measured : curves;
  const highBpp = Math.min(Math.max(...basis.flatMap((c) => c.list.map((p) => p[0]))), 2.5);
  const inside = curves.map((c) => ({ ...c, list: c.list.filter((p) => p[0] <= highBpp * 1.001) })).filter((c) => c.list.length);
  const values = inside.filter((c) => !chart.hidden.has(c.name)).flatMap((c) => c.list.map((p) => p[1]));
  const low = Math.min(...values) - 0.5, high = Math.max(...values) + 0.5;
  const px = (bpp) => edge.left + bpp / highBpp * (w - edge.left - edge.right);
  const py = (value) => h - edge.bottom - (value - low) / (high - low) * (h - edge.top - edge.bottom);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  for (const v of ticks(low, high, 7)) {
    node("line", { class: "grid", x1: edge.left, x2: w - edge.right, y1: py(v), y2: py(v) }, svg);
    node("text", { x: edge.left - 8, y: py(v) + 4, "text-anchor": "end" }, svg).textContent = v;
  }
  for (const v of ticks(0, highBpp, w < 500 ? 4 : 9)) {
    node("line", { class: "grid", x1: px(v), x2: px(v), y1: edge.top, y2: h - edge.bottom }, svg);
    node("text", { x: px(v), y: h - edge.bottom + 18, "text-anchor": "middle" }, svg).textContent = v;
  }
  node("text", { x: w - edge.right, y: h - 6, "text-anchor": "end" }, svg).textContent = "bits per pixel →";
  node("text", { x: edge.left + 6, y: edge.top + 12 }, svg).textContent = `${chart.metric}, dB ↑`;
  chart.spots = [];
  for (const curve of inside.filter((c) => !chart.hidden.has(c.name)).sort((a, b) => b.published - a.published)) {
    const own = curve.name.startsWith("vaecodec"), colour = curveColour(curve);
    const path = node("path", { class: `curve${own ? " own" : ""}${curve.published ? " published" : ""}`, stroke: colour, "data-name": curve.name,
      d: curve.list.map((p, i) => `${i ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("") }, svg);
    if (curve.published) path.style.strokeDasharray = DASHES[curve.order % DASHES.length];
    for (const p of curve.list) {
      if (!curve.published) node("circle", { cx: px(p[0]), cy: py(p[1]), r: own ? 3.4 : 2.6, fill: colour, "data-name": curve.name }, svg);
      chart.spots.push({ x: px(p[0]), y: py(p[1]), curve, bpp: p[0], value: p[1], colour });
    }
  }
  chart.spots.sort((a, b) => a.curve.order - b.curve.order || a.bpp - b.bpp);
  chart.mark = node("circle", { class: "here", r: 6, visibility: "hidden" }, svg);
  chart.size = { w, h };
  drawSeries(curves);
}

function drawSeries(curves) {
  $("series").replaceChildren(...curves.map((curve) => {
    const button = document.createElement("button"), sample = node("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
    const line = node("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: curveColour(curve), "stroke-width": 3 }, sample);
    if (curve.published) line.setAttribute("stroke-dasharray", DASHES[curve.order % DASHES.length]);
    button.type = "button";
    button.append(sample, curve.title);
    button.setAttribute("aria-pressed", !chart.hidden.has(curve.name));
    button.addEventListener("click", () => {
      chart.hidden.has(curve.name) ? chart.hidden.delete(curve.name) : chart.hidden.add(curve.name);
      if (chart.hidden.size >= curves.length) chart.hidden.clear();
      drawChart();
    });
    button.addEventListener("pointerenter", () => dimOthers(curve.name));
    button.addEventListener("pointerleave", () => dimOthers(null));
    return button;
  }));
}
const dimOthers = (name) => svg.querySelectorAll("[data-name]").forEach((n) => n.classList.toggle("dim", name !== null && n.dataset.name !== name));

function showSpot(index) {
  chart.at = index;
  const spot = chart.spots[index];
  tip.hidden = !spot;
  chart.mark.setAttribute("visibility", spot ? "visible" : "hidden");
  dimOthers(spot ? spot.curve.name : null);
  if (!spot) return;
  chart.mark.setAttribute("cx", spot.x);
  chart.mark.setAttribute("cy", spot.y);
  chart.mark.setAttribute("stroke", spot.colour);
  const strong = document.createElement("b");
  strong.textContent = spot.curve.title;
  tip.replaceChildren(strong, document.createElement("br"), `${spot.bpp.toFixed(3)} bpp · ${chart.metric} ${spot.value.toFixed(2)} dB`);
  const ratio = svg.clientWidth / chart.size.w, x = spot.x * ratio, y = spot.y * ratio;
  tip.style.left = `${clamp(x - tip.offsetWidth / 2, 0, Math.max(svg.clientWidth - tip.offsetWidth, 0))}px`;
  tip.style.top = `${y - tip.offsetHeight - 14 < 0 ? y + 14 : y - tip.offsetHeight - 14}px`;
}
svg.addEventListener("pointermove", (event) => {
  const box = svg.getBoundingClientRect(), ratio = chart.size.w / box.width;
  const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
  let best = -1, least = 60 * 60;
  chart.spots.forEach((spot, i) => {
    const distance = (spot.x - x) ** 2 + (spot.y - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  showSpot(best);
});
svg.addEventListener("pointerleave", () => showSpot(-1));
svg.addEventListener("blur", () => showSpot(-1));
svg.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], curveStep = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined && curveStep === undefined) return;
  event.preventDefault();
  let next = chart.at < 0 ? 0 : chart.at + (step || 0);
  if (curveStep && chart.at >= 0) {
    const names = [...new Set(chart.spots.map((s) => s.curve.name))], from = chart.spots[chart.at];
    const name = names[(names.indexOf(from.curve.name) + curveStep + names.length) % names.length];
    const own = chart.spots.map((s, i) => ({ s, i })).filter(({ s }) => s.curve.name === name);
    next = own.reduce((a, b) => Math.abs(b.s.bpp - from.bpp) < Math.abs(a.s.bpp - from.bpp) ? b : a).i;
  }
  showSpot((next + chart.spots.length) % chart.spots.length);
});

// ---------------------------------------------------------------- scenes and start
function buttons(parent, names, chosen, pick) {
  parent.replaceChildren(...names.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-pressed", name === chosen);
    button.addEventListener("click", () => pick(name));
    return button;
  }));
  parent.hidden = names.length < 2;
}

// The stage is no higher than its picture; the style sheet says how high it may be.
function fitStage() {
  stage.style.height = "";
  const ratio = scene().height / scene().width;
  if (stage.clientWidth * ratio < stage.clientHeight) stage.style.height = `${Math.max(stage.clientWidth * ratio, 220)}px`;
}

function open(index) {
  const names = [state.left, state.right].map((i) => scene().versions[i] && scene().versions[i].name);
  state.scene = index;
  // The same two codecs stay on the stage, where this picture has them.
  const found = names.map((name) => scene().versions.findIndex((v) => v.name === name));
  state.left = found[0] < 0 ? 0 : found[0];
  state.right = found[1] < 0 ? Math.min(1, scene().versions.length - 1) : found[1];
  Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 });
  for (const side of ["left", "right"]) {
    $(side).replaceChildren(...scene().versions.map((v, i) => new Option(v.title, i)));
  }
  document.querySelectorAll("#scenes button").forEach((b, i) => b.setAttribute("aria-pressed", i === index));
  fitStage();
  fillTable();
  show();
  drawChart();
}

function start() {
  if (DATA.scenes.length > 1) {
    $("scenes").append(...DATA.scenes.map((one, i) => {
      const button = document.createElement("button"), image = new Image();
      image.src = one.versions[0].src;
      image.alt = "";
      button.type = "button";
      button.append(image, one.name);
      button.addEventListener("click", () => open(i));
      return button;
    }));
  }
  // JPEG against the neural codec is what most readers came for.
  const versions = scene().versions, at = (name) => versions.findIndex((v) => v.name.startsWith(name));
  state.left = Math.max(at("jpeg"), 0);
  state.right = at("vaecodec") > 0 ? at("vaecodec") : Math.min(1, versions.length - 1);
  for (const side of ["left", "right"]) $(side).addEventListener("change", () => choose(side, +$(side).value));
  document.querySelectorAll("[data-show]").forEach((b) => {
    b.disabled = b.dataset.show !== "picture" && !DATA.scenes.some((s) => s.versions.some((v) => v[b.dataset.show]));
    b.addEventListener("click", () => set("show", b.dataset.show));
  });
  document.querySelectorAll("[data-layout]").forEach((b) => b.addEventListener("click", () => set("layout", b.dataset.layout)));
  $("swap").addEventListener("click", swap);
  $("in").addEventListener("click", () => zoomTo(state.zoom * 1.4));
  $("out").addEventListener("click", () => zoomTo(state.zoom / 1.4));
  $("fit").addEventListener("click", () => zoomTo(1));
  const themes = ["", "light", "dark"], words = ["as the system has them", "light", "dark"];
  $("theme").addEventListener("click", () => {
    const next = (themes.indexOf(document.documentElement.dataset.theme || "") + 1) % 3;
    document.documentElement.dataset.theme = themes[next];
    $("theme").setAttribute("aria-label", `Colours: ${words[next]}`);
    $("theme").title = `Colours: ${words[next]}`;
  });
  // In a frame of its own: what it changes is what is observed.
  const arrange = () => requestAnimationFrame(() => { fitStage(); place(); drawChart(); });
  new ResizeObserver(arrange).observe(document.querySelector("main"));
  addEventListener("resize", arrange); // a window of another height: the stage takes a part of it
  open(0);
}
start();
