/* The arithmetic of the browser codec: integers that must be exact, floats that may be quick.

Built for wasm32 with SIMD (web/build.py), without a C library. Memory is laid out by src/kernel.js and those who call it:
no function here allocates, and every pointer is checked there against the sizes that come with it. Floats are rows of
positions, [positions][channels]; channels are multiples of 4. What each function stands for is in
vaecodec/runtime/cpu/networks.py and vaecodec/intnet/layers.py. */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

#ifdef RELAXED /* kernel-fma.wasm: one rounding instead of two, where processor and browser have it */
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

typedef float f32;
typedef v128_t vec;

enum { PANEL = 8, ROWS = 4 }; /* outputs and positions that are computed together; with more, V8 lacks registers */

static inline vec load(const f32 *at) { return wasm_v128_load(at); }
static inline void store(f32 *at, vec value) { wasm_v128_store(at, value); }
static inline int least(int a, int b) { return a < b ? a : b; }

static inline int is_finite(f32 x) { return x - x == 0; }
static inline f32 within(f32 x, f32 most) { return x > most ? most : x < -most ? -most : x; }

static inline vec bounded(vec x, vec most) {
  return wasm_f32x4_pmax(wasm_f32x4_pmin(x, most), wasm_f32x4_neg(most));
}

/* Weights */

EXPORT(expand_halves) void expand_halves(const uint16_t *halves, f32 *out, int count) {
  for (int i = 0; i < count; i++) {
    uint32_t half = halves[i], sign = (half & 0x8000) << 16, rest = half & 0x7FFF;
    union { uint32_t bits; f32 value; } number;
    number.bits = rest << 13;
    if (rest >= 0x7C00) number.bits |= 0x7F800000;  /* infinity, NaN */
    else number.value *= 0x1p112f;                  /* another bias of the exponent; exact, subnormals too */
    number.bits |= sign;
    out[i] = number.value;
  }
}

/* Weights [outputs][inputs] -> panels [outputs / 8, rounded up][inputs][8]; missing outputs are 0. `order`: the output
that stands at each place. */
EXPORT(pack) void pack(const f32 *weight, const int32_t *order, f32 *panels, int outputs, int inputs) {
  for (int first = 0; first < outputs; first += PANEL)
    for (int k = 0; k < inputs; k++)
      for (int lane = 0; lane < PANEL; lane++)
        *panels++ = first + lane < outputs ? weight[order[first + lane] * inputs + k] : 0;
}

/* A 1x1 convolution of positions: out = x * panels + bias, or += where `onto`. */

#define ROWS_OF(COUNT)                                                                                             \
  static void multiply_##COUNT(const f32 *x, int x_step, const f32 *panel, const f32 *bias, int inputs, f32 *out,  \
                              int out_step, int outputs, int onto) {                                               \
    vec low[COUNT], high[COUNT];                                                                                   \
    vec bias_low = wasm_f32x4_const_splat(0), bias_high = bias_low;                                                \
    if (bias) bias_low = load(bias), bias_high = outputs > 4 ? load(bias + 4) : bias_high;                         \
    _Pragma("unroll") for (int m = 0; m < COUNT; m++) low[m] = bias_low, high[m] = bias_high;                      \
    for (int k = 0; k < inputs; k++, panel += PANEL) {                                                             \
      vec b_low = load(panel), b_high = load(panel + 4);                                                           \
      _Pragma("unroll") for (int m = 0; m < COUNT; m++) {                                                          \
        vec a = wasm_v128_load32_splat(x + m * x_step + k);                                                        \
        low[m] = MULTIPLY_ADD(a, b_low, low[m]);                                                                   \
        high[m] = MULTIPLY_ADD(a, b_high, high[m]);                                                                \
      }                                                                                                            \
    }                                                                                                              \
    _Pragma("unroll") for (int m = 0; m < COUNT; m++) {                                                            \
      f32 *at = out + m * out_step;                                                                                \
      store(at, onto ? wasm_f32x4_add(low[m], load(at)) : low[m]);                                                 \
      if (outputs > 4) store(at + 4, onto ? wasm_f32x4_add(high[m], load(at + 4)) : high[m]);                      \
    }                                                                                                              \
  }

ROWS_OF(1)
ROWS_OF(2)
ROWS_OF(3)
ROWS_OF(4)

