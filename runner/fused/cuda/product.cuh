// A row of weights times the input, by one warp. The input lies in registers, the row in a slot of the ring.
//
// Each lane holds the same granules (eight bf16, 16 bytes) of both: lane, lane + 32, … A matrix instruction multiplies
// 16 × 16 weights by a 16 × 8 input; here its row r and its column r are what lanes 4r to 4r + 3 hold, and of its result
// only the diagonal is wanted: the sum over those lanes' granules. Seven eighths of its work are thrown away, and still
// a granule costs two instructions; unpacked and multiplied one by one it costs twenty-four.
#pragma once
#include "block.cuh"

namespace product {
constexpr int chains = 4;  // sums that run side by side: a matrix instruction takes about 33 cycles

constexpr int steps(int granules) { return shape::divided_up(granules, 32); }

// Sums of the diagonal, over all lanes.
__device__ __forceinline__ float diagonal(const float (&sums)[chains][4]) {
  int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
  float even = (sums[0][0] + sums[1][0]) + (sums[2][0] + sums[3][0]);
  float odd = (sums[0][1] + sums[1][1]) + (sums[2][1] + sums[3][1]);
  return warp_sum(column == row / 2 ? (row & 1 ? odd : even) : 0.f);
}

// The input's granules of this lane, from shared memory; zero behind the end.
template <int GRANULES>
__device__ __forceinline__ void load(uint4 (&x)[steps(GRANULES)], unsigned input) {
#pragma unroll
  for (int s = 0; s < steps(GRANULES); ++s) {
    int i = 32 * s + threadIdx.x % 32;
    x[s] = 32 * s + 32 <= GRANULES || i < GRANULES ? load_shared(input + 16 * i) : make_uint4(0, 0, 0, 0);
  }
}

// The product of a row piece of `granules` granules, at least LEAST and at most MOST. Behind its end the slot holds
// anything, so those weights count as zero.
template <int LEAST, int MOST>
__device__ __forceinline__ float dot(const uint4 (&x)[steps(MOST)], unsigned slot, int granules) {
  constexpr int n = steps(MOST);
  int lane = threadIdx.x % 32;
  uint4 w[n];
#pragma unroll
  for (int s = 0; s < n; ++s)
    w[s] = 32 * s + 32 <= LEAST || 32 * s + lane < granules ? load_shared(slot + 16 * (32 * s + lane)) : make_uint4(0, 0, 0, 0);
  float sums[chains][4] = {};
#pragma unroll
  for (int s = 0; s < n; ++s) {
    multiply(sums[2 * s % chains], w[s].x, w[s].y, x[s].x, x[s].y);
    multiply(sums[(2 * s + 1) % chains], w[s].z, w[s].w, x[s].z, x[s].w);
  }
  return diagonal(sums);
}

// Calls use(item, product) for each of the warp's rows of K weights, the input being in shared memory.
template <int K, class Use>
__device__ __forceinline__ void rows(const Block& block, int phase, Use use) {
  if (!block.has_items(phase)) return;
  constexpr int granules = K / shape::granule;
  uint4 x[steps(granules)];
  load<granules>(x, shared_address(block.at<char>(memory::input)));
  block.items(phase, [&](int item) {
    float sum = dot<granules, granules>(x, block.ring.wait(block.layer), granules);
    block.ring.release();
    use(item, sum);
  });
}
}  // namespace product
