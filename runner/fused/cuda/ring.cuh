// The rings: each warp that multiplies has `slots` slots of shared memory, which run ahead of it on its tape.
//
// Weights and older keys and values depend on nothing that a step computes. So it is known from the start what a warp
// will read, to the end of the step, and its slots can be filled while it works, and while it waits for other blocks.
// That is what the fillers do, warps of their own. A slot is handed over by its mbarrier, which completes when the copy
// has landed, and handed back by a count of the slots that the warp has used.
//
// At most `flights` copies of a filler are under way at once: as many as keep the memory busy. More would only queue,
// and the packets that blocks exchange would queue behind them; so there are fewer while packets are on their way. While
// the rings are full, a filler brings the next copies into the L2, no faster than the memory gives them.
#pragma once
#include "copies.cuh"
#include "plan.cuh"
#include "waiting.cuh"

// Shared addresses of the rings.
struct Rings {
  unsigned data, full, used;  // [warps][slots] slots, [warps][slots] mbarriers, [warps] counts
  __device__ __forceinline__ unsigned slot(int warp, int s) const {
    return data + (warp * shape::slots + s) * shape::slot_bytes;
  }
  __device__ __forceinline__ unsigned barrier(int warp, int s) const { return full + 8 * (warp * shape::slots + s); }
};

// A place in a ring that goes round: the slot, and the parity of the round.
struct Turn {
  int slot = 0;
  unsigned parity = 0;
  __device__ __forceinline__ Turn after(int count) const {
    bool over = slot + count >= shape::slots;
    return {over ? slot + count - shape::slots : slot + count, parity ^ over};
  }
};

// A warp's end of its ring.
struct Ring {
  Rings rings;
  unsigned* report;
  int warp;
  Turn next;  // the slot that the warp uses next
  int used = 0;

  // Waits until the slot `ahead` slots after the next one is full, and returns its shared address.
  __device__ __forceinline__ unsigned wait(int ahead = 0) {
    Turn turn = next.after(ahead);
    unsigned barrier = rings.barrier(warp, turn.slot);
    if (!copies::become_full(barrier, turn.parity)) wait_longer(report, barrier, turn.parity, used);
    return rings.slot(warp, turn.slot);
  }
  static __device__ __noinline__ void wait_longer(unsigned* report, unsigned barrier, unsigned parity, int used) {
    Waiting waiting(report, RING, used);
    while (!copies::become_full(barrier, parity)) waiting.again(parity, 0);
  }

  // Gives the next `count` slots back. What was read from them must have been *used* by then: a load that is still
  // under way could see the next copy.
  __device__ __forceinline__ void release(int count) {
    next = next.after(count);
    used += count;
    __syncwarp();
    if (threadIdx.x % 32 == 0)
      asm volatile("st.release.cta.shared.b32 [%0], %1;" ::"r"(rings.used + 4 * warp), "r"(used) : "memory");
  }
};

// The other end of the rings of every `fillers`-th warp: one warp, whose lanes all do the same, but for the runs.
//
// It goes through the phases in order, and in each of them from warp to warp, a slot at a time. All slots of a phase
// are asked for before any of the next, whatever ring is full: the warps wait for each other from phase to phase.
struct Filler {
  static constexpr int most = shape::divided_up(shape::warps, shape::fillers);  // warps that it fills for
  Rings rings;
  const plan::Layer* layers;       // in shared memory
  const plan::Range* ranges;       // [warps][plan::RANGES], in shared memory
  int first_warp, position, rows;  // rows: tokens that the cache has room for
  u64 policy;
  Turn turns[most] = {};  // the slot that each warp's next copy goes to
  int asked[most] = {}, used[most] = {};
  int copies_asked = 0;
  unsigned history = 0;  // lane n % 32: barrier and parity of copy n

  __device__ __forceinline__ int warp_of(int i) const { return first_warp + i * shape::fillers; }

