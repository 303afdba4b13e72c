// Values between blocks. A value travels with the epoch of its making in one packet of eight bytes, written and read
// whole: a reader that sees the epoch has the value. So there is no barrier, no flag and no fence; a reader asks for
// all its packets at once and asks again for those that are not there yet.
//
// Epochs are launch · 2 · layers + 2 · layer + half, and wrap around: a packet is overwritten in every launch long
// before. Buffers are reused from layer to layer. That is safe because a block's write waits, through the values that
// it is made of, for every block's last read of what it overwrites (docs/fused.md has the chain).
#pragma once
#include "machine.cuh"

typedef u64 Packet;  // value in the lower half, epoch in the upper

struct Pair {
  Packet a, b;
};  // two neighbours, read by one load of 16 bytes

__device__ __forceinline__ unsigned value(Packet p) { return (unsigned)p; }
__device__ __forceinline__ unsigned epoch_of(Packet p) { return (unsigned)(p >> 32); }
__device__ __forceinline__ float number(Packet p) { return __uint_as_float(value(p)); }

__device__ __forceinline__ void send(Packet* to, unsigned value, unsigned epoch) {
  asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(to), "l"((u64)epoch << 32 | value) : "memory");
}
__device__ __forceinline__ void send(Packet* to, float value, unsigned epoch) {
  send(to, __float_as_uint(value), epoch);
}

__device__ __forceinline__ bool has(const Pair& pair, unsigned epoch) {
  return epoch_of(pair.a) == epoch && epoch_of(pair.b) == epoch;
}
__device__ __forceinline__ void ask(Pair& pair, const Packet* from) {
  asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];" : "=l"(pair.a), "=l"(pair.b) : "l"(from) : "memory");
}
// The load stands under a predicate inside the instruction: an array that C++ defines under a condition would be
// spilled.
__device__ __forceinline__ void ask_if(bool missing, Pair& pair, const Packet* from) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %3, 0;\n@p ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];\n}"
               : "+l"(pair.a), "+l"(pair.b)
               : "l"(from), "r"((unsigned)missing)
               : "memory");
}