static void multiply_few(int rows, const f32 *x, int x_step, const f32 *panel, const f32 *bias, int inputs, f32 *out,
                         int out_step, int outputs, int onto) {
  switch (rows) {
    case 1: multiply_1(x, x_step, panel, bias, inputs, out, out_step, outputs, onto); break;
    case 2: multiply_2(x, x_step, panel, bias, inputs, out, out_step, outputs, onto); break;
    case 3: multiply_3(x, x_step, panel, bias, inputs, out, out_step, outputs, onto); break;
  }
}

enum { TILE_FLOATS = 6144 }; /* of x, used for every panel in turn: 24 KiB stay in the nearest cache */

/* x_step, out_step: floats from one position to the next. bias may be 0: none. */
EXPORT(convolve)
void convolve(const f32 *x, int x_step, int positions, const f32 *panels, const f32 *bias, int inputs, int outputs,
              f32 *out, int out_step, int onto) {
  int tile = TILE_FLOATS / inputs / ROWS * ROWS;
  if (tile < ROWS) tile = ROWS;
  for (int top = 0; top < positions; top += tile) {
    int bottom = least(positions, top + tile);
    for (int first = 0; first < outputs; first += PANEL) {
      const f32 *panel = panels + first * inputs, *added = bias ? bias + first : 0;
      int row = top;
      for (; row + ROWS <= bottom; row += ROWS)
        multiply_4(x + row * x_step, x_step, panel, added, inputs, out + row * out_step + first, out_step,
                   outputs - first, onto);
      multiply_few(bottom - row, x + row * x_step, x_step, panel, added, inputs, out + row * out_step + first, out_step,
                   outputs - first, onto);
    }
  }
}

/* e^x, |x| <= 88, to about 1e-7 of it: 2^n times a polynomial (Cephes' expf). */
static inline vec exponential(vec x) {
  vec n = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_const_splat(1.44269504088896341f)));
  vec r = MULTIPLY_ADD(n, wasm_f32x4_const_splat(-0.693359375f), x);
  r = MULTIPLY_ADD(n, wasm_f32x4_const_splat(2.12194440e-4f), r);
  vec p = wasm_f32x4_const_splat(1.9875691500e-4f);
  p = MULTIPLY_ADD(p, r, wasm_f32x4_const_splat(1.3981999507e-3f));
  p = MULTIPLY_ADD(p, r, wasm_f32x4_const_splat(8.3334519073e-3f));
  p = MULTIPLY_ADD(p, r, wasm_f32x4_const_splat(4.1665795894e-2f));
  p = MULTIPLY_ADD(p, r, wasm_f32x4_const_splat(1.6666665459e-1f));
  p = MULTIPLY_ADD(p, r, wasm_f32x4_const_splat(5.0000001201e-1f));
  p = MULTIPLY_ADD(p, wasm_f32x4_mul(r, r), wasm_f32x4_add(r, wasm_f32x4_const_splat(1)));
  vec power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127)), 23);
  return wasm_f32x4_mul(p, power);
}

static inline vec silu_of(vec x) {
  vec negative = bounded(wasm_f32x4_neg(x), wasm_f32x4_const_splat(87));
  return wasm_f32x4_div(x, wasm_f32x4_add(exponential(negative), wasm_f32x4_const_splat(1)));
}

EXPORT(silu) void silu(f32 *x, int count) {
  for (int i = 0; i < count; i += 4) store(x + i, silu_of(load(x + i)));
}

/* A row of a depthwise 3x3 convolution. above, row, below: [width][channels]; weight [9][channels]. */
EXPORT(depthwise)
void depthwise(const f32 *above, const f32 *row, const f32 *below, int width, int channels, const f32 *weight,
               const f32 *bias, f32 *out) {
  const f32 *rows[3] = {above, row, below};
  for (int c = 0; c < channels; c += 4) {
    vec w[9], start = load(bias + c), none = wasm_f32x4_const_splat(0);
    for (int i = 0; i < 9; i++) w[i] = load(weight + i * channels + c);
    vec left[3] = {none, none, none}, centre[3];
    for (int i = 0; i < 3; i++) centre[i] = load(rows[i] + c);
    for (int j = 0; j < width; j++) {
      vec sum = start;
      for (int i = 0; i < 3; i++) {
        vec right = j + 1 < width ? load(rows[i] + (j + 1) * channels + c) : none;
        sum = MULTIPLY_ADD(left[i], w[3 * i], sum);
        sum = MULTIPLY_ADD(centre[i], w[3 * i + 1], sum);
        sum = MULTIPLY_ADD(right, w[3 * i + 2], sum);
        left[i] = centre[i], centre[i] = right;
      }
      store(out + j * channels + c, sum);
    }
  }
}

