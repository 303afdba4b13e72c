// The ring of a warp: `slots` slots of shared memory that run ahead of the warp on its tape.
//
// Weights and older keys and values depend on nothing that a step computes. So a warp knows from the start what it will
// read, to the end of the step, and keeps its slots full: as soon as it has used a slot, it asks for the copy that comes
// `slots` copies later. While it waits for other blocks, those copies arrive. No other warp touches these slots: there is
// no producer that could fall behind, and nothing to tell it.
#pragma once
#include "copies.cuh"
#include "plan.cuh"
#include "waiting.cuh"

struct Ring {
  const plan::Range* ranges;  // the block's, in shared memory
  const plan::Layer* layers;
  const char* vocabulary;
  unsigned* report;
  int head, rows, warp;       // the block's key head; tokens that the cache has room for; this warp
  unsigned data, barriers;    // shared addresses of the warp's first slot and of its barrier
  u64 policy;
  plan::Place ahead;          // what the next free slot will hold
  int slot = 0;               // the slot that the warp uses next
  unsigned parity = 0;        // of the round in which it was filled

  __device__ __forceinline__ unsigned address() const { return data + slot * shape::slot_bytes; }

  // Asks for the copy that comes next on the tape, into the current slot.
  __device__ __forceinline__ void refill() {
    if (ahead.phase == plan::END) return;
    plan::Copy copy = plan::copy_at(ahead, ranges[ahead.phase], layers[ahead.layer], vocabulary, head, rows);
    copies::fill(address(), address() + shape::tile_tokens * shape::row_bytes, copy.from, copy.second, copy.bytes,
                 barriers + 8 * slot, policy);
    plan::advance(ahead, ranges, warp);
  }

  __device__ __forceinline__ void next() {
    if (++slot == shape::slots) { slot = 0; parity ^= 1; }
  }

  // Fills all slots for the first time.
  __device__ __forceinline__ void start() {
    ahead = plan::start(ranges, warp);
    for (int i = 0; i < shape::slots; ++i) { refill(); next(); }
    parity = 0;
  }

  // Waits until the current slot is full, and returns its shared address.
  __device__ __forceinline__ unsigned wait(int layer) {
    Waiting waiting(report, RING, layer);
    while (!copies::is_full(barriers + 8 * slot, parity)) waiting.again(parity, slot);
    return address();
  }

  // Gives the slot back. What was read from it must have been *used* by then: a load that is still under way could see
  // the next copy.
  __device__ __forceinline__ void release() {
    __syncwarp();
    refill();
    next();
  }
};
