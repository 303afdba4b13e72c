// The end of a step: logits, the largest of them (of equals the one with the lowest token), and the next step's state.
#pragma once
#include "product.cuh"

namespace choice {
using namespace shape;

// Chosen if any logit is NaN: no token that could be taken for one.
constexpr long long no_token = -1;

struct Best {
  float logit = __int_as_float(0xff800000);  // minus infinity
  unsigned token = ~0u;
  // NaN counts as the largest, so that it is seen.
  __device__ __forceinline__ void offer(float other, unsigned its) {
    bool more = other > logit || (other != other && logit == logit);
    bool equal = other == logit || (other != other && logit != logit);
    if (more || (equal && its < token)) {
      logit = other;
      token = its;
    }
  }
  __device__ __forceinline__ void over_lanes() {
    for (int lanes = 16; lanes; lanes >>= 1) {
      float other = __shfl_xor_sync(~0u, logit, lanes);
      unsigned its = __shfl_xor_sync(~0u, token, lanes);
      offer(other, its);
    }
  }
};

// Writes the block's logits and sends its best.
__device__ __forceinline__ void logits(const Block& block, float scale) {
  Best best;
  const plan::Range& range = block.range(plan::HEAD_ROWS);
  product::InTwos turns{block.warp, range.count()};
  product::rows<hidden>(block, plan::HEAD, turns, [&](int k, float sum, float next) {
    product::Turn turn = turns(k);
    for (int i = 0; i < (turn.two ? 2 : 1); ++i) {
      float logit = scale * (i ? next : sum);
      unsigned token = range.first + turn.slot + i;
      best.offer(logit, token);
      if (block.lane == 0) block.step.logits[token] = logit;
    }
  });
  Best* bests = block.at<Best>(memory::peaks);  // [warps]
  if (block.lane == 0) bests[block.warp] = best;
  block.sync();
  if (block.thread == 0) {
    for (int i = 0; i < warps; ++i) best.offer(bests[i].logit, bests[i].token);
    send(block.step.choices + 2 * blockIdx.x, best.logit, block.epoch_now(1));
    send(block.step.choices + 2 * blockIdx.x + 1, best.token, block.epoch_now(1));
  }
}

// The first warp of the first block chooses among the blocks' bests, and leaves token, position and launch count.
__device__ __forceinline__ void choose(const Block& block) {
  if (blockIdx.x || block.warp) return;
  constexpr int loads = divided_up(blocks, 32);
  auto other = [&](int k) {
    int i = block.lane + 32 * k;
    return i < blocks ? i : 0;
  };
  Pair v[loads];
  block.gather(v, block.step.choices, [&](int k) { return 2 * other(k); }, block.epoch_now(1), CHOICES);
  Best best;
#pragma unroll
  for (int k = 0; k < loads; ++k) best.offer(number(v[k].a), value(v[k].b));
  best.over_lanes();
  if (block.lane) return;
  long long token = best.logit == best.logit ? (long long)best.token : no_token;
  *block.step.chosen = token;
  block.step.log[block.position] = token;
  *block.step.position = block.position + 1;
  *block.step.launches += 1;
}
}  // namespace choice
