// The float networks of a decoder: vaecodec/runtime/cpu/networks.py in bands of rows, on the kernel.
import { CodingError, WeightsError } from "./errors.js";
import { BOUNDS, Layers, range } from "./layers.js";
import { bandRows, BlockRows, Chain, UpRows } from "./rows.js";

// vaecodec/networks/config.py; tests/test_web.py holds them equal.
const STEPS = 4;
const POSITIONS = [[0, 0], [1, 1], [0, 1], [1, 0]];
export const PATCH = 8;
const PREVIEW_SIDE = 2;
const FLAG_GRAY = 1;

/** Those of one model, in the kernel's memory. Throws WeightsError. */
export class Networks {
  constructor(kernel, tensors, { N, M }) {
    this.kernel = kernel;
    [this.N, this.M] = [N, M];
    const layers = new Layers(kernel, tensors);
    this.hMean = [layers.up("h_mean.0.0"), layers.block("h_mean.1"), layers.up("h_mean.2.0"), layers.block("h_mean.3")];
    this.P = this.hMean[3].channels;
    this.adaptors = range(STEPS - 1).map((step) => this.#adaptor(layers, `context.adaptors.${step}`));
    this.trunk = layers.blocks("context.trunk");
    this.heads = range(STEPS).map((step) => this.#quarters(layers, `context.heads.${step}`));
    this.up = layers.up("g_s.up.0");
    this.blocks = layers.blocks("g_s.blocks");
    this.C = this.up.channels;
    this.head = layers.conv("g_s.head", this.C, 3 * PATCH ** 2);
    this.preview = layers.has("preview.weight") ? this.#previewHead(layers) : null;
    this.#checkWidths();
    this.gain = layers.factors("log_gain", M);
    this.zGain = layers.factors("log_z_gain", N);
    this.prior = [layers.factors("log_q_prior", this.P), layers.shifts("shift_prior", this.P)];
    this.entry = [layers.factors("log_q_dec", this.C), layers.shifts("shift_dec", this.C)];
  }

  /** z_hat and r (addresses, see EntropyModel.decode) -> the address of y_hat [4 h][4 w][M]. */
  reconstruct({ zHat, r }, shape, advance) {
    return this.#runSteps({ zHat, r }, shape, advance);
  }

  /**
   * The encoder's way through the same steps: z_hat, y [4 h][4 w][M] and the scale index (addresses) -> the address of r,
   * as EntropyModel.decode has it; y_hat is only on the way. Throws CodingError for what no file can hold.
   */
  quantize({ zHat, y, index }, shape, advance) {
    const { kernel, M } = this;
    const r = kernel.allocate(4 * 16 * shape.zHeight * shape.zWidth * M);
    const start = kernel.top;
    const encoder = { y, index, bad: 0 };
    this.#runSteps({ zHat, r, encoder }, shape, advance);
    kernel.top = start;
    if (encoder.bad) throw new CodingError(`r: ${encoder.bad} values are 2^20 or more, or no numbers: the networks cannot code this image`);
    return r;
  }

  #runSteps({ zHat, r, encoder = null }, { level, zHeight, zWidth }, advance = () => {}) {
    const { kernel, M, P } = this;
    const [height, width] = [4 * zHeight, 4 * zWidth];
    const yHat = kernel.floats(height * width * M);
    kernel.view(Float32Array, yHat, height * width * M).fill(0);
    const start = kernel.top;
    const p = kernel.floats(height * width * P);
    this.#prior(zHat, level, zHeight, zWidth, p);
    const gain = kernel.place(this.gain.at(level));
    const inside = kernel.top;
    for (let step = 0; step < STEPS; step++) {
      this.#contextStep(step, { p, yHat, r, encoder, gain, height, width });
      kernel.top = inside;
      advance((step + 1) / STEPS);
    }
    kernel.top = start;
    return yHat;
  }

  #prior(zHat, level, zHeight, zWidth, p) {
    const { kernel, N, P } = this;
    const [gain, factors, shifts] = [this.zGain, ...this.prior].map((table) => kernel.place(table.at(level)));
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
      kernel.run.scale(out.address, positions, P, factors, shifts, BOUNDS.prior);
      kernel.memoryCopy(p + 4 * done * P, out.address, 4 * positions * P);
      done += positions;
    }
  }

  #contextStep(step, { p, ...image }) {
    const { kernel, M, P } = this;
    const { yHat, height, width } = image;
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
        this.#codeRow(step, row, out.address + 4 * i * width * P, { ...image, mu });
      }
    }
  }

  /** The places of a row that a step codes: a quarter of the channels at every second position, twice. */
  #codeRow(step, row, features, { mu, yHat, r, encoder, gain, height, width }) {
    const { kernel, M, P } = this;
    const [size, plane] = [M / STEPS, height * width];
    for (let quarter = 0; quarter < STEPS; quarter++) {
      const [rowOffset, column] = POSITIONS[(step + quarter) % STEPS];
      if (row % 2 !== rowOffset) continue;
      const { panels, bias } = this.heads[step][quarter];
      kernel.run.convolve(features + 4 * column * P, 2 * P, width / 2, panels, bias, P, size, mu, size, 0);
      const first = quarter * size;
      const inRows = 4 * ((row * width + column) * M + first);
      const inPlanes = first * plane + row * width + column;
      const means = [mu, width / 2, size, BOUNDS.latent];
      const gains = gain + 4 * first;
      if (encoder) {
        const { y, index } = encoder;
        encoder.bad += kernel.run.quantize(...means, y + inRows, M, index + inPlanes, plane, gains, r + 4 * inPlanes);
      }
      kernel.run.dequantize(...means, r + 4 * inPlanes, plane, gains, yHat + inRows, M);
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
    const [factors, shifts] = this.entry.map((table) => kernel.place(table.at(level)));
    const up = new UpRows(kernel, this.up, width, band);
    const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, 2 * width, 2 * band + n)));
    const painter = new Painter(kernel, image, PATCH, 2 * width);
    const shades = kernel.floats(2 * width * 3 * PATCH ** 2);
    for (let top = 0; top < height; top += band) {
      const count = Math.min(band, height - top);
      const entered = up.push(yHat + 4 * top * width * M, count);
      kernel.run.scale(entered.address, entered.rows * 2 * width, C, factors, shifts, Infinity);
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

  // Weights

  /** A head of the context as four convolutions, one for each quarter of its outputs. */
  #quarters(layers, name) {
    const conv = layers.read(name);
    if (conv.inputs !== this.P || conv.outputs !== this.M || this.M % 16) {
      throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${this.M} x ${this.P}`);
    }
    const size = conv.outputs / STEPS;
    return range(STEPS).map((quarter) =>
      layers.placed({
        values: conv.values.slice(quarter * size * conv.inputs, (quarter + 1) * size * conv.inputs),
        bias: conv.bias.slice(quarter * size, (quarter + 1) * size),
        inputs: conv.inputs,
        outputs: size,
      }),
    );
  }

  /** A convolution of p and y_hat side by side, as two that add up. */
  #adaptor(layers, name) {
    const conv = layers.read(name);
    const { P, M } = this;
    if (conv.inputs !== P + M || conv.outputs !== P) throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}`);
    const ofPrior = { ...layers.columns(conv, 0, P), bias: this.kernel.place(conv.bias) };
    return { ofPrior, ofLatents: layers.columns(conv, P, P + M) };
  }

 /** The 3x3 convolution as nine of 1x1, the one in the middle first: it has the bias and sees every position. */
  #previewHead(layers) {
    const { values, shape } = layers.floats("preview.weight", 4);
    const { values: bias } = layers.floats("preview.bias", 1);
    const outputs = 3 * PREVIEW_SIDE ** 2;
    if (String(shape) !== String([outputs, this.M, 3, 3]) || bias.length !== outputs) {
      throw new WeightsError(`weights: preview.weight is ${shape}; it must be ${[outputs, this.M, 3, 3]}`);
    }
    const places = [4, 0, 1, 2, 3, 5, 6, 7, 8];
    return places.map((place) => {
      const weight = Float32Array.from({ length: outputs * this.M }, (_, i) => values[i * 9 + place]);
      const panels = layers.panels(weight, outputs, this.M);
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
