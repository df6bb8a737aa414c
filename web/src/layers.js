// The layers of a weights file in the kernel's memory, in the order in which it takes them.
import { MAX_LEVEL } from "./container.js";
import { WeightsError } from "./errors.js";
import { tensorOf } from "./weights.js";

// vaecodec/networks/config.py; tests/test_web.py holds them equal.
export const BOUNDS = { stream: 64, product: 256, latent: 128, prior: 64 };
const SHIFT_UNIT = 4;
const PANEL = 8;
const BLOCK_BYTES = 56;

export function range(count) {
  return Array.from({ length: count }, (_, number) => number);
}

/** Reads layers by name, checks their shapes, places them. All methods throw WeightsError. */
export class Layers {
  constructor(kernel, tensors) {
    Object.assign(this, { kernel, tensors });
  }

  has(name) {
    return this.tensors.has(name);
  }

  /** The floats of a tensor, [outputs][inputs, all its sides]. */
  floats(name, dimensions) {
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
  panels(weight, outputs, inputs, order = range(outputs)) {
    const { kernel } = this;
    const panels = kernel.floats(Math.ceil(outputs / PANEL) * PANEL * inputs);
    const start = kernel.top;
    kernel.run.pack(kernel.place(weight), kernel.place(Int32Array.from(order)), panels, outputs, inputs);
    kernel.top = start;
    return panels;
  }

  /** A 1x1 convolution as it is stored. */
  read(name) {
    const { values, shape: [outputs, inputs, height, width] } = this.floats(`net.${name}.weight`, 4);
    const { values: bias } = this.floats(`net.${name}.bias`, 1);
    if (height !== 1 || width !== 1 || outputs % 4 || inputs % 4 || bias.length !== outputs) {
      throw new WeightsError(`weights: net.${name} is ${outputs} x ${inputs} x ${height} x ${width}, bias ${bias.length}`);
    }
    return { values, bias, outputs, inputs };
  }

  /** inputs, outputs: what they must be; 0: any number. */
  conv(name, inputs, outputs) {
    const conv = this.read(name);
    if ((inputs && conv.inputs !== inputs) || (outputs && conv.outputs !== outputs)) {
      throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${inputs}`);
    }
    return this.placed(conv);
  }

  placed({ values, bias, outputs, inputs }) {
    return { panels: this.panels(values, outputs, inputs), bias: this.kernel.place(bias), inputs, outputs };
  }

  /** Columns from..to of a convolution's weights, without bias. */
  columns({ values, outputs, inputs }, from, to) {
    const cut = new Float32Array(outputs * (to - from));
    for (let n = 0; n < outputs; n++) cut.set(values.subarray(n * inputs + from, n * inputs + to), n * (to - from));
    return { panels: this.panels(cut, outputs, to - from), bias: 0, inputs: to - from, outputs };
  }

  /** A convolution before a pixel shuffle by 2: outputs in an order in which a row of results is one of the image. */
  up(name) {
    const conv = this.read(name);
    const channels = conv.outputs / 4;
    if (channels % 4) throw new WeightsError(`weights: net.${name} has ${conv.outputs} outputs; 16 must divide them`);
    const rows = [0, 1].map((i) => {
      const order = [0, 1].flatMap((j) => range(channels).map((c) => 4 * c + 2 * i + j));
      const panels = this.panels(conv.values, order.length, conv.inputs, order);
      return { panels, bias: this.kernel.place(Float32Array.from(order, (n) => conv.bias[n])) };
    });
    return { channels, inputs: conv.inputs, rows };
  }

  /** A convolution behind a pixel unshuffle by 2, as two that add up: each takes two neighbours of a row. */
  down(name, channels, outputs) {
    const conv = this.read(name);
    if (conv.inputs !== 4 * channels || conv.outputs !== outputs) {
      throw new WeightsError(`weights: net.${name} is ${conv.outputs} x ${conv.inputs}; it must be ${outputs} x ${4 * channels}`);
    }
    const size = 2 * channels;
    const rows = [0, 1].map((i) => {
      const cut = new Float32Array(outputs * size);
      for (let n = 0; n < outputs; n++) {
        for (let k = 0; k < size; k++) {
          const [j, c] = k < channels ? [0, k] : [1, k - channels];
          cut[n * size + k] = conv.values[n * conv.inputs + 4 * c + 2 * i + j];
        }
      }
      return { panels: this.panels(cut, outputs, size), bias: i ? 0 : this.kernel.place(conv.bias), inputs: size, outputs };
    });
    return { channels, outputs, rows };
  }

  /** Blocks in a row. */
  blocks(name) {
    const blocks = [];
    while (this.has(`net.${name}.${blocks.length}.conv_in.weight`)) blocks.push(this.block(`${name}.${blocks.length}`));
    return blocks;
  }

  /** A DepthConvBlock: the address of the kernel's `Block`. */
  block(name) {
    const { kernel } = this;
    const entry = this.conv(`${name}.conv_in`);
    const channels = entry.inputs;
    const out = this.conv(`${name}.conv_out`, channels, channels);
    const ffnOut = this.conv(`${name}.ffn_out`, 0, channels);
    const ffnIn = this.conv(`${name}.ffn_in`, channels, 2 * ffnOut.inputs);
    const { values, shape } = this.floats(`net.${name}.depthwise.weight`, 4);
    const { values: bias } = this.floats(`net.${name}.depthwise.bias`, 1);
    if (entry.outputs !== channels || String(shape) !== String([channels, 1, 3, 3]) || bias.length !== channels) {
      throw new WeightsError(`weights: net.${name} has ${channels} channels, depthwise ${shape}`);
    }
    const depthwise = kernel.place(Float32Array.from(values, (_, i) => values[(i % channels) * 9 + Math.floor(i / channels)]));
    const address = kernel.allocate(BLOCK_BYTES);
    kernel.view(Int32Array, address, 2).set([channels, ffnOut.inputs]);
    kernel.view(Float32Array, address + 8, 2).set([BOUNDS.stream, BOUNDS.product]);
    const parts = [entry.panels, entry.bias, depthwise, kernel.place(bias), out.panels, out.bias];
    kernel.view(Int32Array, address + 16, 10).set([...parts, ffnIn.panels, ffnIn.bias, ffnOut.panels, ffnOut.bias]);
    return { address, channels, hidden: ffnOut.inputs };
  }

  /** A table of factors for each level: exp of the table in the weights. */
  factors(name, channels) {
    return new LevelTable(this.#table(name, channels), Math.exp);
  }

  /** A table of what is added at each level; zero where the weights have none. */
  shifts(name, channels) {
    if (!this.has(`net.${name}.anchors`)) return { at: () => new Float32Array(channels) };
    return new LevelTable(this.#table(name, channels), (value) => SHIFT_UNIT * value);
  }

  #table(name, channels) {
    const table = tensorOf(this.tensors, `net.${name}.anchors`, "F32", 2);
    if (table.shape[1] !== channels || table.shape[0] < 2) {
      throw new WeightsError(`weights: net.${name}.anchors is ${table.shape}; it must have ${channels} channels`);
    }
    return table;
  }
}

/** A vector of channels for each level, linear between a few anchors, each value then through a function. */
class LevelTable {
  constructor({ data, shape }, finish) {
    Object.assign(this, { data, shape, finish });
  }

  at(level) {
    const [anchors, channels] = this.shape;
    const position = (level / MAX_LEVEL) * (anchors - 1);
    const low = Math.min(Math.floor(position), anchors - 2);
    const part = Math.fround(position - low);
    return Float32Array.from({ length: channels }, (_, c) => {
      const [below, above] = [this.data[low * channels + c], this.data[(low + 1) * channels + c]];
      return this.finish(Math.fround(below + part * (above - below)));
    });
  }
}
