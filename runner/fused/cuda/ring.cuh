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
  const plan::Range* ranges;  // the block's, in shared memory
  const plan::Layer* layers;  // in shared memory
  const char* vocabulary;
  unsigned* report;
  int head, rows, warp;       // the block's key head; tokens that the cache has room for; this warp
  unsigned data, barriers;    // shared addresses of the warp's first slot and of its barrier
  u64 policy;
  plan::Place ahead;          // where `next` is on the tape
  plan::Copy next;            // what the next free slot will hold
  int slot = 0, free_slot = 0;  // the slot that the warp uses next; the one that is filled next
  unsigned parity = 0;        // of the round in which `slot` was filled
  int asked = 0, landed = 0;  // slots in use, from `slot` on; how many of them, from the first, are known to be full

  __device__ __forceinline__ unsigned address(int s) const { return data + s * shape::slot_bytes; }

  __device__ __forceinline__ void start() {
    ahead = plan::start(ranges, warp);
    next = plan::copy_at(ahead, ranges[ahead.phase], layers[ahead.layer], vocabulary, head, rows);
    pump();
  }

  // Asks for copies as long as there are free slots and few enough copies under way.
  __device__ __forceinline__ void pump() {
    if (shape::flights < shape::slots)
      for (; landed < asked; ++landed) {
        int s = slot + landed, wrapped = s >= shape::slots;
        if (!copies::is_full(barriers + 8 * (wrapped ? s - shape::slots : s), parity ^ wrapped)) break;
      }
    while (asked < shape::slots && asked - landed < shape::flights && ahead.phase != plan::END) ask();
  }

  __device__ __forceinline__ void ask() {
    copies::fill(address(free_slot), address(free_slot) + shape::tile_tokens * shape::row_bytes, next, barriers + 8 * free_slot, policy);
    ++asked;
    if (++free_slot == shape::slots) free_slot = 0;
    plan::advance(ahead, ranges, warp);
    if (ahead.phase != plan::END)
      next = plan::copy_at(ahead, ranges[ahead.phase], layers[ahead.layer], vocabulary, head, rows);
  }

  // Waits until the warp's next slot is full, and returns its shared address.
  __device__ __forceinline__ unsigned wait(int layer) {
    Waiting waiting(report, RING, layer);
    while (!copies::become_full(barriers + 8 * slot, parity)) waiting.again(parity, slot);
    return address(slot);
  }

  // Gives the slot back. What was read from it must have been *used* by then: a load that is still under way could see
  // the next copy.
  __device__ __forceinline__ void release() {
    __syncwarp();
    --asked;
    if (landed) --landed;
    if (++slot == shape::slots) { slot = 0; parity ^= 1; }
    pump();
  }
};
