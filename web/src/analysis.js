// The encoder's float networks, g_a and h_a, in bands of rows; see vaecodec/runtime/cpu/networks.py.
import { CodingError, WeightsError } from "./errors.js";
import { BOUNDS, Layers } from "./layers.js";
import { PATCH } from "./networks.js";
import { bandRows, BlockRows, Chain, DownRows, SingleRows } from "./rows.js";

/** Positions of the blocks along the side of a position of z. */
const CELLS = 8;

/** Those of one model, beside its decoder's in the kernel's memory. Throws WeightsError. */
export class Analysis {
  constructor(kernel, tensors, networks) {
    Object.assign(this, { kernel, networks });
    const { N, M, P, C } = networks;
    const layers = new Layers(kernel, tensors);
    this.stem = layers.conv("g_a.stem", 3 * PATCH ** 2, C);
    this.blocks = layers.blocks("g_a.blocks");
    this.down = layers.down("g_a.down.1", C, M);
    this.qEnc = layers.factors("log_q_enc", C);
    this.shiftEnc = layers.shifts("shift_enc", C);
    this.entry = layers.conv("h_a.0", M, P);
    this.firstBlock = layers.block("h_a.1");
    this.firstDown = layers.down("h_a.2.1", P, P);
    this.secondBlock = layers.block("h_a.3");
    this.secondDown = layers.down("h_a.4.1", P, N);
    const widths = [...this.blocks.map(({ channels }) => channels - C), this.firstBlock.channels - P, this.secondBlock.channels - P];
    if (widths.some(Boolean)) throw new WeightsError(`weights: the encoder's blocks do not have ${C} and ${P} channels`);
    const most = Math.max(C, M, N);
    [this.ones, this.zeros] = [1, 0].map((value) => kernel.place(new Float32Array(most).fill(value)));
  }

  /** Pixels {width, height, rgba} -> the address of y [4 h][4 w][M]. */
  analyse(image, { level, zHeight, zWidth }, advance = () => {}) {
    const { kernel, networks: { C, M } } = this;
    const [height, width] = [CELLS * zHeight, CELLS * zWidth];
    const y = kernel.floats((height / 2) * (width / 2) * M);
    const start = kernel.top;
    const band = bandRows(width);
    const factors = kernel.place(this.qEnc.at(level));
    const { panels, bias, inputs } = this.stem;
    const shifts = this.shiftEnc.at(level);
    const entryBias = kernel.place(kernel.view(Float32Array, bias, C).map((value, c) => value + shifts[c]));
    const pixels = kernel.allocate(4 * PATCH * image.width);
    const squares = kernel.floats(width * this.stem.inputs);
    const entered = kernel.floats(band * width * C);
    const blocks = new Chain(this.blocks.map((block, n) => new BlockRows(kernel, block, width, band + n)));
    const down = new DownRows(kernel, this.down, width, band + this.blocks.length);
    let done = 0;
    for (let top = 0; top < height; top += band) {
      const count = Math.min(band, height - top);
      for (let i = 0; i < count; i++) {
        this.#unfold(image, top + i, width, pixels, squares);
        kernel.run.convolve(squares, inputs, width, panels, entryBias, inputs, C, entered + 4 * i * width * C, C, 0);
      }
      const features = blocks.push(entered, count, top + count === height);
      kernel.run.scale(features.address, features.rows * width, C, factors, this.zeros, Infinity);
      const out = down.push(features.address, features.rows);
      const positions = out.rows * (width / 2);
      kernel.run.scale(out.address, positions, M, this.ones, this.zeros, BOUNDS.latent);
      kernel.memoryCopy(y + 4 * done * M, out.address, 4 * positions * M);
      done += positions;
      advance((top + count) / height);
    }
    kernel.top = start;
    return y;
  }

  /** A row of squares of pixels; the image goes on beyond its edges with its last row and column. */
  #unfold({ width, height, rgba }, row, count, pixels, out) {
    const first = Math.min(PATCH * row, height - 1);
    const rows = Math.min(PATCH, height - first);
    this.kernel.view(Uint8Array, pixels, 4 * rows * width).set(rgba.subarray(4 * first * width, 4 * (first + rows) * width));
    this.kernel.run.from_rgba(pixels, width, rows, PATCH, count, out);
  }

  /** y -> the address of z_hat int32 [N][h w]. Throws CodingError for a z that is not finite. */
  hyperAnalyse(y, { level, zHeight, zWidth }) {
    const { kernel, networks: { N, M, zGain } } = this;
    const [height, width] = [4 * zHeight, 4 * zWidth];
    const zHat = kernel.allocate(4 * N * zHeight * zWidth);
    const start = kernel.top;
    const band = bandRows(width);
    const factors = kernel.place(zGain.at(level));
    const halved = Math.ceil((band + 1) / 2);
    const chain = new Chain([
      new SingleRows(kernel, this.entry, width, band),
      new BlockRows(kernel, this.firstBlock, width, band),
      new DownRows(kernel, this.firstDown, width, band + 1),
      new BlockRows(kernel, this.secondBlock, width / 2, halved),
      new DownRows(kernel, this.secondDown, width / 2, halved + 1),
    ]);
    let [done, bad] = [0, 0];
    for (let top = 0; top < height; top += band) {
      const count = Math.min(band, height - top);
      const out = chain.push(y + 4 * top * width * M, count, top + count === height);
      const positions = out.rows * zWidth;
      kernel.run.scale(out.address, positions, N, factors, this.zeros, Infinity);
      bad += kernel.run.round_z(out.address, positions, N, done, zHeight * zWidth, zHat);
      done += positions;
    }
    kernel.top = start;
    if (bad) throw new CodingError(`z: ${bad} values are no finite numbers: the networks cannot code this image`);
    return zHat;
  }
}
