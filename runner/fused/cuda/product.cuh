// Rows of weights times the input, by one warp. The input lies in registers, the rows in slots of the ring.
//
// Each lane holds the same granules (eight bf16, 16 bytes) of input and row: lane, lane + 32, … Two rows go through the
// matrix unit together. An instruction multiplies 16 × 16 weights by a 16 × 8 input. Here its rows r and r + 8 are what
// lanes 4r to 4r + 3 hold of the two rows, its column r is what they hold of the input, and of its result only the
// diagonals are wanted. Seven eighths of its work are thrown away, and still a granule costs two instructions: one to
// load and one to multiply it. Unpacked and multiplied value by value, it costs more than twenty.
#pragma once
#include "block.cuh"

namespace product {
constexpr int chains = 4;  // sums that run side by side: a matrix instruction takes about 33 cycles
constexpr int chunk = 4;   // granules per lane and row that are loaded while those before are multiplied

constexpr int steps(int granules) { return shape::divided_up(granules, 32); }

// This lane's granule 32 step + lane of a vector of LEAST to MOST granules in shared memory; zero behind its end.
template <int LEAST>
__device__ __forceinline__ uint4 load(unsigned from, int step, int granules) {
  int i = 32 * step + threadIdx.x % 32;
  return 32 * step + 32 <= LEAST || i < granules ? load_shared(from + 16 * i) : make_uint4(0, 0, 0, 0);
}

// Sums of two rows, each in the lanes of one diagonal: the sum over all lanes is the row's product with x.
// Calls meanwhile() while the first granules are loaded.
template <int LEAST, int N, class Meanwhile>
__device__ __forceinline__ float2 multiply_rows(const uint4 (&x)[N], unsigned first, unsigned second, int granules,
                                                Meanwhile meanwhile) {
  constexpr int chunks = shape::divided_up(N, chunk);
  float sums[chains][4] = {};
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
      const uint4 &a = w[(c + 1) % 2][i][0], &b = w[(c + 1) % 2][i][1];
      multiply(sums[2 * s % chains], a.x, b.x, a.y, b.y, x[s].x, x[s].y);
      multiply(sums[(2 * s + 1) % chains], a.z, b.z, a.w, b.w, x[s].z, x[s].w);
    }
  }
  float total[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) total[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
  int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
  if (column != row / 2) return make_float2(0, 0);
  return row & 1 ? make_float2(total[1], total[3]) : make_float2(total[0], total[2]);
}

// A warp's turn in a phase: one row or two, in slots that follow each other, counted from the phase's first one.
struct Turn {
  int slot;
  bool two;
};

// The warp's turns where two rows go to each warp in turn, of `slots` slots.
struct InTwos {
  int warp, slots;
  __device__ __forceinline__ int count() const { return shape::divided_up(slots - 2 * warp, 2 * shape::warps); }
  __device__ __forceinline__ Turn operator()(int k) const {
    int slot = 2 * (warp + k * shape::warps);
    return {slot, slot + 1 < slots};
  }
};

// Calls use(k, product, next product) in each of the warp's turns k, with x in registers; rows of LEAST granules or
// more. If a row is alone, both products are its own. Products are added up over the lanes while the next two rows come
// out of their slots.
template <int LEAST, int N, class Turns, class Use>
__device__ __forceinline__ void rows(const Block& block, plan::Phase phase, Turns turns, const uint4 (&x)[N],
                                     int granules, Use use) {
  int start = block.first_slot(phase), count = turns.count();
  float2 sums;
  auto finish = [&](int k) {
    for (int lanes = 16; lanes; lanes >>= 1) {
      sums.x += __shfl_xor_sync(~0u, sums.x, lanes);
      sums.y += __shfl_xor_sync(~0u, sums.y, lanes);
    }
    use(k, sums.x, sums.y);
  };
#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    Turn turn = turns(k);
    int n = start + turn.slot;
    unsigned first = block.reader.wait(n), second = turn.two ? block.reader.wait(n + 1) : first;
    sums = multiply_rows<LEAST>(x, first, second, granules, [&] {
      if (k) finish(k - 1);
    });
    instruments::multiplies(block.layer, phase, turn.two ? 2 : 1, 16 * granules);
    block.reader.release(n, turn.two ? 2 : 1);
  }
  if (count > 0) finish(count - 1);
}

// The same for rows of K weights, the input being in shared memory.
template <int K, class Turns, class Use>
__device__ __forceinline__ void rows(const Block& block, plan::Phase phase, Turns turns, Use use) {
  if (turns.count() <= 0) return;
  constexpr int granules = K / shape::granule;
  uint4 x[steps(granules)];
#pragma unroll
  for (int s = 0; s < steps(granules); ++s)
    x[s] = load<granules>(shared_address(block.at<char>(memory::input)), s, granules);
  rows<granules>(block, phase, turns, x, granules, use);
}
}  // namespace product