/* A DepthConvBlock; src/networks.js fills this in. */
typedef struct {
  int32_t channels, hidden;
  f32 stream_max, product_max;
  const f32 *in_weight, *in_bias, *depthwise_weight, *depthwise_bias, *out_weight, *out_bias;
  const f32 *ffn_in_weight, *ffn_in_bias, *ffn_out_weight, *ffn_out_bias;
} Block;

/* What the depthwise convolution sees. */
EXPORT(block_enter) void block_enter(const Block *block, const f32 *x, int positions, f32 *entered) {
  int c = block->channels;
  convolve(x, c, positions, block->in_weight, block->in_bias, c, c, entered, c, 0);
  silu(entered, positions * c);
}

enum { CHUNK = 48 }; /* positions whose values stay in the cache from layer to layer */

/* The rest of a row of the block, in place on x. scratch: width * channels + 48 * 3 * hidden floats. */
EXPORT(block_leave)
void block_leave(const Block *block, f32 *x, const f32 *above, const f32 *row, const f32 *below, int width,
                 f32 *scratch) {
  int c = block->channels, hidden = block->hidden;
  f32 *mixed = scratch, *wide = scratch + width * c, *product = wide + CHUNK * 2 * hidden;
  vec product_max = wasm_f32x4_splat(block->product_max), stream_max = wasm_f32x4_splat(block->stream_max);
  depthwise(above, row, below, width, c, block->depthwise_weight, block->depthwise_bias, mixed);
  for (int start = 0; start < width; start += CHUNK) {
    int count = least(CHUNK, width - start);
    f32 *at = x + start * c;
    convolve(mixed + start * c, c, count, block->out_weight, block->out_bias, c, c, at, c, 1);
    convolve(at, c, count, block->ffn_in_weight, block->ffn_in_bias, c, 2 * hidden, wide, 2 * hidden, 0);
    for (int i = 0; i < count; i++)
      for (int k = 0; k < hidden; k += 4) {
        const f32 *gate = wide + i * 2 * hidden + k;
        store(product + i * hidden + k, bounded(wasm_f32x4_mul(silu_of(load(gate)), load(gate + hidden)), product_max));
      }
    convolve(product, hidden, count, block->ffn_out_weight, block->ffn_out_bias, hidden, c, at, c, 1);
    for (int i = 0; i < count * c; i += 4) store(at + i, bounded(load(at + i), stream_max));
  }
}

/* x times a factor and plus a shift for each channel, clamped to -most..most. */
EXPORT(scale) void scale(f32 *x, int positions, int channels, const f32 *factors, const f32 *shifts, f32 most) {
  vec bound = wasm_f32x4_splat(most);
  for (int i = 0; i < positions; i++)
    for (int c = 0; c < channels; c += 4, x += 4) {
      vec scaled = wasm_f32x4_mul(load(x), load(factors + c));
      store(x, bounded(wasm_f32x4_add(scaled, load(shifts + c)), bound));
    }
}

/* z_hat / gain in rows: int32 [channels][plane], `count` positions from `first` -> [count][channels]. */
EXPORT(divide_rows)
void divide_rows(const int32_t *z_hat, int plane, int first, int count, int channels, const f32 *gain, f32 *out) {
  for (int c = 0; c < channels; c++)
    for (int i = 0; i < count; i++) out[i * channels + c] = (f32)z_hat[c * plane + first + i] / gain[c];
}

/* y_hat = r / gain + mu for every second position of a row, `size` channels. mu [count][size], clamped to
-most..most; r int32 [size][plane], y_hat [row][channels]: both from the first of these positions and channels on. */
EXPORT(dequantize)
void dequantize(const f32 *mu, int count, int size, f32 most, const int32_t *r, int plane, const f32 *gain, f32 *y_hat,
                int channels) {
  for (int k = 0; k < size; k++) {
    f32 step = gain[k];
    for (int j = 0; j < count; j++) {
      y_hat[2 * j * channels + k] = (f32)r[k * plane + 2 * j] / step + within(mu[j * size + k], most);
    }
  }
}

