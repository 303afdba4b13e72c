// A row of weights times the input, by one warp. The input lies in registers, the row in a slot of the ring.
//
// Each lane holds the same granules (eight bf16, 16 bytes) of both: lane, lane + 32, … A matrix instruction multiplies
// 16 × 16 weights by a 16 × 8 input; here its row r and its column r are what lanes 4r to 4r + 3 hold, and of its result
// only the diagonal is wanted: the sum over those lanes' granules. Seven eighths of its work are thrown away, and still
// a granule costs two instructions; unpacked and multiplied one by one it costs twenty-four.
#pragma once
#include "block.cuh"

namespace product {
constexpr int chains = 8;  // sums that run side by side: a matrix instruction takes about 33 cycles

constexpr int steps(int granules) { return shape::divided_up(granules, 32); }

// This lane's granules of a vector of LEAST to MOST granules in shared memory; zero behind its end.
template <int LEAST, int MOST>
__device__ __forceinline__ void load(uint4 (&v)[steps(MOST)], unsigned from, int granules) {
#pragma unroll
  for (int s = 0; s < steps(MOST); ++s) {
    int i = 32 * s + threadIdx.x % 32;
    v[s] = 32 * s + 32 <= LEAST || i < granules ? load_shared(from + 16 * i) : make_uint4(0, 0, 0, 0);
  }
}

// The product of this lane's granules, in part: the sum over all lanes is the row's.
template <int N>
__device__ __forceinline__ float share(const uint4 (&x)[N], const uint4 (&w)[N]) {
  float sums[chains][4] = {};
#pragma unroll
  for (int s = 0; s < N; ++s) {
    multiply(sums[2 * s % chains], w[s].x, w[s].y, x[s].x, x[s].y);
    multiply(sums[(2 * s + 1) % chains], w[s].z, w[s].w, x[s].z, x[s].w);
  }
  int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
  float even = ((sums[0][0] + sums[1][0]) + (sums[2][0] + sums[3][0])) + ((sums[4][0] + sums[5][0]) + (sums[6][0] + sums[7][0]));
  float odd = ((sums[0][1] + sums[1][1]) + (sums[2][1] + sums[3][1])) + ((sums[4][1] + sums[5][1]) + (sums[6][1] + sums[7][1]));
  return column == row / 2 ? (row & 1 ? odd : even) : 0.f;
}

// Calls use(item, product) for each of the warp's items of a phase, with x in registers. A product is added up over the
// lanes while the next row comes out of its slot.
template <int LEAST, int MOST, class Use>
__device__ __forceinline__ void items(const Block& block, int phase, const uint4 (&x)[steps(MOST)], int granules, Use use) {
  int before = -1;
  float sum = 0;
  block.items(phase, [&](int item) {
    uint4 w[steps(MOST)];
    load<LEAST, MOST>(w, block.ring.wait(block.layer), granules);
    if (before >= 0) use(before, warp_sum(sum));
    sum = share(x, w);
    block.ring.release();
    before = item;
  });
  if (before >= 0) use(before, warp_sum(sum));
}

// The same for rows of K weights, the input being in shared memory.
template <int K, class Use>
__device__ __forceinline__ void rows(const Block& block, int phase, Use use) {
  if (!block.has_items(phase)) return;
  constexpr int granules = K / shape::granule;
  uint4 x[steps(granules)];
  load<granules, granules>(x, shared_address(block.at<char>(memory::input)), granules);
  items<granules, granules>(block, phase, x, granules, use);
}
}  // namespace product
