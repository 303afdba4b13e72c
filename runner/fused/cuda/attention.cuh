// Attention of one token. A block has one key head and a split of the older tokens; its warps take tiles of the cache
// in turn, join their sums and send them. Then every block joins the splits for its own share of the outputs.
#pragma once
#include "product.cuh"

namespace attention {
using namespace shape;

// Running sums of a warp over its tiles, in the layout of the matrix instruction: row r = lane / 4 is a query head.
struct Sums {
  float largest = -1e30f, total = 0;  // of row r: the largest score, and this lane's share of the sum of exp2
  float out[head_dim / 8][4];         // [.][0, 1]: dimensions 8n + 2 (lane % 4) and the next of row r
  uint4 query[head_dim / 32];         // row r, granules lane % 4, lane % 4 + 4, …
};

// Rotates queries and the new key, and keeps them in shared memory; queries with the softmax's scale, for exp2.
// The last split also has the new value, and writes the token's row of the cache.
__device__ __forceinline__ void rotate(const Block& block, bool last) {
  constexpr int quarter = head_dim / 4;  // an item: dimensions d, d + 1 and their partners half a head on
  constexpr int most = (group + 2) * quarter, loads = divided_up(most, threads);
  const float scale = 1.4426950408889634f * rsqrtf((float)head_dim);
  int head = block.share.tokens.head, count = last ? most : group * quarter;
  auto item = [&](int k) {
    int i = block.thread + k * threads;
    return i < count ? i : 0;
  };
  Pair v[2 * loads];
  block.gather(
      v, block.step.qkv,
      [&](int k) {
        int i = item(k / 2), h = i / quarter, d = i % quarter * 2 + (k & 1) * (head_dim / 2);
        int first = h < group ? (head * group + h) * head_dim : q_rows + (h - group) * kv_rows + head * head_dim;
        return first + d;
      },
      block.epoch_now(0), QUERY);
  const float *cosine = block.at<float>(memory::angles), *sine = cosine + head_dim / 2;
#pragma unroll
  for (int k = 0; k < loads; ++k) {
    if (block.thread + k * threads >= count) continue;
    int i = item(k), h = i / quarter, d = i % quarter * 2;
    float a0 = number(v[2 * k].a), a1 = number(v[2 * k].b), b0 = number(v[2 * k + 1].a), b1 = number(v[2 * k + 1].b);
    float f = h < group ? scale : 1.f, c0 = cosine[d] * f, c1 = cosine[d + 1] * f, s0 = sine[d] * f,
          s1 = sine[d + 1] * f;
    bool value = h == group + 1;  // values are not rotated
    unsigned a = value ? pack(a0, a1) : pack(a0 * c0 - b0 * s0, a1 * c1 - b1 * s1);
    unsigned b = value ? pack(b0, b1) : pack(b0 * c0 + a0 * s0, b1 * c1 + a1 * s1);
    unsigned* row = h < group ? block.at<unsigned>(memory::query) + h * head_dim / 2
                              : block.at<unsigned>(memory::fresh) + (h - group) * head_dim / 2;
    row[d / 2] = a;
    row[d / 2 + quarter] = b;
    if (h >= group) {
      const plan::Layer& layer = block.layers[block.layer];
      unsigned* cached = (unsigned*)(layer.tensors[value ? plan::VALUES : plan::KEYS] +
                                     ((long long)head * block.step.cache_rows + block.position) * row_bytes);
      cached[d / 2] = a;
      cached[d / 2 + quarter] = b;
    }
  }
}

// Adds a tile of `count` tokens: keys and values at shared addresses, `stride` bytes from token to token.
__device__ __forceinline__ void add_tile(Sums& sums, unsigned keys, unsigned values, int stride, int count, int lane) {
  int row = lane / 4, column = lane % 4, end = count - 1;
  unsigned near = keys + smaller(row, end) * stride + 16 * column,
           far = keys + smaller(row + 8, end) * stride + 16 * column;
  float first[4] = {}, second[4] = {};  // scores of tokens 0 to 7, 8 to 15
#pragma unroll
  for (int j = 0; j < head_dim / 32; ++j) {
    uint4 a = load_shared(near + 64 * j), b = load_shared(far + 64 * j), q = sums.query[j];
    multiply(first, q.x, 0, q.y, 0, a.x, a.y);
    multiply(second, q.x, 0, q.y, 0, b.x, b.y);
    multiply(first, q.z, 0, q.w, 0, a.z, a.w);
    multiply(second, q.z, 0, q.w, 0, b.z, b.w);
  }
  float p[4] = {first[0], first[1], second[0], second[1]}, largest = -1e30f;
#pragma unroll
  for (int i = 0; i < 4; ++i) {  // this lane's tokens: 2c, 2c + 1, 2c + 8, 2c + 9
    p[i] = 2 * column + i % 2 + i / 2 * 8 < count ? p[i] : -1e30f;
    largest = fmaxf(largest, p[i]);
  }
  largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
  largest = fmaxf(sums.largest, fmaxf(largest, __shfl_xor_sync(~0u, largest, 2)));
  float shrink = exp2f(sums.largest - largest), total = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    p[i] = 2 * column + i % 2 + i / 2 * 8 < count ? exp2f(p[i] - largest) : 0.f;
    total += p[i];
  }
  sums.total = sums.total * shrink + total;
  sums.largest = largest;
  unsigned near_p = pack(p[0], p[1]), far_p = pack(p[2], p[3]);
  // tokens behind the last one have weight 0, but their values must be finite: the last one stands for them
  unsigned from = values + smaller(lane % 16, end) * stride + lane / 16 * 16;
#pragma unroll
  for (int j = 0; j < head_dim / 16; ++j) {
    uint4 v = load_transposed(from + 32 * j);
#pragma unroll
    for (int n = 2 * j; n < 2 * j + 2; ++n) {
      sums.out[n][0] *= shrink;
      sums.out[n][1] *= shrink;
    }
    multiply(sums.out[2 * j], near_p, 0, far_p, 0, v.x, v.y);
    multiply(sums.out[2 * j + 1], near_p, 0, far_p, 0, v.z, v.w);
  }
}

