// The plan: what a block reads, in order. Every name here is a pure function, compiled for the GPU and for the host.
//
// A phase is a list of items, dealt to the warps of a block in turn. An item is one slot of the ring, or four of them
// (rows 2i and 2i + 1 of Wgate and Wup: together they make two neighbouring activations).
#pragma once
#include "shape.cuh"

#ifdef __CUDACC__
#define BOTH __device__ __forceinline__
#else
#define BOTH inline
#endif

namespace plan {
enum Phase { QKV, CACHE, JOIN, OUT, GATE_UP, DOWN, HEAD, END };
constexpr int phases = END;

// A block's share of a phase: items [first, stop). The first belongs to `warp`, the next one to the next warp.
// JOIN has no bytes on the tape: its items are pairs of attention's outputs.
struct Range { int first, stop, warp, unused; };

// Addresses of a layer's tensors. Matrices are bf16 [rows][columns]; the cache is bf16 [kv_heads][tokens][head_dim].
struct Layer {
  const char *query, *key, *value, *out, *gate, *up, *down;
  char *keys, *values;
};

// What fills one slot: `bytes` from `from`, and as many again from `second` if that is not null (values, behind keys).
struct Copy { const char *from, *second; int bytes; };

// The place of a warp on its tape.
struct Place { int layer, phase, item, part; };

BOTH constexpr int parts(int phase) { return phase == GATE_UP ? 4 : 1; }

// Items of the tape: the cache's range is in tokens, sixteen (or tile_tokens) to an item.
BOTH int items(const Range& range, int phase) {
  if (phase == JOIN) return 0;
  int count = range.stop - range.first;
  return phase == CACHE ? (count + shape::tile_tokens - 1) / shape::tile_tokens : count;
}

// The first item of a warp.
BOTH int first_item(const Range& range, int warp) {
  int item = warp - range.warp;
  return item < 0 ? item + shape::warps : item;
}

// Splits of attention at `tokens` older tokens: only as many as give each warp of a block a tile.
BOTH int splits(int tokens) {
  constexpr int block_tokens = shape::tile_tokens * shape::warps;
  int wanted = (tokens + block_tokens - 1) / block_tokens;
  return wanted < 1 ? 1 : wanted < shape::most_splits ? wanted : shape::most_splits;
}

// Older tokens that a block reads: split `block % n` of key head `block / n`. Blocks beyond the last head read none.
BOTH Range cache_range(int block, int tokens) {
  int n = splits(tokens), split = block % n;
  if (block / n >= shape::kv_heads) return {0, 0, 0, 0};
  return {int((long long)tokens * split / n), int((long long)tokens * (split + 1) / n), 0, 0};
}

// Piece p of a row of Wdown starts at this granule: pieces are whole lines of 128 bytes where the row is.
BOTH constexpr int piece_start(int p) {
  constexpr int line = shape::intermediate % 64 ? 1 : 8;
  return shape::intermediate / shape::granule / line * p / shape::pieces * line;
}

// The slot's content at a place. `head` is the block's key head, `rows` the tokens that the cache has room for.
BOTH Copy copy_at(const Place& at, const Range& range, const Layer& layer, const char* vocabulary, int head, int rows) {
  using namespace shape;
  int i = range.first + at.item;
  switch (at.phase) {
    case QKV: {
      const char* matrix = i < q_rows ? layer.query : i < q_rows + kv_rows ? layer.key : layer.value;
      int row = i < q_rows ? i : i < q_rows + kv_rows ? i - q_rows : i - q_rows - kv_rows;
      return {matrix + (long long)row * hidden * 2, nullptr, hidden * 2};
    }
    case CACHE: {
      int token = range.first + at.item * tile_tokens, count = range.stop - token;
      if (count > tile_tokens) count = tile_tokens;
      long long offset = ((long long)head * rows + token) * row_bytes;
      return {layer.keys + offset, layer.values + offset, count * row_bytes};
    }
    case OUT: return {layer.out + (long long)i * q_rows * 2, nullptr, q_rows * 2};
    case GATE_UP: {
      const char* matrix = at.part & 1 ? layer.up : layer.gate;
      return {matrix + (2ll * i + at.part / 2) * hidden * 2, nullptr, hidden * 2};
    }
    case DOWN: {
      int row = i / pieces, start = piece_start(i % pieces), stop = piece_start(i % pieces + 1);
      return {layer.down + (long long)row * intermediate * 2 + start * 16, nullptr, (stop - start) * 16};
    }
    default: return {vocabulary + (long long)i * hidden * 2, nullptr, hidden * 2};
  }
}

// Moves to the warp's next slot: the next part, the warp's next item, or its first item of the next phase that has one.
BOTH void advance(Place& at, const Range* ranges, int warp) {
  if (++at.part < parts(at.phase)) return;
  at.part = 0;
  at.item += shape::warps;
  while (at.item >= items(ranges[at.phase], at.phase)) {
    if (at.phase == DOWN && at.layer + 1 < shape::layers) {
      at.layer += 1;
      at.phase = QKV;
    } else if (++at.phase == END) {
      return;
    }
    at.item = first_item(ranges[at.phase], warp);
  }
}

// The warp's first slot of a step.
BOTH Place start(const Range* ranges, int warp) {
  Place at{0, QKV, first_item(ranges[QKV], warp) - shape::warps, 0};
  advance(at, ranges, warp);
  return at;
}
}  // namespace plan
