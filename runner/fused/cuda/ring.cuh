// The ring of a warp: `slots` slots of shared memory that run ahead of the warp on its tape.
//
// Weights and older keys and values depend on nothing that a step computes. So a warp knows from the start what it will
// read, to the end of the step, and keeps its slots full: it asks for the next copies while it works, and while it waits
// for other blocks. No other warp touches these slots: there is no producer that could fall behind, and nothing to tell it.
//
// At most `flights` copies of a warp are under way at once. More would only queue: the memory would serve some blocks
// before others, and all would then wait for the last.
#pragma once
#include "copies.cuh"
#include "plan.cuh"
#include "waiting.cuh"

struct Ring {
  const plan::Layer* layers;  // in shared memory
  const char* vocabulary;
  unsigned* report;
  unsigned data, barriers;    // shared addresses of the warp's first slot and of its barrier
  u64 policy;
  plan::Run mine;             // of the phase that this lane keeps, lane < plan::END

  // The run that is being asked for. All lanes have the same.
  int layer = 0, phase = -1, left = 0, bytes, last, stride;
  const char *from, *other;   // the next copy; what goes with it (values), or comes after it (Wup)

  int slot = 0, free_slot = 0;  // the slot that the warp uses next; the one that is filled next
  unsigned parity = 0;        // of the round in which `slot` was filled
  int asked = 0, landed = 0;  // slots in use, from `slot` on; how many of them, from the first, are known to be full

  __device__ __forceinline__ unsigned address(int s) const { return data + s * shape::slot_bytes; }

  // Opens the next run that has slots.
  __device__ __forceinline__ void open() {
    do {
      if (phase == plan::DOWN && layer + 1 < shape::layers) {
        phase = 0;
        ++layer;
      } else if (++phase == plan::END) {
        return;
      }
      left = __shfl_sync(~0u, mine.count, phase);
    } while (!left);
    long long offset = __shfl_sync(~0u, mine.offset, phase);
    bytes = __shfl_sync(~0u, mine.bytes, phase);
    last = __shfl_sync(~0u, mine.last, phase);
    stride = __shfl_sync(~0u, mine.stride, phase);
    from = (phase == plan::HEAD ? vocabulary : layers[layer].first[phase]) + offset;
    other = (phase == plan::CACHE ? layers[layer].values : layers[layer].up) + offset;
  }

  // Asks for the next copy, into the next free slot.
  __device__ __forceinline__ void ask() {
    copies::fill(address(free_slot), from, phase == plan::CACHE ? other : nullptr, left == 1 ? last : bytes,
                 barriers + 8 * free_slot, policy);
    ++asked;
    if (++free_slot == shape::slots) free_slot = 0;
    from += stride;
    if (phase == plan::CACHE) other += stride;
    if (phase == plan::GATE_UP) {
      const char* next = other;
      other = from;
      from = next;
    }
    if (--left == 0) open();
  }

  // Asks for copies as long as there are free slots and few enough copies under way.
  __device__ __forceinline__ void pump() {
    if (shape::flights < shape::slots)
      for (; landed < asked; ++landed)
        if (!copies::is_full(barrier(landed), parity_of(landed))) break;
#pragma unroll 1
    while (asked < shape::slots && (shape::flights == shape::slots || asked - landed < shape::flights) && left) ask();
  }

  __device__ __forceinline__ void start() {
    open();
    pump();
  }

  // The slot that is used `ahead` slots after the next one, its barrier, and the parity of the round in which it is filled.
  __device__ __forceinline__ int slot_of(int ahead) const {
    return slot + ahead < shape::slots ? slot + ahead : slot + ahead - shape::slots;
  }
  __device__ __forceinline__ unsigned barrier(int ahead) const { return barriers + 8 * slot_of(ahead); }
  __device__ __forceinline__ unsigned parity_of(int ahead) const { return parity ^ (slot + ahead >= shape::slots); }

  // Waits until that slot is full, and returns its shared address.
  __device__ __forceinline__ unsigned wait(int ahead = 0) {
    if (!copies::become_full(barrier(ahead), parity_of(ahead))) wait_longer(report, barrier(ahead), parity_of(ahead), layer);
    return address(slot_of(ahead));
  }
  static __device__ __noinline__ void wait_longer(unsigned* report, unsigned barrier, unsigned parity, int layer) {
    Waiting waiting(report, RING, layer);
    while (!copies::become_full(barrier, parity)) waiting.again(parity, 0);
  }

  // Gives the next `count` slots back. What was read from them must have been *used* by then: a load that is still under
  // way could see the next copy.
  __device__ __forceinline__ void release(int count) {
    __syncwarp();
    asked -= count;
    landed = landed < count ? 0 : landed - count;
    slot += count;
    if (slot >= shape::slots) { slot -= shape::slots; parity ^= 1; }
    pump();
  }
};
