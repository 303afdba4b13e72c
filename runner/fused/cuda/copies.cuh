// Filling a slot of shared memory from global memory, without registers. A slot's mbarrier completes when it is full.
//
// From sm_90 on one lane asks the TMA unit for all bytes. Before, every lane copies 16 bytes at a time by cp.async.
#pragma once
#include "machine.cuh"
#include "shape.cuh"

namespace copies {
// Brings bytes into the L2. Called by one lane.
__device__ __forceinline__ void bring(const char* from, int bytes) {
#if __CUDA_ARCH__ >= 900 && !defined(CP_ASYNC)
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#else
  for (int i = 0; i < bytes; i += 128) asm volatile("prefetch.global.L2 [%0];" ::"l"(from + i));
#endif
}

// Whether the phase of this parity of a slot's barrier is over.
__device__ __forceinline__ bool is_full(unsigned barrier, unsigned parity);

constexpr int second_at = shape::tile_tokens * shape::row_bytes;  // where a tile's values lie, behind its keys
}  // namespace copies

#if __CUDA_ARCH__ >= 900 && !defined(CP_ASYNC)
namespace copies {
constexpr int arrivals = 1;  // at a slot's barrier, per fill

// Weights and cache are read once per step: they should leave the L2 first.
__device__ __forceinline__ u64 read_once() {
  u64 policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

__device__ __forceinline__ void bulk(unsigned to, const char* from, int bytes, unsigned barrier, u64 policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::
          "r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
      : "memory");
}

// Fills a slot with `bytes` bytes, and with as many of `second`, if it is not null. Called by all lanes of a warp; from
// where and how many is what lane `turn` says.
__device__ __forceinline__ void fill(int turn, unsigned to, const char* from, const char* second, int bytes,
                                     unsigned barrier, u64 policy) {
  if (threadIdx.x % 32 != turn) return;
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(second ? 2 * bytes : bytes)
               : "memory");
  bulk(to, from, bytes, barrier, policy);
  if (second) bulk(to + second_at, second, bytes, barrier, policy);
}

// Makes the barriers known to the copy engine.
__device__ __forceinline__ void announce_barriers() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Whether a slot is full. The hardware waits a little before it says no.
__device__ __forceinline__ bool become_full(unsigned barrier, unsigned parity) {
  unsigned done;
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
               : "=r"(done)
               : "r"(barrier), "r"(parity)
               : "memory");
  return done;
}
}  // namespace copies
#else
namespace copies {
constexpr int arrivals = 32;

__device__ __forceinline__ u64 read_once() { return 0; }
__device__ __forceinline__ void announce_barriers() {}

__device__ __forceinline__ void lanes(unsigned to, const char* from, int bytes) {
  for (int i = threadIdx.x % 32 * 16; i < bytes; i += 512)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to + i), "l"(from + i) : "memory");
}

__device__ __forceinline__ void fill(int turn, unsigned to, const char* from, const char* second, int bytes,
                                     unsigned barrier, u64) {
  from = (const char*)__shfl_sync(~0u, (u64)from, turn);
  second = (const char*)__shfl_sync(~0u, (u64)second, turn);
  bytes = __shfl_sync(~0u, bytes, turn);
  lanes(to, from, bytes);
  if (second) lanes(to + second_at, second, bytes);
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
}

__device__ __forceinline__ bool become_full(unsigned barrier, unsigned parity) { return is_full(barrier, parity); }
}  // namespace copies
#endif

__device__ __forceinline__ bool copies::is_full(unsigned barrier, unsigned parity) {
  unsigned done;
  asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
               : "=r"(done)
               : "r"(barrier), "r"(parity)
               : "memory");
  return done;
}

__device__ __forceinline__ void make_barrier(unsigned barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
