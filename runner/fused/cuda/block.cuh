// What every phase of a block knows: who the thread is, where its shared memory lies, which step this is.
#pragma once
#include "arguments.cuh"
#include "ring.cuh"

struct Block {
  const Step& step;
  char* memory;
  Reader& reader;
  const plan::Layer* layers;  // in shared memory
  const plan::Share& share;   // in shared memory
  int thread, warp, lane;
  int position;         // of the token that is consumed
  int first_row, rows;  // the block's rows of the residual stream
  unsigned epoch;       // of layer 0's first half
  int layer = 0;

  template <class T>
  __device__ __forceinline__ T* at(int offset) const {
    return (T*)(memory + offset);
  }
  __device__ __forceinline__ unsigned epoch_now(int half) const { return epoch + 2 * layer + half; }
  __device__ __forceinline__ const plan::Range& range(int of) const { return share.ranges[of]; }
  // The first slot of a phase of this layer, counted from the step's first one.
  __device__ __forceinline__ int first_slot(plan::Phase phase) const {
    return layer * share.start[plan::HEAD] + share.start[phase];
  }

  // This thread's k-th of `count` things that the block's threads share in turn; the first one if there is none. If
  // every thread has a k-th, the compiler knows it, and many loads share one address with constant offsets.
  __device__ __forceinline__ int item(int k, int count) const {
    int i = thread + k * shape::threads;
    return (k + 1) * shape::threads <= count || i < count ? i : 0;
  }
  __device__ __forceinline__ bool has_item(int k, int count) const {
    return (k + 1) * shape::threads <= count || thread + k * shape::threads < count;
  }

  // Waits for N pairs of packets; pair k is at base[at(k)].
  template <int N, class At>
  __device__ __forceinline__ void gather(Pair (&pairs)[N], const Packet* base, At at, unsigned epoch,
                                         int awaited) const {
    Waiting waiting(step.report, awaited, layer);
#pragma unroll
    for (int k = 0; k < N; ++k) ask(pairs[k], base + at(k));
    for (;;) {
      bool all = true;
#pragma unroll
      for (int k = 0; k < N; ++k) all &= has(pairs[k], epoch);
      if (all) return;
      asm volatile("" : "+l"(base));  // or the compiler keeps N addresses in registers
#pragma unroll
      for (int k = 0; k < N; ++k) ask_if(!has(pairs[k], epoch), pairs[k], base + at(k));
      waiting.again(epoch, epoch_of(pairs[0].a));
    }
  }

  // Called between the phases of a layer.
  __device__ __forceinline__ void passes(int place) const { instruments::passes(layer, place, epoch_now(0)); }
  // A barrier of the warps that multiply.
  __device__ __forceinline__ void sync() const { asm volatile("bar.sync 1, %0;" ::"n"(shape::threads) : "memory"); }
};