  // Fills one slot of its i-th warp, with at most `limit` copies under way. While the ring is full it calls
  // meanwhile().
  template <class Meanwhile>
  __device__ __forceinline__ void fill(int i, const char* from, const char* second, int bytes, int limit,
                                       Meanwhile meanwhile) {
    int warp = warp_of(i);
    while (asked[i] - used[i] == shape::slots) {
      asm volatile("ld.acquire.cta.shared.b32 %0, [%1];" : "=r"(used[i]) : "r"(rings.used + 4 * warp) : "memory");
      if (asked[i] - used[i] == shape::slots) meanwhile();
    }
    if (copies_asked >= limit) {
      unsigned oldest = __shfl_sync(~0u, history, (copies_asked - limit) % 32);
      while (!copies::become_full(oldest & ~1u, oldest & 1)) {}
    }
    unsigned barrier = rings.barrier(warp, turns[i].slot);
    copies::fill(rings.slot(warp, turns[i].slot), from, second, bytes, barrier, policy);
    if (threadIdx.x % 32 == copies_asked % 32) history = barrier | turns[i].parity;
    turns[i] = turns[i].after(1);
    ++asked[i];
    ++copies_asked;
  }

  // Fills all slots of a phase. `tensor` is where its bytes begin; `second`, where values or Wup begin.
  template <int PHASE>
  __device__ __forceinline__ void fill_phase(const char* tensor, const char* second) {
    int lane = threadIdx.x % 32, its_warp = warp_of(lane);
    plan::Run run = {0, 0, 0, 0, 0};
    plan::Tokens tokens = {0, 0, 0};
    if (PHASE == plan::CACHE) tokens = plan::tokens_of(blockIdx.x, its_warp, position);
    if (lane < most && its_warp < shape::warps)
      run = plan::run_of(PHASE, ranges + its_warp * plan::RANGES, tokens, its_warp, rows);
    const char* from[most];
    int count[most], bytes[most], last[most], longest = 0;
#pragma unroll
    for (int i = 0; i < most; ++i) {
      from[i] = tensor + __shfl_sync(~0u, run.offset, i);
      count[i] = __shfl_sync(~0u, run.count, i);
      bytes[i] = __shfl_sync(~0u, run.bytes, i);
      last[i] = __shfl_sync(~0u, run.last, i);
      longest = shape::larger(longest, count[i]);
    }
    int stride = __shfl_sync(~0u, run.stride, 0);
    long long across = second - tensor;
    constexpr bool alternates = PHASE == plan::GATE_UP;
    int brought = 0;  // copies that were brought into the L2, for each warp
    unsigned since = clock();
#pragma unroll 1
    for (int n = 0; n < longest; ++n) {
      auto place = [&](int i, int k) {  // of the warp's copy n + k
        return from[i] + (long long)(alternates ? (n + k) / 2 : n + k) * stride +
               (alternates && (n + k) & 1 ? across : 0);
      };
      auto bring = [&] {
        if (PHASE < plan::OUT || brought >= shape::most_brought || (unsigned)clock() - since < shape::bring_clocks)
          return;
        since = clock();
#pragma unroll
        for (int i = 0; i < most; ++i)
          if (n + 1 + brought < count[i]) copies::bring(place(i, 1 + brought), bytes[i]);
        ++brought;
      };
      int limit = n < shape::slots ? shape::early_flights : shape::flights;
#pragma unroll
      for (int i = 0; i < most; ++i) {
        if (n >= count[i]) continue;
        const char* at = place(i, 0);
        fill(i, at, PHASE == plan::CACHE ? at + across : nullptr, n == count[i] - 1 ? last[i] : bytes[i], limit, bring);
      }
      if (brought) --brought;
    }
  }

  __device__ __forceinline__ void fill_all(const char* vocabulary) {
#pragma unroll 1
    for (int l = 0; l < shape::layers; ++l) {
      const plan::Layer& layer = layers[l];
      fill_phase<plan::QUERY>(layer.first[plan::QUERY], nullptr);
      fill_phase<plan::KEY>(layer.first[plan::KEY], nullptr);
      fill_phase<plan::VALUE>(layer.first[plan::VALUE], nullptr);
      fill_phase<plan::CACHE>(layer.first[plan::CACHE], layer.values);
      fill_phase<plan::OUT>(layer.first[plan::OUT], nullptr);
      fill_phase<plan::GATE_UP>(layer.first[plan::GATE_UP], layer.up);
      fill_phase<plan::DOWN>(layer.first[plan::DOWN], nullptr);
    }
    fill_phase<plan::HEAD>(vocabulary, nullptr);
  }
};