/* Encoding. Both count the values that no file can hold; there is no file then. */

/* z [count][channels] -> z_hat int32 [channels][plane] from position `first` on: rounded, ties to even, -128..127. */
EXPORT(round_z)
int round_z(const f32 *z, int count, int channels, int first, int plane, int32_t *z_hat) {
  int bad = 0;
  for (int c = 0; c < channels; c++)
    for (int i = 0; i < count; i++) {
      f32 value = __builtin_rintf(z[i * channels + c]);
      bad += !is_finite(value);
      z_hat[c * plane + first + i] = !is_finite(value) ? 0 : value < -128 ? -128 : value > 127 ? 127 : (int32_t)value;
    }
  return bad;
}

/* r = round(gain (y - mu)), ties to even; 0 where the scale index is 0. The places are those of `dequantize`, which makes
y_hat of r. y as y_hat, index uint8 as r. */
EXPORT(quantize)
int quantize(const f32 *mu, int count, int size, f32 most, const f32 *y, int channels, const uint8_t *index, int plane,
             const f32 *gain, int32_t *r) {
  const f32 limit = 1 << 20;
  int bad = 0;
  for (int k = 0; k < size; k++)
    for (int j = 0; j < count; j++) {
      f32 mean = within(mu[j * size + k], most), value = (y[2 * j * channels + k] - mean) * gain[k];
      int is_good = value > -limit && value < limit && is_finite(value / gain[k]);
      value = __builtin_rintf(value);
      bad += !is_good;
      r[k * plane + 2 * j] = is_good && index[k * plane + 2 * j] ? (int32_t)value : 0;
    }
  return bad;
}

/* Pixels */

enum { GRAY = 1 };

/* `side` rows of RGBA, `width` pixels each, of which `rows` are there -> positions [count][3 side^2], -0.5..0.5, as
`to_rgba` has them. Last row and column go on to the end. */
EXPORT(from_rgba)
void from_rgba(const uint8_t *rgba, int width, int rows, int side, int count, f32 *out) {
  for (int at = 0; at < count; at++)
    for (int channel = 0; channel < 3; channel++)
      for (int i = 0; i < side; i++) {
        const uint8_t *row = rgba + 4 * least(i, rows - 1) * width + channel;
        for (int j = 0; j < side; j++) *out++ = (f32)row[4 * least(at * side + j, width - 1)] / 255 - 0.5f;
      }
}

static inline int shade(f32 x) { /* x_hat - 0.5 -> 0..255, ties to even; what is no number is 0 */
  f32 value = __builtin_rintf((x + 0.5f) * 255);
  return value >= 255 ? 255 : value > 0 ? (int)value : 0;
}

/* A row of positions [width / side rounded up][3 * side^2] -> `side` rows of RGBA, `width` pixels each; channel c, row
i, column j of a square is at c side^2 + i side + j. Of alpha, `rows` rows of `width` bytes, or 0: opaque. */
EXPORT(to_rgba)
void to_rgba(const f32 *x, int side, int width, int rows, const uint8_t *alpha, int flags, uint8_t *rgba) {
  int square = side * side;
  for (int i = 0; i < rows; i++)
    for (int column = 0; column < width; column++, rgba += 4) {
      const f32 *at = x + column / side * 3 * square + i * side + column % side;
      int red = shade(at[0]), green = shade(at[square]), blue = shade(at[2 * square]);
      if (flags & GRAY) red = green = blue = (red + green + blue + 1) / 3;
      rgba[0] = red, rgba[1] = green, rgba[2] = blue;
      rgba[3] = alpha ? alpha[i * width + column] : 255;
    }
}

/* The integer scale network: exact. Activations are int16 [height][width][channels]. */

