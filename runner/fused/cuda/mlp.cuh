// The MLP: silu(Wgate x) · Wup x, then Wdown. Activations go from the packets straight into registers: a warp always has
// the same piece of Wdown's rows, so it needs only the activations of that piece.
#pragma once
#include "residual.cuh"

namespace mlp {
using namespace shape;

// An item is a pair of activations, made of two rows of Wgate and two of Wup. It is finished while the next one's first
// row comes out of its slot.
__device__ __forceinline__ void gate_up(const Block& block, float scale) {
  constexpr int granules = hidden / granule, n = product::steps(granules);
  if (!block.has_items(plan::GATE_UP)) return;
  uint4 x[n];
  product::load<granules, granules>(x, shared_address(block.at<char>(memory::input)), granules);
  int before = -1;
  float v[4];                                                  // gate, up, gate, up
  auto finish = [&] {
#pragma unroll
    for (int part = 0; part < 4; ++part) v[part] = scale * warp_sum(v[part]);
    float a = v[0] / (1.f + __expf(-v[0])) * v[1], b = v[2] / (1.f + __expf(-v[2])) * v[3];
    if (block.lane == 0)
      send(block.step.activations + block.range(plan::GATE_UP).first + before, pack(a, b), block.epoch_now(0));
  };
  block.items(plan::GATE_UP, [&](int item) {
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      uint4 w[n];
      product::load<granules, granules>(w, block.ring.wait(block.layer), granules);
      if (part == 0 && before >= 0) finish();
      v[part] = product::share(x, w);
      block.ring.release();
    }
    before = item;
  });
  finish();
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

// An item is a piece of a row; its sum goes to memory::partial.
__device__ __forceinline__ void down(const Block& block) {
  const plan::Range& range = block.range(plan::DOWN);
  if (block.has_items(plan::DOWN)) {
    constexpr int n = product::steps(most_piece());
    int piece = (range.first + plan::first_item(range, block.warp)) % pieces, start = plan::piece_start(piece);
    int granules = plan::piece_start(piece + 1) - start;
    Pair v[2 * n];                                             // four packets, eight activations, make a granule
    block.gather(v, [&](int k) {
      int i = smaller(k / 2 * 32 + block.lane, granules - 1);
      return block.step.activations + 4 * (start + i) + 2 * (k & 1);
    }, block.epoch_now(0), ACTIVATIONS);
    uint4 x[n];
#pragma unroll
    for (int s = 0; s < n; ++s) x[s] = make_uint4(value(v[2 * s].a), value(v[2 * s].b), value(v[2 * s + 1].a), value(v[2 * s + 1].b));
    float* partial = block.at<float>(memory::partial);
    product::items<least_piece(), most_piece()>(block, plan::DOWN, x, granules, [&](int item, float sum) {
      if (block.lane == 0) partial[item] = sum;
    });
  }
  block.sync();
  if (block.thread < (range.stop - range.first) / pieces) {
    float sum = 0;
    for (int p = 0; p < pieces; ++p) sum += block.at<float>(memory::partial)[block.thread * pieces + p];
    residual::add_and_send(block, block.thread, sum, 1);
  }
}
}  // namespace mlp
