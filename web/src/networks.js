// The float networks of a decoder: vaecodec/runtime/numpy_networks.py in bands of rows, on the kernel.
import { MAX_LEVEL } from "./container.js";
import { WeightsError } from "./errors.js";
import { tensorOf } from "./weights.js";

// vaecodec/networks/config.py; tests/test_web.py holds them equal.
export const BOUNDS = { stream: 64, product: 256, latent: 128, prior: 64 };
const STEPS = 4;
const POSITIONS = [[0, 0], [1, 1], [0, 1], [1, 0]];
const PATCH = 8;
const PREVIEW_SIDE = 2;
/** Positions that go through a network at once, at least: enough to use what is in the cache, few enough to fit. */
const BAND = 256;
const PANEL = 8;
const CHUNK = 48;
const FLAG_GRAY = 1;

/** Those of one model, in the kernel's memory. Throws WeightsError. */
export class Networks {
  constructor(kernel, tensors, { N, M }) {
    this.kernel = kernel;
    this.tensors = tensors;
    [this.N, this.M] = [N, M];
    this.hMean = [this.#up("h_mean.0.0"), this.#block("h_mean.1"), this.#up("h_mean.2.0"), this.#block("h_mean.3")];
    this.P = this.hMean[3].channels;
    this.adaptors = [0, 1, 2].map((step) => this.#adaptor(`context.adaptors.${step}`));
    this.trunk = this.#blocks("context.trunk");
    this.heads = [0, 1, 2, 3].map((step) => this.#quarters(`context.heads.${step}`));
    this.up = this.#up("g_s.up.0");
    this.blocks = this.#blocks("g_s.blocks");
    this.C = this.up.channels;
    this.head = this.#conv("g_s.head", this.C, 3 * PATCH ** 2);
    this.preview = tensors.has("preview.weight") ? this.#previewHead() : null;
    this.#checkWidths();
    this.levelTables = Object.fromEntries(
      [["log_gain", M], ["log_z_gain", N], ["log_q_prior", this.P], ["log_q_dec", this.C]].map(([name, channels]) => {
        const table = tensorOf(tensors, `net.${name}.anchors`, "F32", 2);
        if (table.shape[1] !== channels || table.shape[0] < 2) {
          throw new WeightsError(`weights: net.${name}.anchors is ${table.shape}; it must have ${channels} channels`);
        }
        return [name, table];
      }),
    );
    this.tensors = null;
  }

  // Decoding

  /** z_hat and r (addresses, see EntropyModel.decode) -> the address of y_hat [4 h][4 w][M]. */
  reconstruct({ zHat, r }, { level, zHeight, zWidth }, advance = () => {}) {
    const { kernel, M, P } = this;
    const [height, width] = [4 * zHeight, 4 * zWidth];
    const yHat = kernel.floats(height * width * M);
    kernel.view(Float32Array, yHat, height * width * M).fill(0);
    const start = kernel.top;
    const p = kernel.floats(height * width * P);
    this.#prior(zHat, level, zHeight, zWidth, p);
    const gain = kernel.place(this.#level("log_gain", level));
    const inside = kernel.top;
    for (let step = 0; step < STEPS; step++) {
      this.#contextStep(step, { p, yHat, r, gain, height, width });
      kernel.top = inside;
      advance((step + 1) / STEPS);
    }
    kernel.top = start;
    return yHat;
  }

  #prior(zHat, level, zHeight, zWidth, p) {
    const { kernel, N, P } = this;
    const [gain, scale] = ["log_z_gain", "log_q_prior"].map((name) => kernel.place(this.#level(name, level)));
    const band = bandRows(zWidth);
    const rows = kernel.floats(band * zWidth * N);
    const [first, firstBlock, second, secondBlock] = this.hMean;
    const chain = new Chain([
      new UpRows(kernel, first, zWidth, band),
      new BlockRows(kernel, firstBlock, 2 * zWidth, 2 * band),
      new UpRows(kernel, second, 2 * zWidth, 2 * band + 1),
      new BlockRows(kernel, secondBlock, 4 * zWidth, 4 * band + 2),
    ]);
    let done = 0;
    for (let top = 0; top < zHeight; top += band) {
      const count = Math.min(band, zHeight - top);
      kernel.run.divide_rows(zHat, zHeight * zWidth, top * zWidth, count * zWidth, N, gain, rows);
      const out = chain.push(rows, count, top + count === zHeight);
      const positions = out.rows * 4 * zWidth;
      kernel.run.scale(out.address, positions, P, scale, BOUNDS.prior);
      kernel.memoryCopy(p + 4 * done * P, out.address, 4 * positions * P);
      done += positions;
    }
  }

  #contextStep(step, { p, yHat, r, gain, height, width }) {
    const { kernel, M, P } = this;
    const band = bandRows(width);
    const known = kernel.floats(band * width * P);
    const mu = kernel.floats((width / 2) * (M / STEPS));
    const chain = new Chain(step ? this.trunk.map((block, n) => new BlockRows(kernel, block, width, band + n)) : []);
    let row = 0;
    for (let top = 0; top < height; top += band) {
      const count = Math.min(band, height - top);
      let out = { address: p + 4 * top * width * P, rows: count };
      if (step) {
        const { ofPrior, ofLatents } = this.adaptors[step - 1];
        this.#convolve(ofPrior, out.address, count * width, known);
        this.#convolve(ofLatents, yHat + 4 * top * width * M, count * width, known, true);
        out = chain.push(known, count, top + count === height);
      }
      for (let i = 0; i < out.rows; i++, row++) {
        this.#codeRow(step, row, out.address + 4 * i * width * P, { mu, yHat, r, gain, height, width });
      }
    }
  }

  /** The places of a row that a step codes: a quarter of the channels at every second position, twice. */
  #codeRow(step, row, features, { mu, yHat, r, gain, height, width }) {
    const { kernel, M, P } = this;
    const size = M / STEPS;
    for (let quarter = 0; quarter < STEPS; quarter++) {
      const [rowOffset, column] = POSITIONS[(step + quarter) % STEPS];
      if (row % 2 !== rowOffset) continue;
      const { panels, bias } = this.heads[step][quarter];
      kernel.run.convolve(features + 4 * column * P, 2 * P, width / 2, panels, bias, P, size, mu, size, 0);
      const first = quarter * size;
      kernel.run.dequantize(
        mu, width / 2, size, BOUNDS.latent, r + 4 * (first * height * width + row * width + column), height * width,
        gain + 4 * first, yHat + 4 * ((row * width + column) * M + first), M,
      );
    }
  }

  /**
   * y_hat -> pixels, band by band: show(top, rows, rgba of `rows` rows). image: width, height, isGray, alpha (uint8 of
   * the whole image, or null).
   */
  synthesize(yHat, { level, zHeight, zWidth }, image, show) {
    const { kernel, M, C } = this;
    const [height, width] = [4 * zHeight, 4 * zWidth];
    const start = kernel.top;
    const band = bandRows(4 * width);
    const scale = kernel.place(this.#level("log_q_dec", level));
    const up = new UpRows(kernel, this.up, width, band);
    const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, 2 * width, 2 * band + n)));
    const painter = new Painter(kernel, image, PATCH, 2 * width);
    const shades = kernel.floats(2 * width * 3 * PATCH ** 2);
    for (let top = 0; top < height; top += band) {
      const count = Math.min(band, height - top);
      const entered = up.push(yHat + 4 * top * width * M, count);
      kernel.run.scale(entered.address, entered.rows * 2 * width, C, scale, Infinity);
      const out = blocks.push(entered.address, entered.rows, top + count === height);
      for (let i = 0; i < out.rows && painter.top < image.height; i++) {
        this.#convolve(this.head, out.address + 4 * i * 2 * width * C, 2 * width, shades);
        painter.paint(shades, show);
      }
    }
    kernel.top = start;
  }

  /** As synthesize, at 1/8 of the size, without g_s; the model has a preview head. */
  synthesizePreview(yHat, { zHeight, zWidth }, image, show) {
    const { kernel, M } = this;
    const [height, width] = [4 * zHeight, 4 * zWidth];
    const start = kernel.top;
    const outputs = 3 * PREVIEW_SIDE ** 2;
    const shades = kernel.floats(width * outputs);
    const painter = new Painter(kernel, image, PREVIEW_SIDE, width);
    for (let row = 0; row < height && painter.top < image.height; row++) {
      this.preview.forEach(({ dy, dx, panels, bias }, number) => {
        const [from, to] = [Math.max(0, -dx), Math.min(width, width - dx)];
        if (row + dy < 0 || row + dy >= height || from >= to) return;
        const x = yHat + 4 * ((row + dy) * width + from + dx) * M;
        const out = shades + 4 * from * outputs;
        kernel.run.convolve(x, M, to - from, panels, bias, M, outputs, out, outputs, Number(number > 0));
      });
      painter.paint(shades, show);
    }
    kernel.top = start;
  }

  #convolve({ panels, bias, inputs, outputs }, x, positions, out, onto = false) {
    this.kernel.run.convolve(x, inputs, positions, panels, bias, inputs, outputs, out, outputs, Number(onto));
  }

