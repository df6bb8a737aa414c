// Latent integers into a payload: exact, the bytes of vaecodec/entropy/coding.py.
import { GROUP_LANES, RANS_L } from "./entropy.js";
import { packOutliers } from "./pack.js";

const COST_BITS = 24n;
/** See vaecodec/rans/lanes.py. */
const BITS_PER_LANE = 16_000n << COST_BITS;
const BITS_FOR_ENDS = 8_000n << COST_BITS;
const MAX_LANES = 8192;

/** The encoder's side of an EntropyModel. */
export class EntropyEncoder {
  constructor(kernel, entropy) {
    Object.assign(this, { kernel, entropy });
    [this.yCosts, this.zCosts] = [entropy.y, entropy.z].map(({ address, packed }) => {
      const costs = kernel.allocate(4 * packed.length);
      kernel.run.symbol_costs(kernel.view(Uint32Array, address, 3)[1], packed.length, costs);
      return costs;
    });
  }

  /**
   * Addresses of z_hat int32 [N][h w], r int32 [M][16 h w] and the scale index of r -> {payload, outliers}, the contents
   * of two sections. lanes: a power of two, 1..8192; chosen by the content unless given.
   */
  encode({ zHat, r, index }, { level, zHeight, zWidth }, lanes = null) {
    const { kernel, entropy } = this;
    const start = kernel.top;
    const plane = zHeight * zWidth;
    const z = this.#segment(entropy.z, this.zCosts, entropy.zIndex(level, plane), entropy.N * plane, 0, zHat);
    const y = this.#segment(entropy.y, this.yCosts, index, 16 * entropy.M * plane, 1, r);
    const writer = new Writer(kernel, [z, y], lanes ?? chooseLanes(z.cost + y.cost));
    writer.encode(y);
    writer.encode(z);
    const positions = [...z.positions, ...Array.from(y.positions, (position) => position + z.symbols)];
    const outliers = packOutliers({ positions, values: [...z.outliers, ...y.outliers] });
    const payload = writer.finish();
    kernel.top = start;
    return { payload, outliers };
  }

  /** A segment with its number of symbols, its content and its outliers. */
  #segment(tables, costs, index, count, skip, values) {
    const { kernel } = this;
    const content = kernel.allocate(16);
    const measure = (...lists) => {
      kernel.run.measure_segment(tables.address, costs, index, count, skip, values, content, ...lists);
      const [symbols, listed] = kernel.view(Uint32Array, content + 8, 2);
      return { symbols, listed, cost: kernel.view(BigUint64Array, content, 1)[0] };
    };
    const { symbols, listed, cost } = measure(0, 0);
    const [positions, outliers] = [kernel.allocate(4 * listed), kernel.allocate(4 * listed)];
    if (listed) measure(positions, outliers);
    return {
      tables: tables.address, index, count, skip, values, symbols, cost,
      positions: kernel.view(Uint32Array, positions, listed).slice(),
      outliers: kernel.view(Int32Array, outliers, listed).slice(),
    };
  }
}

/** As many lanes, a power of two, as cost next to nothing of this content (BigInt, bits times 2^24). */
export function chooseLanes(cost) {
  const affordable = cost > BITS_FOR_ENDS ? (cost - BITS_FOR_ENDS) / BITS_PER_LANE : 0n;
  return affordable ? Math.min(MAX_LANES, 2 ** (affordable.toString(2).length - 1)) : 1;
}

/** The lanes of a payload, and a stack of words for each group of them. */
class Writer {
  constructor(kernel, segments, lanes) {
    Object.assign(this, { kernel, lanes });
    this.groups = Math.max(1, lanes / GROUP_LANES);
    // A symbol writes a word at most.
    const room = segments.reduce((sum, { symbols }) => sum + Math.ceil(symbols / lanes), 0) * (lanes / this.groups);
    this.ends = Uint32Array.from({ length: this.groups }, (_, group) => (group + 1) * room);
    this.states = kernel.place(new Uint32Array(lanes).fill(RANS_L));
    this.next = kernel.place(this.ends);
    this.words = kernel.allocate(2 * this.groups * room);
    this.address = kernel.place(Uint32Array.of(this.states, lanes, this.next, this.words));
  }

  /** Segments come last first. */
  encode({ tables, index, count, skip, symbols, values }) {
    this.kernel.run.encode_segment(this.address, tables, index, count, skip, symbols, values);
  }

  /** log2 of the lanes, counts of all groups' words but the last's, and of each group states and words. */
  finish() {
    const { kernel, lanes, groups, ends } = this;
    const next = kernel.view(Uint32Array, this.next, groups);
    const counts = ends.map((end, group) => end - next[group]);
    const payload = new Uint8Array(1 + 4 * (groups - 1) + 4 * lanes + 2 * counts.reduce((sum, count) => sum + count));
    payload[0] = Math.log2(lanes);
    const view = new DataView(payload.buffer);
    counts.subarray(0, -1).forEach((count, group) => view.setUint32(1 + 4 * group, count, true));
    const of = (address, size) => kernel.view(Uint8Array, address, size); // memory is little-endian, as the file is
    let at = 1 + 4 * (groups - 1);
    counts.forEach((count, group) => {
      const size = 4 * (lanes / groups);
      payload.set(of(this.states + group * size, size), at);
      payload.set(of(this.words + 2 * next[group], 2 * count), at + size);
      at += size + 2 * count;
    });
    return payload;
  }
}
