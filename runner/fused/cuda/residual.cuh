// The residual stream: gathered from all blocks, weighted for the next products, and added to by Wo and Wdown.
#pragma once
#include "product.cuh"

namespace residual {
using namespace shape;

// Puts h · weight as bf16 into memory::input, and returns what the products with it must be multiplied by to be those
// with rmsnorm(h) · weight. h is the embedding's row of `token`, or what all blocks sent in `epoch` if token < 0.
__device__ __forceinline__ float normed(const Block& block, const bf16* weight, long long token, unsigned epoch) {
  constexpr int loads = divided_up(hidden / 2, threads);
  unsigned w[loads];
  Pair h[loads];
  auto pair = [&](int k) { return block.item(k, hidden / 2); };
#pragma unroll
  for (int k = 0; k < loads; ++k) w[k] = ((const unsigned*)weight)[pair(k)];
  if (token >= 0) {
#pragma unroll
    for (int k = 0; k < loads; ++k) {
      unsigned v = ((const unsigned*)(block.step.embedding + token * hidden))[pair(k)];
      h[k] = {(u64)__float_as_uint(low(v)), (u64)__float_as_uint(high(v))};
    }
  } else {
    block.gather(h, block.step.hidden, [&](int k) { return 2 * pair(k); }, epoch, HIDDEN_STATE);
  }
  float squares = 0;
#pragma unroll
  for (int k = 0; k < loads; ++k)
    if (block.has_item(k, hidden / 2)) squares += number(h[k].a) * number(h[k].a) + number(h[k].b) * number(h[k].b);
  squares = warp_sum(squares);
  float* sums = block.at<float>(memory::sums);
  if (block.lane == 0) sums[block.warp] = squares;
  block.sync();  // no warp still reads what it needs of the input before
  unsigned* input = block.at<unsigned>(memory::input);
#pragma unroll
  for (int k = 0; k < loads; ++k)
    if (block.has_item(k, hidden / 2)) input[pair(k)] = pack(number(h[k].a) * low(w[k]), number(h[k].b) * high(w[k]));
  block.sync();
  float total = 0;
  for (int i = 0; i < warps; ++i) total += sums[i];
  return rsqrtf(total / hidden + block.step.epsilon);
}

// Brings a layer's norms and biases, and the last norm, into the L2: they are few bytes, but what waits for them waits
// for the memory. Each block takes other lines of 128 bytes.
__device__ __forceinline__ void prefetch_vectors(const Block& block, int layer) {
  if (block.thread > 5) return;
  bool biases = block.thread < 3;
  if (layer >= layers || (biases && !qkv_bias)) return;
  const char* vector = block.thread == 5 ? (const char*)block.step.norm
                                         : (const char*)(&block.step.vectors[layer].query_bias)[block.thread];
  int bytes = 2 * (block.thread == 0 ? q_rows : biases ? kv_rows : hidden);
#pragma unroll 1
  for (int at = 128 * blockIdx.x; at < bytes; at += 128 * blocks)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(vector + at));
}

// The block's own rows of the embedding's row of `token`: its residual.
__device__ __forceinline__ void begin(const Block& block, long long token) {
  if (block.thread >= block.rows) return;
  block.at<float>(memory::residual)[block.thread] =
      from_bf16(block.step.embedding[token * hidden + block.first_row + block.thread]);
}

__device__ __forceinline__ void add_and_send(const Block& block, int own_row, float sum, int half) {
  float* sum_so_far = block.at<float>(memory::residual) + own_row;
  *sum_so_far += sum;
  send(block.step.hidden + block.first_row + own_row, *sum_so_far, block.epoch_now(half));
}
}  // namespace residual