  /** exp of a LevelTable. */
  #level(name, level) {
    const { data, shape: [anchors, channels] } = this.levelTables[name];
    const position = (level / MAX_LEVEL) * (anchors - 1);
    const low = Math.min(Math.floor(position), anchors - 2);
    const part = Math.fround(position - low);
    return Float32Array.from({ length: channels }, (_, c) => {
      const [below, above] = [data[low * channels + c], data[(low + 1) * channels + c]];
      return Math.exp(Math.fround(below + part * (above - below)));
    });
  }

  // Weights

  /** The floats of a tensor, [outputs][inputs, all its sides]. */
  #floats(name, dimensions) {
    const { kernel } = this;
    const tensor = tensorOf(this.tensors, name, "F16", dimensions);
    const start = kernel.top;
    const halves = kernel.place(tensor.data);
    const out = kernel.floats(tensor.data.length);
    kernel.run.expand_halves(halves, out, tensor.data.length);
    const values = kernel.view(Float32Array, out, tensor.data.length).slice();
    kernel.top = start;
    return { values, shape: tensor.shape };
  }

  /** Weights [outputs][inputs] as panels, outputs in this order. */
  #panels(weight, outputs, inputs, order) {
    const { kernel } = this;
    const panels = kernel.floats(Math.ceil(outputs / PANEL) * PANEL * inputs);
    const start = kernel.top;
    kernel.run.pack(kernel.place(weight), kernel.place(Int32Array.from(order)), panels, outputs, inputs);
    kernel.top = start;
    return panels;
  }

  #read(name) {
    const { values, shape: [outputs, inputs, height, width] } = this.#floats(`net.${name}.weight`, 4);
    const { values: bias } = this.#floats(`net.${name}.bias`, 1);
    if (height !== 1 || width !== 1 || outputs % 4 || inputs % 4 || bias.length !== outputs) {
      throw new WeightsError(`weights: net.${name} is ${outputs} x ${inputs} x ${height} x ${width}, bias ${bias.length}`);
    }
    return { values, bias, outputs, inputs };
  }

  #conv(name, inputs, outputs) {
    const conv = this.#read(name);
    if ((inputs && conv.inputs !== inputs) || (outputs && conv.outputs !== outputs)) {
      throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${inputs}`);
    }
    return this.#placed(conv);
  }

  #placed({ values, bias, outputs, inputs }) {
    return { panels: this.#panels(values, outputs, inputs, range(outputs)), bias: this.kernel.place(bias), inputs, outputs };
  }

  /** A head of the context as four convolutions, one for each quarter of its outputs. */
  #quarters(name) {
    const conv = this.#read(name);
    if (conv.inputs !== this.P || conv.outputs !== this.M || this.M % 16) {
      throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${this.M} x ${this.P}`);
    }
    const size = conv.outputs / STEPS;
    return range(STEPS).map((quarter) =>
      this.#placed({
        values: conv.values.slice(quarter * size * conv.inputs, (quarter + 1) * size * conv.inputs),
        bias: conv.bias.slice(quarter * size, (quarter + 1) * size),
        inputs: conv.inputs,
        outputs: size,
      }),
    );
  }

  /** A convolution before a pixel shuffle by 2: outputs in an order in which a row of results is one of the image. */
  #up(name) {
    const conv = this.#read(name);
    const channels = conv.outputs / 4;
    if (channels % 4) throw new WeightsError(`weights: net.${name} has ${conv.outputs} outputs; 16 must divide them`);
    const rows = [0, 1].map((i) => {
      const order = [0, 1].flatMap((j) => range(channels).map((c) => 4 * c + 2 * i + j));
      const panels = this.#panels(conv.values, order.length, conv.inputs, order);
      return { panels, bias: this.kernel.place(Float32Array.from(order, (n) => conv.bias[n])) };
    });
    return { channels, inputs: conv.inputs, rows };
  }

  /** A convolution of p and y_hat side by side, as two that add up. */
  #adaptor(name) {
    const { values, bias, outputs, inputs } = this.#read(name);
    const { P, M } = this;
    if (inputs !== P + M || outputs !== P) throw new WeightsError(`weights: net.${name} is ${outputs} x ${inputs}`);
    const part = (from, to) => {
      const cut = range(outputs).flatMap((n) => Array.from(values.subarray(n * inputs + from, n * inputs + to)));
      return { panels: this.#panels(Float32Array.from(cut), outputs, to - from, range(outputs)), inputs: to - from, outputs };
    };
    const ofPrior = { ...part(0, P), bias: this.kernel.place(bias) };
    return { ofPrior, ofLatents: { ...part(P, P + M), bias: 0 } };
  }

  #blocks(name) {
    const blocks = [];
    while (this.tensors.has(`net.${name}.${blocks.length}.conv_in.weight`)) blocks.push(this.#block(`${name}.${blocks.length}`));
    return blocks;
  }

  #block(name) {
    const { kernel } = this;
    const entry = this.#conv(`${name}.conv_in`);
    const channels = entry.inputs;
    const out = this.#conv(`${name}.conv_out`, channels, channels);
    const ffnOut = this.#conv(`${name}.ffn_out`, 0, channels);
    const ffnIn = this.#conv(`${name}.ffn_in`, channels, 2 * ffnOut.inputs);
    const { values, shape } = this.#floats(`net.${name}.depthwise.weight`, 4);
    const { values: bias } = this.#floats(`net.${name}.depthwise.bias`, 1);
    if (entry.outputs !== channels || String(shape) !== String([channels, 1, 3, 3]) || bias.length !== channels) {
      throw new WeightsError(`weights: net.${name} has ${channels} channels, depthwise ${shape}`);
    }
    const depthwise = kernel.place(Float32Array.from(values, (_, i) => values[(i % channels) * 9 + Math.floor(i / channels)]));
    const address = kernel.allocate(56);
    kernel.view(Int32Array, address, 2).set([channels, ffnOut.inputs]);
    kernel.view(Float32Array, address + 8, 2).set([BOUNDS.stream, BOUNDS.product]);
    const parts = [entry.panels, entry.bias, depthwise, kernel.place(bias), out.panels, out.bias];
    kernel.view(Int32Array, address + 16, 10).set([...parts, ffnIn.panels, ffnIn.bias, ffnOut.panels, ffnOut.bias]);
    return { address, channels, hidden: ffnOut.inputs };
  }

  /** The 3x3 convolution as nine of 1x1, the one in the middle first: it has the bias and sees every position. */
  #previewHead() {
    const { values, shape } = this.#floats("preview.weight", 4);
    const { values: bias } = this.#floats("preview.bias", 1);
    const outputs = 3 * PREVIEW_SIDE ** 2;
    if (String(shape) !== String([outputs, this.M, 3, 3]) || bias.length !== outputs) {
      throw new WeightsError(`weights: preview.weight is ${shape}; it must be ${[outputs, this.M, 3, 3]}`);
    }
    const places = [4, 0, 1, 2, 3, 5, 6, 7, 8];
    return places.map((place) => {
      const weight = Float32Array.from({ length: outputs * this.M }, (_, i) => values[i * 9 + place]);
      const panels = this.#panels(weight, outputs, this.M, range(outputs));
      const [dy, dx] = [Math.floor(place / 3) - 1, (place % 3) - 1];
      return { dy, dx, panels, bias: place === 4 ? this.kernel.place(bias) : 0 };
    });
  }

  #checkWidths() {
    const { N, M, P, C } = this;
    const [first, block, second] = this.hMean;
    const widths = [first.inputs, first.channels, block.channels, second.inputs, second.channels, this.up.inputs];
    const same = this.trunk.every(({ channels }) => channels === P) && this.blocks.every(({ channels }) => channels === C);
    if (String(widths) !== String([N, P, P, P, P, M]) || !same) {
      throw new WeightsError(`weights: channels ${widths} do not fit N ${N}, M ${M}, P ${P}, C ${C}`);
    }
  }
}