/* One layer. x: with a border of kernel / 2 positions. weight int16 [outputs][kernel][kernel][inputs], inputs a multiple
of 8. out: `out_step` int16 from row to row; shuffled: channel 4 c + 2 i + j goes to row offset i, column offset j. */
EXPORT(integer_layer)
void integer_layer(const int16_t *x, int height, int width, int inputs, int kernel, const int16_t *weight,
                   const int32_t *bias, int outputs, int shift, int most, int16_t *out, int out_step, int shuffled) {
  int x_step = (width + kernel - 1) * inputs, length = kernel * inputs;
  for (int row = 0; row < height; row++)
    for (int column = 0; column < width; column++) {
      const int16_t *corner = x + row * x_step + column * inputs;
      for (int n = 0; n < outputs; n += 4) {
        vec sums[4] = {0};
        for (int i = 0; i < kernel; i++) {
          const int16_t *seen = corner + i * x_step, *w = weight + (n * kernel + i) * length;
          for (int k = 0; k < length; k += 8) {
            vec a = wasm_v128_load(seen + k);
            _Pragma("unroll") for (int m = 0; m < 4; m++) sums[m] = wasm_i32x4_add(
                sums[m], wasm_i32x4_dot_i16x8(a, wasm_v128_load(w + m * kernel * length + k)));
          }
        }
        for (int m = 0; m < 4; m++) {
          int32_t sum = wasm_i32x4_extract_lane(sums[m], 0) + wasm_i32x4_extract_lane(sums[m], 1) +
                        wasm_i32x4_extract_lane(sums[m], 2) + wasm_i32x4_extract_lane(sums[m], 3);
          sum = (sum + bias[n + m] + (1 << (shift - 1))) >> shift;
          sum = sum < 0 ? 0 : sum > most ? most : sum;
          if (shuffled) out[(2 * row + m / 2) * out_step + (2 * column + m % 2) * (outputs / 4) + n / 4] = sum;
          else out[row * out_step + column * outputs + n + m] = sum;
        }
      }
    }
}

/* z_hat int32 [channels][plane] -> int16 [height][width][channels], a rectangle of `columns` a row; zeros are around. */
EXPORT(gather_z)
void gather_z(const int32_t *z_hat, int channels, int plane, int z_width, int height, int width, int16_t *out,
              int out_step) {
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++)
      for (int c = 0; c < channels; c++) out[i * out_step + j * channels + c] = z_hat[c * plane + i * z_width + j];
}

/* int16 [height][..][channels] -> uint8 [channels][plane]. */
EXPORT(scatter_index)
void scatter_index(const int16_t *x, int x_step, int height, int width, int channels, uint8_t *index, int plane,
                   int index_width) {
  for (int c = 0; c < channels; c++)
    for (int i = 0; i < height; i++)
      for (int j = 0; j < width; j++) index[c * plane + i * index_width + j] = x[i * x_step + j * channels + c];
}

/* rANS: interleaved lanes, groups of 32 of them share words; see vaecodec/rans/coder.py. */

enum { GROUP_LANES = 32, RANS_L = 1 << 16, COST_BITS = 24 };

typedef struct {
  uint32_t *states, lanes, *next, *ends; /* next, ends: of each group, places in `words` */
  const uint16_t *words;
} Stream;

typedef struct {
  const uint32_t *offsets, *packed; /* where each table begins, and the end; symbols: (frequency - 1) << 16 | start */
  const uint16_t *buckets;          /* [tables][256]: the symbol of the lowest slot */
} Tables;

typedef struct {
  const uint32_t *positions; /* ascending, counted from the first symbol of the segment */
  const int32_t *values;
  uint32_t count;
} Outliers;

