// Every wait ends: after WAIT_LIMIT_NS the warp says in host memory what it waited for, and the launch traps. Half as
// much time later, so that all warps that wait have said it: the one that is stuck earliest in the step is the cause.
#pragma once
#include "machine.cuh"
#include "plan.cuh"

#ifndef WAIT_LIMIT_NS
#define WAIT_LIMIT_NS 2000000000ull
#endif

// Copies and slots of the ring are counted by the tape; what else is awaited is packets of an epoch.
enum Awaited { COPY, SLOT, HIDDEN_STATE, QUERY, PARTS, ATTENTION, ACTIVATIONS, CHOICES };

// Writes a line of the report [blocks][warps + fillers][8]: words of pinned host memory, zero before the launch.
// `where` is a layer, or the number of a copy, of which the line has layer and phase. Without `noreturn`, every step
// took one percent longer, though nothing is called (docs/fused.md, call 17).
__device__ __noinline__ __attribute__((noreturn)) void give_up(unsigned* report, int awaited, int where,
                                                               unsigned expected, unsigned seen) {
  extern __shared__ __align__(128) char shared[];
  int warp = threadIdx.x / 32;
  if (awaited <= SLOT) {
    const int* start = ((const plan::Share*)(shared + memory::share))->start;
    int n = where, phase = plan::QKV;
    where = shape::smaller(n / start[plan::HEAD], shape::layers - 1);
    while (phase < plan::HEAD && n - where * start[plan::HEAD] >= start[phase + 1]) ++phase;
    seen = phase;
  }
  volatile unsigned* line = report + (blockIdx.x * (shape::warps + shape::fillers) + warp) * 8;
  line[1] = awaited;
  line[2] = where;
  line[3] = blockIdx.x;
  line[4] = warp;
  line[5] = expected;
  line[6] = seen;
  line[7] = multiprocessor();
  __threadfence_system();
  line[0] = 1;
  __threadfence_system();
  for (u64 until = nanoseconds() + WAIT_LIMIT_NS / 2; nanoseconds() < until;) __nanosleep(1000);
  __trap();
}

struct Waiting {
  unsigned* report;
  int awaited, where;  // a layer, or the number of a copy
  unsigned spins = 0;
  u64 since = 0;

  __device__ __forceinline__ Waiting(unsigned* report, int awaited, int where)
      : report(report), awaited(awaited), where(where) {}

  // Called once per unsuccessful look.
  __device__ __forceinline__ void again(unsigned expected, unsigned seen) {
    if (++spins & 1023) return;
    u64 now = nanoseconds();
    if (!since) since = now;
    if (now - since > WAIT_LIMIT_NS) give_up(report, awaited, where, expected, seen);
  }
};
