// Instruments of test builds. In the product build each function is empty, and costs nothing.
//
// STAMPS: the clock of each block at each place between two phases, when it starts, and around the head.
// DELAYS: pauses there, before a slot is read, and before a copy is made. A seed decides which warps pause how long.
// TRACE: each copy as its filler made it, with the warp that read it; the rows and bytes that each phase multiplied.
// The host sets and reads the variables by their names (runner/fused/instruments.py).
#pragma once
#include "machine.cuh"
#include "plan.cuh"

#ifdef STAMPS
__device__ long long stamps[shape::blocks][shape::layers + 1][16];  // the last row has what belongs to no layer
#endif
#ifdef DELAYS
__device__ unsigned delay_seed;
#endif
#ifdef TRACE
struct Traced {
  u64 address, second;  // of the bytes, and of as many behind them in the slot; 0 if there are none
  u64 bytes, slot, warp, reads;
};
__device__ Traced* traced;                                  // [blocks][traced_copies]
__device__ u64 traced_copies;                               // room for copies of one block
__device__ u64 multiplied[shape::layers][plan::PHASES][2];  // rows, or pieces of rows, or tokens; bytes
#endif

namespace instruments {
// One warp in eight pauses, up to 33 µs.
__device__ __forceinline__ void pause(unsigned where) {
#ifdef DELAYS
  unsigned who = blockIdx.x * 64 + threadIdx.x / 32;
  unsigned hash = (where + delay_seed * 40503u) * 2654435761u ^ who * 2246822519u;
  hash = (hash ^ hash >> 15) * 2654435761u;
  if (hash >> 29 == 0) __nanosleep(hash & 0x3fff);
#endif
}

__device__ __forceinline__ void stamp(int layer, int place) {
#ifdef STAMPS
  if (threadIdx.x == 0) stamps[blockIdx.x][layer][place] = clock64();
#endif
}

// A block starts, and later has the norm before the head, its logits, and the chosen token.
enum Outside { STARTS, HEAD_NORMED, HAS_LOGITS, HAS_CHOSEN };
__device__ __forceinline__ void outside(Outside place) { stamp(shape::layers, place); }

// A block passes from one phase of a layer to the next. `epoch` is that of the layer.
__device__ __forceinline__ void passes(int layer, int place, unsigned epoch) {
  stamp(layer, place);
  pause(16 * epoch + place);
}

// A filler is about to fill a slot with copy n. What it copies is what its lane `turn` says; `slot` is counted in
// bytes.
__device__ __forceinline__ void fills(int n, int turn, unsigned slot, const char* from, const char* second, int bytes) {
  pause(1u << 30 | n);
#ifdef TRACE
  if (threadIdx.x % 32 != turn) return;
  Traced& copy = traced[blockIdx.x * traced_copies + n];
  copy.address = (u64)from;
  copy.second = (u64)second;
  copy.bytes = bytes;
  copy.slot = slot / shape::slot_bytes;
#endif
}

// A warp is about to read the slot of copy n.
__device__ __forceinline__ void reads(int n) {
  pause(1u << 31 | n);
#ifdef TRACE
  if (threadIdx.x % 32) return;
  Traced& copy = traced[blockIdx.x * traced_copies + n];
  copy.warp = threadIdx.x / 32;
  atomicAdd(&copy.reads, 1ull);
#endif
}

// A warp has multiplied so many rows of a phase.
__device__ __forceinline__ void multiplies(int layer, plan::Phase phase, int rows, int row_bytes) {
#ifdef TRACE
  if (threadIdx.x % 32) return;
  atomicAdd(&multiplied[layer][phase][0], (u64)rows);
  atomicAdd(&multiplied[layer][phase][1], (u64)rows * row_bytes);
#endif
}
}  // namespace instruments
