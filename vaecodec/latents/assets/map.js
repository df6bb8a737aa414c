"use strict";
// An image is [x, y, width and height on the sheet, name, width, height, numbers of neighbours, address].
const { tile, columns, images } = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("map"), label = document.getElementById("label");
const details = document.getElementById("details"), find = document.getElementById("find");
const sheet = document.getElementById("sheet"), context = canvas.getContext("2d");
const LEAST_EDGE = 40, MOST_ZOOM = 80;
let zoom = 1, left = 0, top_ = 0, chosen = -1, hovered = -1, isPending = false;

// The size at which images are drawn; the edge that holds the half of one at zoom 1; and the pixels of the canvas that the
// map's side 0..1 takes there.
const size = (at = zoom) => Math.min(tile * 1.5, 0.8 * Math.sqrt(canvas.clientWidth * canvas.clientHeight / images.length) * Math.pow(at, 0.7) + 4);
const edge = () => Math.max(LEAST_EDGE, size(1) / 2 + 2);
const span = () => [canvas.clientWidth - 2 * edge(), canvas.clientHeight - 2 * edge()];
const place = image => [edge() + (image[0] - left) * zoom * span()[0], edge() + (image[1] - top_) * zoom * span()[1]];
const wanted = () => find.value.trim().toLowerCase();
const isWanted = image => image[4].toLowerCase().includes(wanted());

function draw() {
  isPending = false;
  if (!levels.length) return;
  const ratio = devicePixelRatio || 1, side = size();
  if (canvas.width !== Math.round(canvas.clientWidth * ratio) || canvas.height !== Math.round(canvas.clientHeight * ratio)) {
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const near = chosen < 0 ? [] : images[chosen][7];
  for (let number = 0; number < images.length; number++) {
    const image = images[number], [x, y] = place(image);
    if (x < -side || y < -side || x > canvas.clientWidth + side || y > canvas.clientHeight + side) continue;
    context.globalAlpha = isWanted(image) ? 1 : 0.08;
    paint(context, number, x, y, side);
  }
  context.globalAlpha = 1;
  for (const number of [...near, chosen, hovered]) if (number >= 0) mark(number, side);
}

// The sheet and its halves: an image is drawn from the smallest that is no smaller than what is drawn.
const levels = [];
function makeLevels() {
  let source = sheet, width = sheet.naturalWidth, height = sheet.naturalHeight;
  for (let own = tile; own >= 6; own /= 2, width /= 2, height /= 2) {
    const level = document.createElement("canvas");
    level.width = width;
    level.height = height;
    const scaled = level.getContext("2d");
    scaled.imageSmoothingQuality = "high";
    scaled.drawImage(source, 0, 0, width, height);
    levels.push(source = level);
    if (own % 2) break;
  }
}

function paint(target, number, x, y, side) {
  const image = images[number], factor = side / Math.max(image[2], image[3]);
  const width = image[2] * factor, height = image[3] * factor;
  let level = 0, part = 1;
  while (level + 1 < levels.length && tile * part / 2 >= side) { level++; part /= 2; }
  target.drawImage(levels[level], number % columns * tile * part, Math.floor(number / columns) * tile * part,
    image[2] * part, image[3] * part, x - width / 2, y - height / 2, width, height);
}

function mark(number, side) {
  const image = images[number], [x, y] = place(image), larger = number === chosen || number === hovered ? Math.max(side, 56) : side;
  const factor = larger / Math.max(image[2], image[3]), width = image[2] * factor, height = image[3] * factor;
  paint(context, number, x, y, larger);
  context.strokeStyle = getComputedStyle(document.body).getPropertyValue("color");
  if (number !== hovered) context.strokeStyle = number === chosen ? "#ff7a1a" : "#3d8fe0";
  context.lineWidth = 3;
  context.strokeRect(x - width / 2, y - height / 2, width, height);
}

function later() {
  if (!isPending) { isPending = true; requestAnimationFrame(draw); }
}

// The image at a place; with a larger reach the one that is nearest to it.
function at(x, y, reach = size() / 2) {
  let best = -1, nearest = Infinity;
  images.forEach((image, number) => {
    const [px, py] = place(image), distance = Math.max(Math.abs(px - x), Math.abs(py - y));
    if (distance <= reach && distance < nearest) { best = number; nearest = distance; }
  });
  return best;
}

function zoomAt(x, y, factor) {
  const next = Math.min(MOST_ZOOM, Math.max(1, zoom * factor)), [width, height] = span();
  left += (x - edge()) / width * (1 / zoom - 1 / next);
  top_ += (y - edge()) / height * (1 / zoom - 1 / next);
  zoom = next;
  keep();
}

function keep() {
  const most = 1 - 1 / zoom;
  left = Math.min(most + 0.2 / zoom, Math.max(-0.2 / zoom, left));
  top_ = Math.min(most + 0.2 / zoom, Math.max(-0.2 / zoom, top_));
  if (zoom === 1) left = top_ = 0;
  later();
}

// Without a mouse: the image in the middle of what is seen, and the next one with what is searched for in its name.
const middle = () => [canvas.clientWidth / 2, canvas.clientHeight / 2];
const nearest = () => at(...middle(), Infinity);

function chooseFound() {
  const found = images.map((image, number) => number).filter(number => isWanted(images[number]));
  if (!wanted() || !found.length) return;
  choose(found.find(number => number > chosen) ?? found[0]);
  const [x, y] = place(images[chosen]);
  if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
    [left, top_] = images[chosen].slice(0, 2).map(part => part - 0.5 / zoom);
    keep();
  }
}

