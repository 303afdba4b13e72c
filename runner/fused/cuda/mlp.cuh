// The MLP: silu(Wgate x) · Wup x, then Wdown. Activations go from the packets straight into registers: a warp always
// has the same piece of Wdown's rows, so it needs only the activations of that piece.
#pragma once
#include "residual.cuh"

namespace mlp {
using namespace shape;

// The warp's turns in Wgate and Wup: two of them, four slots, for each of its pairs of rows.
struct InPairs {
  int warp, pairs;
  __device__ __forceinline__ int count() const { return 2 * divided_up(pairs - warp, warps); }
  __device__ __forceinline__ int pair(int k) const { return warp + k / 2 * warps; }
  __device__ __forceinline__ product::Turn operator()(int k) const {
    plan::Pairs round = plan::pairs_in_round(k / 2, pairs);
    return {4 * round.before + 2 * (k % 2 * round.count + warp), true};
  }
};

// A row of Wgate comes with the same of Wup; two of each make a packet of two activations.
__device__ __forceinline__ void gate_up(const Block& block, float scale) {
  const plan::Range& pairs = block.range(plan::PAIRS);
  InPairs turns{block.warp, pairs.count()};
  float before = 0;
  product::rows<hidden>(block, plan::GATE_UP, turns, [&](int k, float gate, float up) {
    gate *= scale;
    float activation = gate / (1.f + __expf(-gate)) * (up * scale);
    if (k % 2 && block.lane == 0)
      send(block.step.activations + pairs.first + turns.pair(k), pack(before, activation), block.epoch_now(0));
    before = activation;
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

// The warp's turns in a round of Wdown: its piece of two rows, of every group of warps in turn.
struct InPieces {
  static constexpr int groups = warps / round_pieces;
  int warp, rows, round;
  __device__ __forceinline__ int piece() const { return round * round_pieces + warp % round_pieces; }
  __device__ __forceinline__ int count() const { return divided_up(divided_up(rows, 2) - warp / round_pieces, groups); }
  __device__ __forceinline__ plan::Place place(int k) const {
    return plan::down_place(round, warp / round_pieces + k * groups, warp % round_pieces, rows);
  }
  __device__ __forceinline__ product::Turn operator()(int k) const {
    plan::Place its = place(k);
    return {its.slot, !its.alone};
  }
};

// A warp multiplies its piece of its rows by the activations of that piece.
__device__ __forceinline__ void down_round(const Block& block, int round) {
  constexpr int n = product::steps(most_piece());
  InPieces turns{block.warp, block.rows, round};
  if (turns.count() <= 0) return;
  int start = plan::piece_start(turns.piece()), granules = plan::piece_start(turns.piece() + 1) - start;
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
  float* partial = block.at<float>(memory::partial);  // [rows][pieces]
  product::rows<least_piece()>(block, plan::DOWN, turns, x, granules, [&](int k, float sum, float next) {
    if (block.lane) return;
    plan::Place its = turns.place(k);
    float* to = partial + 2 * its.two * pieces + its.piece;
    to[0] = sum;
    if (!its.alone) to[pieces] = next;
  });
}

// The sums of all pieces are added up at the end.
__device__ __forceinline__ void down(const Block& block) {
#pragma unroll 1
  for (int round = 0; round < pieces / round_pieces; ++round) {
    block.sync();  // each round on the tape begins behind a barrier, as phases do (ring.cuh)
    down_round(block, round);
  }
  const float* partial = block.at<float>(memory::partial);
  block.sync();
  if (block.thread < block.rows) {
    float sum = 0;
    for (int p = 0; p < pieces; ++p) sum += partial[block.thread * pieces + p];
    residual::add_and_send(block, block.thread, sum, 1);
  }
}
}  // namespace mlp
