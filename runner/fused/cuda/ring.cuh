// The ring: slots of shared memory that are filled in the order of the tape, ahead of the warps that use them.
//
// Weights and older keys and values depend on nothing that a step computes. So it is known from the start what a block
// will read, to the end of the step: its tape. Slots can be filled while the warps work, and while they wait for other
// blocks. That is what the fillers do, warps of their own. Copy n of the tape goes to slot n % slots. A slot is handed
// over by its mbarrier `full`, which completes when the copy has landed, and handed back by `free`.
//
// At most `flights` copies of a filler are under way at once: as many as keep the memory busy. More would only queue,
// and the packets that blocks exchange would queue behind them; so there are fewer while packets are on their way.
// While the ring is full, a filler brings the next copies into the L2, no faster than the memory gives them.
#pragma once
#include "copies.cuh"
#include "instruments.cuh"
#include "plan.cuh"
#include "waiting.cuh"

// Shared addresses.
struct Ring {
  unsigned data, full, free;  // [slots] slots, mbarriers, mbarriers
  __device__ __forceinline__ unsigned slot(int n) const { return data + n % shape::slots * shape::slot_bytes; }
  __device__ __forceinline__ unsigned full_at(int n) const { return full + 8 * (n % shape::slots); }
  __device__ __forceinline__ unsigned free_at(int n) const { return free + 8 * (n % shape::slots); }
  static __device__ __forceinline__ unsigned parity(int n) { return n / shape::slots & 1; }
};

// A warp's end of the ring.
//
// A barrier's parity only distinguishes a round from the round before. So when a warp waits for copy n, copy n - slots
// must have landed. It has, for two reasons. Each phase begins after a barrier of the block, when all copies of earlier
// phases have been used. Within a phase, a warp waits for copies that are at most 2 · warps later on the tape than
// those that it has used, and a filler makes a copy only after its copies of `flights` turns earlier have landed.
// shape.cuh asserts that the ring has enough slots for this.
struct Reader {
  Ring ring;
  unsigned* report;

  // Waits until copy n has landed, and returns the shared address of its slot.
  __device__ __forceinline__ unsigned wait(int n) const {
    if (!copies::become_full(ring.full_at(n), Ring::parity(n))) wait_longer(ring, report, n);
    instruments::reads(n);
    return ring.slot(n);
  }
  static __device__ __noinline__ void wait_longer(Ring ring, unsigned* report, int n) {
    Waiting waiting(report, COPY, n);
    while (!copies::become_full(ring.full_at(n), Ring::parity(n))) waiting.again(n, 0);
  }

  // Gives slot n back. What was read from it must have been *used* by then: a load that is still under way could see
  // the next copy.
  __device__ __forceinline__ void release(int n, int count) const {
    __syncwarp();
    if (threadIdx.x % 32 < count)
      asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(ring.free_at(n + threadIdx.x % 32)) : "memory");
  }
};

// The filling end: filler f of F makes copies f, f + F, f + 2 F, … in order. Its lanes prepare 32 of them at a time.
struct Filler {
  Ring ring;
  unsigned* report;
  const plan::Layer* layers;  // in shared memory
  const plan::Share& share;   // in shared memory
  const char* head;
  int f, cache_rows;
  u64 policy;

  struct Prepared {
    const char *from, *second;
    int bytes;
    bool early;  // blocks still exchange values when this copy is made
  };

  __device__ __forceinline__ Prepared prepare(int n, int layer_slots) const {
    int layer = shape::smaller(n / layer_slots, shape::layers - 1), i = n - layer * layer_slots;
    plan::Copy copy = plan::copy_of(share, i, cache_rows);
    const plan::Layer& of = layers[layer];
    const char* from = (copy.tensor < 0 ? head : of.tensors[copy.tensor]) + copy.offset;
    auto begins = [&](int phase) { return (unsigned)(i - share.start[phase]) < shape::slots; };
    return {from, copy.tensor == plan::KEYS ? of.tensors[plan::VALUES] + copy.offset : nullptr, copy.bytes,
            i < share.start[plan::GATE_UP] || begins(plan::GATE_UP) || begins(plan::DOWN) || begins(plan::HEAD)};
  }

  // Waits for the slot of copy n. Calls meanwhile() while the ring is full.
  template <class Meanwhile>
  __device__ __forceinline__ void wait_for_slot(int n, Meanwhile meanwhile) const {
    if (n < shape::slots) return;
    Waiting waiting(report, SLOT, n);
    while (!copies::is_full(ring.free_at(n), Ring::parity(n) ^ 1)) {
      meanwhile();
      waiting.again(n, 0);
    }
  }
  __device__ __forceinline__ void wait_for_landing(int n) const {
    if (n < 0) return;
    Waiting waiting(report, COPY, n);
    while (!copies::become_full(ring.full_at(n), Ring::parity(n))) waiting.again(n, 0);
  }

  __device__ __forceinline__ void fill_all() const {
    int layer_slots = share.start[plan::HEAD], all = plan::slots_of(share), lane = threadIdx.x % 32;
#pragma unroll 1
    for (int first = f; first < all; first += 32 * shape::fillers) {
      int own = first + lane * shape::fillers;
      Prepared copy = prepare(shape::smaller(own, all - 1), layer_slots);
      unsigned early = __ballot_sync(~0u, copy.early);
      int brought = 0;  // copies of later turns that are on their way to the L2
      unsigned since = clock();
#pragma unroll 1
      for (int turn = 0; turn < 32; ++turn) {
        int n = first + turn * shape::fillers;
        if (n >= all) break;
        wait_for_slot(n, [&] {
          if (brought >= shape::most_brought || (unsigned)clock() - since < shape::bring_clocks) return;
          since = clock();
          ++brought;
          if (lane != turn + brought || own >= all) return;
          copies::bring(copy.from, copy.bytes);
          if (copy.second) copies::bring(copy.second, copy.bytes);
        });
        wait_for_landing(n - (early >> turn & 1 ? shape::early_flights : shape::flights) * shape::fillers);
        instruments::fills(n, turn, ring.slot(n) - ring.data, copy.from, copy.second, copy.bytes);
        copies::fill(turn, ring.slot(n), copy.from, copy.second, copy.bytes, ring.full_at(n), policy);
        if (brought) --brought;
      }
    }
  }
};
