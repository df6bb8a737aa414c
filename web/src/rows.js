// Rows of positions that go through a network in bands, from the top: stages keep what they need of the rows above.
const CHUNK = 48;
/** Positions that go through a network at once, at least: enough to use what is in the cache, few enough to fit. */
const BAND = 256;

/** Rows that go through a network at once. */
export function bandRows(width) {
  return Math.max(1, Math.ceil(BAND / width));
}

/** Stages one after the other; each takes (address, rows, last) and gives {address, rows}. */
export class Chain {
  constructor(stages) {
    this.stages = stages;
  }

  push(address, rows, last) {
    return this.stages.reduce((out, stage) => stage.push(out.address, out.rows, last), { address, rows });
  }
}

/** An upsampling: a row becomes two of twice the width. */
export class UpRows {
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

/** A downsampling: two rows become one of half the width. A row without its partner waits for the next band. */
export class DownRows {
  constructor(kernel, down, width, mostRows) {
    Object.assign(this, { kernel, down, width });
    this.length = 4 * width * down.channels; // bytes of a row
    this.waiting = kernel.allocate(this.length);
    this.isWaiting = false;
    this.out = kernel.floats(Math.ceil(mostRows / 2) * (width / 2) * down.outputs);
  }

  push(address, rows) {
    const { kernel, down: { outputs, rows: halves }, width, length, out } = this;
    const addresses = [...(this.isWaiting ? [this.waiting] : []), ...Array.from({ length: rows }, (_, i) => address + i * length)];
    const count = Math.floor(addresses.length / 2);
    for (let row = 0; row < count; row++) {
      halves.forEach(({ panels, bias, inputs }, i) => {
        const to = out + 4 * row * (width / 2) * outputs;
        kernel.run.convolve(addresses[2 * row + i], inputs, width / 2, panels, bias, inputs, outputs, to, outputs, i);
      });
    }
    this.isWaiting = addresses.length % 2 > 0;
    if (this.isWaiting) kernel.memoryCopy(this.waiting, addresses.at(-1), length);
    return { address: out, rows: count };
  }
}

/** A 1x1 convolution. */
export class SingleRows {
  constructor(kernel, conv, width, mostRows) {
    Object.assign(this, { kernel, conv, width });
    this.out = kernel.floats(mostRows * width * conv.outputs);
  }

  push(address, rows) {
    const { kernel, conv: { panels, bias, inputs, outputs }, width, out } = this;
    kernel.run.convolve(address, inputs, rows * width, panels, bias, inputs, outputs, out, outputs, 0);
    return { address: out, rows };
  }
}

/** A block: row i of its result needs rows i - 1 .. i + 1 of what the depthwise convolution sees. */
export class BlockRows {
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