function choose(number) {
  chosen = number;
  details.replaceChildren();
  if (number < 0) return later();
  const image = images[number], name = document.createElement("p"), facts = document.createElement("p"), link = document.createElement("a");
  link.href = image[8];
  link.textContent = image[4];
  name.append(link);
  facts.textContent = `${image[5]} x ${image[6]} pixels. Nearest in latent space:`;
  const near = document.createElement("div");
  near.className = "near";
  for (const other of image[7]) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = images[other][4];
    button.setAttribute("aria-label", images[other][4]);
    button.append(picture(other, 52));
    button.addEventListener("click", () => choose(other));
    near.append(button);
  }
  details.append(picture(number, 220), name, facts, near);
  details.scrollTop = 0;
  later();
}

function picture(number, side) {
  const image = images[number], factor = side / Math.max(image[2], image[3]), own = document.createElement("canvas");
  own.width = Math.max(1, Math.round(image[2] * factor));
  own.height = Math.max(1, Math.round(image[3] * factor));
  own.setAttribute("role", "img");
  own.setAttribute("aria-label", image[4]);
  paint(own.getContext("2d"), number, own.width / 2, own.height / 2, side);
  return own;
}

function hover(number, x, y) {
  if (number !== hovered) { hovered = number; later(); }
  label.hidden = number < 0;
  if (number < 0) return;
  label.textContent = images[number][4].split(/[\\/]/).pop();
  label.style.left = `${Math.min(x + 14, canvas.clientWidth - label.offsetWidth - 8)}px`;
  label.style.top = `${Math.min(y + 14, canvas.clientHeight - label.offsetHeight - 8)}px`;
}

const pointers = new Map();
let moved = 0;
canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  if (pointers.size === 1) moved = 0;
});
canvas.addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
  if (!before) return hover(event.pointerType === "mouse" ? at(...now) : -1, ...now);
  const other = [...pointers].find(([id]) => id !== event.pointerId);
  pointers.set(event.pointerId, now);
  moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
  if (other) {
    const [x, y] = other[1];
    zoomAt((x + now[0]) / 2, (y + now[1]) / 2, Math.hypot(now[0] - x, now[1] - y) / Math.max(1, Math.hypot(before[0] - x, before[1] - y)));
  } else {
    left -= (now[0] - before[0]) / (zoom * span()[0]);
    top_ -= (now[1] - before[1]) / (zoom * span()[1]);
    keep();
  }
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, event => {
  if (kind === "pointerup" && pointers.size === 1 && moved < 8) choose(at(event.offsetX, event.offsetY));
  pointers.delete(event.pointerId);
});
canvas.addEventListener("pointerleave", () => hover(-1, 0, 0));
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
}, { passive: false });
canvas.addEventListener("keydown", event => {
  const step = 0.1 / zoom, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
  if (factor) zoomAt(...middle(), factor);
  else if (moves[event.key]) { left += moves[event.key][0]; top_ += moves[event.key][1]; keep(); }
  else if (event.key === "Enter" || event.key === " ") choose(nearest());
  else if (event.key === "Escape") choose(-1);
  else return;
  if (factor || moves[event.key]) hover(nearest(), ...middle());
  event.preventDefault();
});
document.getElementById("whole").addEventListener("click", () => { zoom = 1; left = top_ = 0; later(); });
find.addEventListener("input", later);
find.addEventListener("keydown", event => event.key === "Enter" && chooseFound());
canvas.addEventListener("blur", () => hover(-1, 0, 0));
new ResizeObserver(later).observe(canvas);
sheet.decode().then(() => { makeLevels(); draw(); });
