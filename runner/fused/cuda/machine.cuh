// The instructions that CUDA C++ has no word for, one function each.
#pragma once

typedef unsigned short bf16;  // the upper half of a float
typedef unsigned long long u64;

__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ __forceinline__ float low(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ __forceinline__ float from_bf16(bf16 v) { return __uint_as_float((unsigned)v << 16); }

// Two floats as a pair of bf16, rounded to the nearest.
__device__ __forceinline__ unsigned pack(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ uint4 load_shared(unsigned address) {
  uint4 v;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

__device__ __forceinline__ float warp_sum(float v) {
  for (int lanes = 16; lanes; lanes >>= 1) v += __shfl_xor_sync(~0u, v, lanes);
  return v;
}

// d[16][8] += a[16][16] b[16][8], bf16 in, float out. Lane 4r + c holds
//   a[r][2c, 2c + 1] in a0, a[r + 8][2c, 2c + 1] in a1, a[r][2c + 8, 2c + 9] in a2, a[r + 8][2c + 8, 2c + 9] in a3,
//   b[2c, 2c + 1][r] in b0, b[2c + 8, 2c + 9][r] in b1,
//   d[r][2c, 2c + 1] in d[0], d[1], and d[r + 8][2c, 2c + 1] in d[2], d[3].
__device__ __forceinline__ void multiply(float (&d)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                                         unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Four 8 × 8 matrices of bf16, transposed: lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ uint4 load_transposed(unsigned address) {
  uint4 v;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

__device__ __forceinline__ u64 nanoseconds() {
  u64 t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

__device__ __forceinline__ unsigned multiprocessor() {
  unsigned number;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(number));
  return number;
}