// Joins the warps' sums and sends the block's: for each head of the group its outputs, its largest score and its total.
__device__ __forceinline__ void join_warps(const Block& block, Sums& sums) {
  constexpr int dims = memory::round_dims;
  int row = block.lane / 4, column = block.lane % 4, first = block.share.tokens.head * group;
  sums.total += __shfl_xor_sync(~0u, sums.total, 1);
  sums.total += __shfl_xor_sync(~0u, sums.total, 2);
  float2* peaks = block.at<float2>(memory::peaks);  // [warps][8]
  if (column == 0) peaks[block.warp * 8 + row] = make_float2(sums.largest, sums.total);
  block.sync();
  float largest = -1e30f, total = 0;
#pragma unroll
  for (int i = 0; i < warps; ++i) largest = fmaxf(largest, peaks[i * 8 + row].x);
#pragma unroll
  for (int i = 0; i < warps; ++i) total += peaks[i * 8 + row].y * exp2f(peaks[i * 8 + row].x - largest);
  float f = exp2f(sums.largest - largest);
  unsigned epoch = block.epoch_now(0);
  if (block.warp == 0 && column == 0 && row < group) {
    Packet* to = block.step.weights + 2 * (block.share.tokens.split * heads + first + row);
    send(to, largest, epoch);
    send(to + 1, total, epoch);
  }
  float* joined = block.at<float>(memory::input);  // [warps][group][dims]
  Packet* parts = block.step.parts + block.share.tokens.split * q_rows + first * head_dim;
#pragma unroll
  for (int start = 0; start < head_dim; start += dims) {
    if (start) block.sync();
    if (row < group)
#pragma unroll
      for (int n = 0; n < dims / 8; ++n) {
        const float* out = sums.out[start / 8 + n];
        *(float2*)(joined + (block.warp * group + row) * dims + 8 * n + 2 * column) =
            make_float2(out[0] * f, out[1] * f);
      }
    block.sync();
    for (int i = block.thread; i < group * dims; i += threads) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < warps; ++w) sum += joined[w * group * dims + i];
      send(parts + i / dims * head_dim + start + i % dims, sum, epoch);
    }
  }
}

