// The MLP: silu(Wgate x) · Wup x, then Wdown. Activations go from the packets straight into registers: a warp always
// has the same piece of Wdown's rows, so it needs only the activations of that piece.
#pragma once
#include "residual.cuh"

namespace mlp {
using namespace shape;

// Rows of Wgate and Wup come in turn; two of each make a packet of two activations.
__device__ __forceinline__ void gate_up(const Block& block, float scale) {
  const plan::Range& pairs = block.range(plan::PAIRS);
  float gate = 0, before = 0;
  product::rows<hidden>(block, 4 * (pairs.stop - pairs.first), [&](int i, float sum) {
    sum *= scale;
    if (i % 2 == 0) {
      gate = sum;
      return;
    }
    float activation = gate / (1.f + __expf(-gate)) * sum;
    if (i % 4 == 1) {
      before = activation;
      return;
    }
    if (block.lane == 0)
      send(block.step.activations + pairs.first + i / 4, pack(before, activation), block.epoch_now(0));
  });
}

constexpr int piece_granules(int p) { return plan::piece_start(p + 1) - plan::piece_start(p); }
constexpr int least_piece() {
  int least = piece_granules(0);
  for (int p = 1; p < pieces; ++p) least = smaller(least, piece_granules(p));
  return least;
}
constexpr int most_piece() {
  int most = piece_granules(0);
  for (int p = 1; p < pieces; ++p) most = larger(most, piece_granules(p));
  return most;
}
static_assert(16 * most_piece() <= slot_bytes, "intermediate: a piece of a row must fit a slot");

// A warp multiplies its piece of its rows; the sums of all pieces are added up at the end.
__device__ __forceinline__ void down(const Block& block) {
  const plan::Range& range = block.range(plan::DOWN_ROWS);
  float* partial = block.at<float>(memory::partial);  // [rows][pieces]
  if (range.first < range.stop) {
    constexpr int n = product::steps(most_piece());
    int piece = block.warp % pieces, start = plan::piece_start(piece), granules = plan::piece_start(piece + 1) - start;
    Pair v[2 * n];  // four packets, eight activations, make a granule
    block.gather(
        v, block.step.activations,
        [&](int k) {
          int i = k / 2 * 32 + block.lane;
          if (k / 2 * 32 + 32 > least_piece()) i = smaller(i, granules - 1);
          return 4 * (start + i) + 2 * (k & 1);
        },
        block.epoch_now(0), ACTIVATIONS);
    uint4 x[n];
#pragma unroll
    for (int s = 0; s < n; ++s)
      x[s] = make_uint4(value(v[2 * s].a), value(v[2 * s].b), value(v[2 * s + 1].a), value(v[2 * s + 1].b));
    product::rows<least_piece()>(block, range.stop - range.first, x, granules, [&](int i, float sum) {
      if (block.lane == 0) partial[(range.first - block.first_row + i) * pieces + piece] = sum;
    });
  }
  block.sync();
  if (block.thread < block.rows) {
    float sum = 0;
    for (int p = 0; p < pieces; ++p) sum += partial[block.thread * pieces + p];
    residual::add_and_send(block, block.thread, sum, 1);
  }
}
}  // namespace mlp
