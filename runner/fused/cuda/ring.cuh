// The rings: each warp that multiplies has `slots` slots of shared memory, which run ahead of it on its tape.
//
// Weights and older keys and values depend on nothing that a step computes. So it is known from the start what a warp will
// read, to the end of the step, and its slots can be filled while it works, and while it waits for other blocks. That is
// what the filler does, a warp of its own: its lane w keeps the place of warp w on its tape. A slot is handed over by its
// mbarrier, which completes when the copy has landed, and handed back by a count of the slots that the warp has used.
//
// At most `flights` copies of a filler are under way at once: as many as keep the memory busy. More would only queue, and
// the packets that blocks exchange would queue behind them.
#pragma once
#include "copies.cuh"
#include "plan.cuh"
#include "waiting.cuh"

// Shared addresses of the rings.
struct Rings {
  unsigned data, full, used;  // [warps][slots] slots, [warps][slots] mbarriers, [warps] counts
  __device__ __forceinline__ unsigned slot(int warp, int s) const { return data + (warp * shape::slots + s) * shape::slot_bytes; }
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
  Turn next;                  // the slot that the warp uses next
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

  // Gives the next `count` slots back. What was read from them must have been *used* by then: a load that is still under
  // way could see the next copy.
  __device__ __forceinline__ void release(int count) {
    next = next.after(count);
    used += count;
    __syncwarp();
    if (threadIdx.x % 32 == 0)
      asm volatile("st.release.cta.shared.b32 [%0], %1;" :: "r"(rings.used + 4 * warp), "r"(used) : "memory");
  }
};

// The other end of the rings of all warps that have this filler. Every lane has its own values; those of lanes without a
// warp stay at nothing to do.
struct Filler {
  Rings rings;
  const plan::Layer* layers;  // in shared memory
  const char* vocabulary;
  const plan::Range* ranges;  // of the lane's warp, in shared memory
  plan::Tokens tokens;
  int warp, rows;             // tokens that the cache has room for
  u64 policy;

  int layer = 0, phase = -1, left = 0;  // slots left in the run
  plan::Run run;
  const char *from, *other;   // the next copy; what goes with it (values), or comes after it (Wup)
  Turn free, flying;          // the slot that is filled next; the oldest one that is not known to be full
  int asked = 0, landed = 0;

  // Opens the next run that has slots.
  __device__ __forceinline__ void open() {
    do {
      if (phase == plan::DOWN && layer + 1 < shape::layers) {
        phase = 0;
        ++layer;
      } else if (++phase == plan::END) {
        return;
      }
      run = plan::run_of(phase, ranges, tokens, warp, rows);
    } while (!run.count);
    left = run.count;
    from = (phase == plan::HEAD ? vocabulary : layers[layer].first[phase]) + run.offset;
    other = (phase == plan::CACHE ? layers[layer].values : layers[layer].up) + run.offset;
  }

  __device__ __forceinline__ void go_on() {
    ++asked;
    free = free.after(1);
    from += run.stride;
    if (phase == plan::CACHE) other += run.stride;
    if (phase == plan::GATE_UP) {
      const char* next = other;
      other = from;
      from = next;
    }
    if (--left == 0) open();
  }

  // Fills slots until the tape of every warp of this filler is at its end.
  __device__ void fill_all(bool has_warp) {
    if (has_warp) open();
    unsigned turn = 0;        // the warp that is looked at first
    while (__any_sync(~0u, left)) {
      int used = asked;
      if (has_warp) asm volatile("ld.acquire.cta.shared.b32 %0, [%1];" : "=r"(used) : "r"(rings.used + 4 * warp) : "memory");
      while (landed < asked && (landed < used || copies::is_full(rings.barrier(warp, flying.slot), flying.parity))) {
        ++landed;
        flying = flying.after(1);
      }
      int room = shape::flights - __reduce_add_sync(~0u, asked - landed);
      unsigned ready = __ballot_sync(~0u, left && asked - used < shape::slots);
      for (; ready && room > 0; --room) {
        int w = (turn + __ffs(__funnelshift_r(ready, ready, turn)) - 1) % 32;
        bool both = __shfl_sync(~0u, phase, w) == plan::CACHE;
        const char* first = (const char*)__shfl_sync(~0u, (u64)from, w);
        const char* second = (const char*)__shfl_sync(~0u, (u64)other, w);
        int s = __shfl_sync(~0u, free.slot, w), bytes = __shfl_sync(~0u, left == 1 ? run.last : run.bytes, w);
        int its_warp = __shfl_sync(~0u, warp, w);
        copies::fill(rings.slot(its_warp, s), first, both ? second : nullptr, bytes, rings.barrier(its_warp, s), policy);
        if (threadIdx.x % 32 == w) go_on();
        __syncwarp();
        ready &= ~(1u << w);
        turn = (w + 1) % 32;
      }
    }
  }
};