/* The next segment. index: a table for every value; with `skip`, values whose index is 0 are 0 and not coded. Returns
the number of symbols, or -1 - group where the words of a group end too early. */
EXPORT(decode_segment)
int decode_segment(Stream *stream, const Tables *tables, const uint8_t *index, int count, int skip,
                   const Outliers *outliers, int32_t *values) {
  uint32_t lane = 0, coded = 0, outlier = 0;
  for (int i = 0; i < count; i++) {
    uint32_t table = index[i];
    if (skip && !table) {
      values[i] = 0;
      continue;
    }
    uint32_t x = stream->states[lane], slot = x & 0xFFFF;
    const uint32_t *rows = tables->packed + tables->offsets[table];
    uint32_t symbol = tables->buckets[table << 8 | slot >> 8], row = rows[symbol];
    while (slot > (row & 0xFFFF) + (row >> 16)) row = rows[++symbol]; /* the last slot of a symbol */
    x = ((row >> 16) + 1) * (x >> 16) + slot - (row & 0xFFFF);
    if (x < RANS_L) {
      uint32_t group = lane / GROUP_LANES, at = stream->next[group];
      if (at == stream->ends[group]) return -1 - (int)group;
      x = x << 16 | stream->words[at];
      stream->next[group] = at + 1;
    }
    stream->states[lane] = x;
    lane = lane + 1 == stream->lanes ? 0 : lane + 1;
    int32_t value = symbol & 1 ? (int32_t)(symbol + 1) >> 1 : -(int32_t)(symbol >> 1);
    if (outlier < outliers->count && outliers->positions[outlier] == coded) value = outliers->values[outlier++];
    values[i] = value;
    coded++;
  }
  return (int)coded;
}

/* Content of symbols in bits times 2^24, from their frequencies: vaecodec/rans/tables.py, to the last digit. */
EXPORT(symbol_costs) void symbol_costs(const uint32_t *packed, int count, int32_t *costs) {
  for (int i = 0; i < count; i++) {
    uint64_t frequency = (packed[i] >> 16) + 1;
    int whole = 31 - __builtin_clz((uint32_t)frequency);
    uint64_t mantissa = frequency << (31 - whole);
    int32_t log2 = whole;
    for (int digit = 0; digit < COST_BITS; digit++) {
      mantissa = mantissa * mantissa >> 31;
      int bit = (int)(mantissa >> 32);
      mantissa >>= bit;
      log2 = 2 * log2 + bit;
    }
    costs[i] = (16 << COST_BITS) - log2;
  }
}

typedef struct {
  uint64_t cost;
  uint32_t symbols, outliers;
} Content;

static inline int32_t largest_of(const Tables *tables, uint32_t table) {
  return (int32_t)(tables->offsets[table + 1] - tables->offsets[table] - 1) / 2;
}

static inline uint32_t symbol_of(int32_t value, int32_t largest) {
  int32_t clipped = value > largest ? largest : value < -largest ? -largest : value;
  return clipped > 0 ? 2 * clipped - 1 : -2 * clipped;
}

/* What a segment comes to; index and skip as for `decode_segment`. Lists its outliers where `listed` is not 0. */
EXPORT(measure_segment)
void measure_segment(const Tables *tables, const int32_t *costs, const uint8_t *index, int count, int skip,
                     const int32_t *values, Content *content, uint32_t *listed, int32_t *listed_values) {
  Content sum = {0, 0, 0};
  for (int i = 0; i < count; i++) {
    uint32_t table = index[i];
    if (skip && !table) continue;
    int32_t largest = largest_of(tables, table), value = values[i];
    sum.cost += costs[tables->offsets[table] + symbol_of(value, largest)];
    if (value > largest || value < -largest) {
      if (listed) listed[sum.outliers] = sum.symbols, listed_values[sum.outliers] = value;
      sum.outliers++;
    }
    sum.symbols++;
  }
  *content = sum;
}

typedef struct {
  uint32_t *states, lanes, *next; /* next: of each group, the place in `words` behind what is to be written */
  uint16_t *words;
} Writer;

/* The next segment, from its end to its start; segments come last first. symbols: as `measure_segment` counts them. */
EXPORT(encode_segment)
void encode_segment(Writer *writer, const Tables *tables, const uint8_t *index, int count, int skip, uint32_t symbols,
                    const int32_t *values) {
  uint32_t lane = symbols % writer->lanes; /* of the symbol before, walking backwards */
  for (int i = count - 1; i >= 0; i--) {
    uint32_t table = index[i];
    if (skip && !table) continue;
    lane = (lane ? lane : writer->lanes) - 1;
    uint32_t row = tables->packed[tables->offsets[table] + symbol_of(values[i], largest_of(tables, table))];
    uint32_t frequency = (row >> 16) + 1, x = writer->states[lane];
    if (x >> 16 >= frequency) {
      writer->words[--writer->next[lane / GROUP_LANES]] = x & 0xFFFF;
      x >>= 16;
    }
    writer->states[lane] = (x / frequency << 16) + x % frequency + (row & 0xFFFF);
  }
}
