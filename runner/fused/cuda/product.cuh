// Rows of weights times the input, by one warp. The input lies in registers, the rows in slots of the ring.
//
// Each lane holds the same granules (eight bf16, 16 bytes, four words) of input and row: lane, lane + 32, … An instruction
// multiplies 16 × 16 weights by a 16 × 8 input. Here its row r is made of words 0 and 2 of the granules of lanes 4r to
// 4r + 3, its row r + 8 of their words 1 and 3, and its column r of the input's words 0 and 2, or 1 and 3. Of the results
// only the diagonals are wanted: of the upper half in the first case, of the lower half in the second. Fifteen sixteenths
// of the work are thrown away, and still a granule of weights costs three instructions, one to load and two to multiply
// it; unpacked and multiplied value by value it costs more than twenty.
#pragma once
#include "block.cuh"

namespace product {
constexpr int chains = 2;  // sums of a kind that run side by side: a matrix instruction takes about 33 cycles
constexpr int chunk = 4;   // granules per lane and row that are loaded while those before are multiplied

constexpr int steps(int granules) { return shape::divided_up(granules, 32); }

// An input's granule as the matrix instruction wants it: words 0 and 2, then 1 and 3.
__device__ __forceinline__ uint4 as_columns(uint4 v) { return make_uint4(v.x, v.z, v.y, v.w); }

// This lane's granule 32 step + lane of a vector of LEAST to MOST granules in shared memory; zero behind its end.
template <int LEAST>
__device__ __forceinline__ uint4 load(unsigned from, int step, int granules) {
  int i = 32 * step + threadIdx.x % 32;
  return 32 * step + 32 <= LEAST || i < granules ? load_shared(from + 16 * i) : make_uint4(0, 0, 0, 0);
}

// Sums of two rows: the sum over all lanes is the row's product with x. Calls meanwhile() while the first granules are
// loaded.
template <int LEAST, int N, class Meanwhile>
__device__ __forceinline__ float2 multiply_rows(const uint4 (&x)[N], unsigned first, unsigned second, int granules, Meanwhile meanwhile) {
  constexpr int chunks = shape::divided_up(N, chunk);
  float upper[2][chains][4] = {}, lower[2][chains][4] = {};
  uint4 w[2][chunk][2];
#pragma unroll
  for (int c = 0; c <= chunks; ++c) {
#pragma unroll
    for (int i = 0; i < chunk; ++i) {
      if (c * chunk + i >= N) continue;
      w[c % 2][i][0] = load<LEAST>(first, c * chunk + i, granules);
      w[c % 2][i][1] = load<LEAST>(second, c * chunk + i, granules);
    }
    if (c == 0) meanwhile();
#pragma unroll
    for (int i = 0; i < chunk; ++i) {
      int s = (c - 1) * chunk + i;
      if (s < 0 || s >= N) continue;
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const uint4& a = w[(c + 1) % 2][i][row];
        multiply(upper[row][s % chains], a.x, a.y, a.z, a.w, x[s].x, x[s].y);
        multiply(lower[row][s % chains], a.x, a.y, a.z, a.w, x[s].z, x[s].w);
      }
    }
  }
  int r = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
  float sums[2];
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    float even = 0, odd = 0;
#pragma unroll
    for (int i = 0; i < chains; ++i) {
      even += upper[row][i][0] + lower[row][i][2];
      odd += upper[row][i][1] + lower[row][i][3];
    }
    sums[row] = column == r / 2 ? (r & 1 ? odd : even) : 0.f;
  }
  return make_float2(sums[0], sums[1]);
}

// Calls use(i, product) for the warp's next `count` slots, i = 0, 1, …, with x in registers. Rows of LEAST granules or more.
// Two products are added up over the lanes while the next two rows come out of their slots.
template <int LEAST, int N, class Use>
__device__ __forceinline__ void rows(const Block& block, int count, const uint4 (&x)[N], int granules, Use use) {
  float2 sums;
  auto finish = [&](int i) {
    for (int lanes = 16; lanes; lanes >>= 1) {
      sums.x += __shfl_xor_sync(~0u, sums.x, lanes);
      sums.y += __shfl_xor_sync(~0u, sums.y, lanes);
    }
    use(i, sums.x);
    if (i + 1 < count) use(i + 1, sums.y);
  };
#pragma unroll 1
  for (int i = 0; i < count; i += 2) {
    bool two = i + 1 < count;
    unsigned first = block.ring.wait(), second = two ? block.ring.wait(1) : first;
    sums = multiply_rows<LEAST>(x, first, second, granules, [&] { if (i) finish(i - 2); });
    block.ring.release(two ? 2 : 1);
  }
  if (count > 0) finish((count - 1) / 2 * 2);
}

// The same for rows of K weights, the input being in shared memory.
template <int K, class Use>
__device__ __forceinline__ void rows(const Block& block, int count, Use use) {
  if (count <= 0) return;
  constexpr int granules = K / shape::granule;
  uint4 x[steps(granules)];
#pragma unroll
  for (int s = 0; s < steps(granules); ++s) x[s] = as_columns(load<granules>(shared_address(block.at<char>(memory::input)), s, granules));
  rows<granules>(block, count, x, granules, use);
}
}  // namespace product