// The block's split of its key head.
__device__ __forceinline__ void split(const Block& block) {
  const plan::Tokens& tokens = block.share.tokens;
  bool last = tokens.split == tokens.splits - 1;
  rotate(block, last);
  block.sync();
  Sums sums;
#pragma unroll
  for (int n = 0; n < head_dim / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums.out[n][i] = 0;
  unsigned query = shared_address(block.at<char>(memory::query)) + smaller(block.lane / 4, group - 1) * row_bytes;
#pragma unroll
  for (int j = 0; j < head_dim / 32; ++j) sums.query[j] = load_shared(query + 64 * j + 16 * (block.lane % 4));
  int start = block.first_slot(plan::CACHE), count = tokens.stop - tokens.first;
#pragma unroll 1
  for (int tile = block.warp; tile * tile_tokens < count; tile += warps) {
    unsigned keys = block.reader.wait(start + tile);
    int held = smaller(tile_tokens, count - tile * tile_tokens);
    add_tile(sums, keys, keys + copies::second_at, row_bytes, held, block.lane);
    instruments::multiplies(block.layer, plan::CACHE, held, 2 * row_bytes);
    block.reader.release(start + tile, 1);
  }
  if (last && block.warp == 0) {  // the new token: a tile of one, from shared memory
    unsigned fresh = shared_address(block.at<char>(memory::fresh));
    add_tile(sums, fresh, fresh + row_bytes, 0, 1, block.lane);
    instruments::multiplies(block.layer, plan::CACHE, 1, 2 * row_bytes);
  }
  join_warps(block, sums);
}

// Joins the splits of the warp's own pairs of outputs, a lane for each split, and sends them.
__device__ __forceinline__ void join_splits(const Block& block) {
  constexpr int most = divided_up(divided_up(q_rows / 2, blocks), warps);
  const plan::Range& range = block.range(plan::OUTPUT_PAIRS);
  int splits = block.share.tokens.splits, split = smaller(block.lane, splits - 1), first = range.first + block.warp;
  if (first >= range.stop) return;
  auto pair = [&](int k) { return first + k * warps < range.stop ? first + k * warps : first; };
  long long weights = block.step.weights - block.step.parts;
  Pair v[2 * most];  // two outputs; largest score and total
  block.gather(
      v, block.step.parts,
      [&](int k) {
        int output = 2 * pair(k / 2);
        return k & 1 ? weights + 2 * (split * heads + output / head_dim) : split * q_rows + output;
      },
      block.epoch_now(0), PARTS);
#pragma unroll
  for (int k = 0; k < most; ++k) {
    if (first + k * warps >= range.stop) continue;
    float score = block.lane < splits ? number(v[2 * k + 1].a) : -1e30f, largest = score;
    for (int lanes = 16; lanes; lanes >>= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, lanes));
    float f = block.lane < splits ? exp2f(score - largest) : 0.f;
    float total = warp_sum(f * number(v[2 * k + 1].b));
    float a = warp_sum(f * number(v[2 * k].a)), b = warp_sum(f * number(v[2 * k].b));
    if (block.lane == 0) send(block.step.attention + pair(k), pack(a / total, b / total), block.epoch_now(0));
  }
}

// Puts all outputs of attention as bf16 into memory::input.
__device__ __forceinline__ void gather_outputs(const Block& block) {
  constexpr int loads = divided_up(q_rows / 4, threads);
  auto index = [&](int k) { return block.item(k, q_rows / 4); };
  Pair v[loads];
  block.gather(v, block.step.attention, [&](int k) { return 2 * index(k); }, block.epoch_now(0), ATTENTION);
  block.sync();  // no warp still reads what it needs of the input before
#pragma unroll
  for (int k = 0; k < loads; ++k)
    if (block.has_item(k, q_rows / 4))
      block.at<uint2>(memory::input)[index(k)] = make_uint2(value(v[k].a), value(v[k].b));
  block.sync();
}
}  // namespace attention