function range(count) {
  return Array.from({ length: count }, (_, number) => number);
}

/** Rows that go through a network at once. */
function bandRows(width) {
  return Math.max(1, Math.ceil(BAND / width));
}

/** Stages one after the other; each takes (address, rows, last) and gives {address, rows}. */
class Chain {
  constructor(stages) {
    this.stages = stages;
  }

  push(address, rows, last) {
    return this.stages.reduce((out, stage) => stage.push(out.address, out.rows, last), { address, rows });
  }
}

/** An upsampling: a row becomes two of twice the width. */
class UpRows {
  constructor(kernel, up, width, mostRows) {
    Object.assign(this, { kernel, up, width });
    this.out = kernel.floats(4 * mostRows * width * up.channels);
  }

  push(address, rows) {
    const { kernel, up, width, out } = this;
    const length = 2 * up.channels;
    for (let row = 0; row < rows; row++) {
      up.rows.forEach(({ panels, bias }, i) => {
        const [x, to] = [address + 4 * row * width * up.inputs, out + 4 * (2 * row + i) * width * length];
        kernel.run.convolve(x, up.inputs, width, panels, bias, up.inputs, length, to, length, 0);
      });
    }
    return { address: out, rows: 2 * rows };
  }
}

/** A block: row i of its result needs rows i - 1 .. i + 1 of what the depthwise convolution sees. */
class BlockRows {
  constructor(kernel, block, width, mostRows) {
    Object.assign(this, { kernel, block });
    this.width = width;
    this.length = 4 * width * block.channels; // bytes of a row
    this.x = kernel.allocate((mostRows + 1) * this.length);
    this.entered = kernel.allocate((mostRows + 3) * this.length);
    this.scratch = kernel.floats(width * block.channels + CHUNK * 3 * block.hidden);
    [this.xRows, this.enteredRows, this.used] = [0, 1, 0]; // above the image are zeros
    this.#clear(0);
  }

