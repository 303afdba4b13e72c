// Every wait ends: after LIMIT nanoseconds the warp says in host memory what it waited for, and the launch traps.
#pragma once
#include "machine.cuh"
#include "shape.cuh"

#ifndef WAIT_LIMIT_NS
#define WAIT_LIMIT_NS 2000000000ull
#endif

enum Awaited { COPY, SLOT, HIDDEN_STATE, QUERY, PARTS, ATTENTION, ACTIVATIONS, CHOICES };

// report: [blocks][warps + fillers][8] words of pinned host memory, zero before the launch
__device__ __noinline__ void give_up(unsigned* report, int awaited, int layer, unsigned expected, unsigned seen) {
  int warp = threadIdx.x / 32;
  volatile unsigned* line = report + (blockIdx.x * (shape::warps + shape::fillers) + warp) * 8;
  line[1] = awaited;
  line[2] = layer;
  line[3] = blockIdx.x;
  line[4] = warp;
  line[5] = expected;
  line[6] = seen;
  __threadfence_system();
  line[0] = 1;
  __threadfence_system();
  __trap();
}

struct Waiting {
  unsigned* report;
  int awaited, layer;
  unsigned spins = 0;
  u64 since = 0;

  __device__ __forceinline__ Waiting(unsigned* report, int awaited, int layer)
      : report(report), awaited(awaited), layer(layer) {}

  // Called once per unsuccessful look.
  __device__ __forceinline__ void again(unsigned expected, unsigned seen) {
    if (++spins & 1023) return;
    u64 now = nanoseconds();
    if (!since) since = now;
    if (now - since > WAIT_LIMIT_NS) give_up(report, awaited, layer, expected, seen);
  }
};