  #clear(row) {
    this.kernel.view(Uint8Array, this.entered + row * this.length, this.length).fill(0);
  }

  #shift() {
    const { kernel, length, used } = this;
    kernel.memoryCopy(this.x, this.x + used * length, (this.xRows - used) * length);
    kernel.memoryCopy(this.entered, this.entered + used * length, (this.enteredRows - used) * length);
    this.xRows -= used;
    this.enteredRows -= used;
  }

  push(address, rows, last) {
    const { kernel, block, length } = this;
    this.#shift();
    kernel.memoryCopy(this.x + this.xRows * length, address, rows * length);
    kernel.run.block_enter(block.address, address, rows * this.width, this.entered + this.enteredRows * length);
    this.xRows += rows;
    this.enteredRows += rows;
    if (last) this.#clear(this.enteredRows++);
    this.used = Math.max(0, this.enteredRows - 2);
    for (let row = 0; row < this.used; row++) {
      const above = this.entered + row * length;
      const x = this.x + row * length;
      kernel.run.block_leave(block.address, x, above, above + length, above + 2 * length, this.width, this.scratch);
    }
    return { address: this.x, rows: this.used };
  }
}

/** Rows of RGBA out of rows of positions, from the top of an image. */
class Painter {
  constructor(kernel, image, side, positions) {
    Object.assign(this, { kernel, image, side });
    this.top = 0;
    this.width = Math.min(image.width, side * positions);
    this.rgba = kernel.allocate(4 * side * this.width);
    this.alpha = image.alpha ? kernel.allocate(side * this.width) : 0;
  }

  paint(shades, show) {
    const { kernel, image, side, width, top } = this;
    const rows = Math.min(side, image.height - top);
    if (image.alpha) {
      kernel.view(Uint8Array, this.alpha, rows * width).set(image.alpha.subarray(top * width, (top + rows) * width));
    }
    kernel.run.to_rgba(shades, side, width, rows, this.alpha, image.isGray ? FLAG_GRAY : 0, this.rgba);
    this.top += rows;
    show(top, rows, kernel.view(Uint8ClampedArray, this.rgba, 4 * rows * width).slice());
  }
}
