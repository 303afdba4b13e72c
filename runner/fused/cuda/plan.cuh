// The plan: which bytes a warp reads, in order. Ranges come from the host as data; what follows from them is computed
// here, by pure functions that are compiled for the GPU and for the host.
#pragma once
#include "shape.cuh"

#ifdef __CUDACC__
#define BOTH __device__ __forceinline__
#else
#define BOTH inline
#endif

namespace plan {
// Phases of the tape, in order. HEAD comes once, after the last layer. GATE_UP's rows alternate between two matrices.
enum Phase { QUERY, KEY, VALUE, CACHE, OUT, GATE_UP, DOWN, HEAD, END };

// A warp's share, [first, stop): rows of Wq, Wk and Wv one below the other; of Wo; pairs of neighbouring rows of Wgate
// and Wup; rows of Wdown; of the head; pairs of neighbouring outputs of attention.
struct Range {
  int first, stop;
};
enum RangeOf { QKV_ROWS, OUT_ROWS, PAIRS, DOWN_ROWS, HEAD_ROWS, OUTPUT_PAIRS, RANGES };

// Addresses of a layer's tensors. Matrices are bf16 [rows][columns]; the cache is bf16 [kv_heads][tokens][head_dim].
struct Layer {
  const char* first[7];     // Wq, Wk, Wv, keys, Wo, Wgate, Wdown: by phase
  const char *values, *up;  // what goes with keys, and with Wgate
};

// A run: `count` slots of `bytes` bytes (the last one of `last`), the first of them `offset` bytes into its tensor,
// each next one `stride` bytes on. A slot of CACHE takes as many bytes of values, too. GATE_UP takes every other slot
// from Wup.
struct Run {
  long long offset;
  int count, bytes, last, stride;
};

// Older tokens that a warp reads of its block's key head.
struct Tokens {
  int head, first, stop;
};

BOTH int between(int v, int least, int most) { return v < least ? least : v > most ? most : v; }

// Splits of attention at `tokens` older tokens: only as many as give each warp of a block a tile.
BOTH int splits(int tokens) {
  constexpr int block_tokens = shape::tile_tokens * shape::warps;
  return between((tokens + block_tokens - 1) / block_tokens, 1, shape::most_splits);
}

// Block b has split b % splits of key head b / splits; blocks beyond the last head have none. Warps take whole tiles.
BOTH Tokens tokens_of(int block, int warp, int tokens) {
  constexpr int tile = shape::tile_tokens;
  int n = splits(tokens), split = block % n, head = block / n;
  if (head >= shape::kv_heads) return {head, 0, 0};
  int first = (long long)tokens * split / n, stop = (long long)tokens * (split + 1) / n,
      tiles = (stop - first + tile - 1) / tile;
  int from = first + tiles * warp / shape::warps * tile, to = first + tiles * (warp + 1) / shape::warps * tile;
  return {head, from < stop ? from : stop, to < stop ? to : stop};
}

// A warp has piece warp % pieces of its rows of Wdown. Piece p starts at this granule: pieces are whole lines of 128
// bytes where the row is.
BOTH constexpr int piece_start(int p) {
  constexpr int line = shape::intermediate % 64 ? 1 : 8;
  return shape::intermediate / shape::granule / line * p / shape::pieces * line;
}

// Rows [first, stop) of a matrix whose rows have `bytes` bytes.
BOTH Run rows_of(int first, int stop, int bytes) {
  return {(long long)first * bytes, stop - first, bytes, bytes, bytes};
}

// Rows of q, k or v: those of the stacked range that lie in [start, start + rows).
BOTH Run part_of(const Range& range, int start, int rows) {
  return rows_of(between(range.first - start, 0, rows), between(range.stop - start, 0, rows), 2 * shape::hidden);
}

// A warp's run in a phase. The cache has room for `rows` tokens.
BOTH Run run_of(int phase, const Range* ranges, const Tokens& tokens, int warp, int rows) {
  using namespace shape;
  switch (phase) {
    case QUERY: return part_of(ranges[QKV_ROWS], 0, q_rows);
    case KEY: return part_of(ranges[QKV_ROWS], q_rows, kv_rows);
    case VALUE: return part_of(ranges[QKV_ROWS], q_rows + kv_rows, kv_rows);
    case CACHE: {
      int count = tokens.stop - tokens.first, tiles = (count + tile_tokens - 1) / tile_tokens,
          bytes = tile_tokens * row_bytes;
      return {((long long)tokens.head * rows + tokens.first) * row_bytes, tiles, bytes,
              (count - (tiles - 1) * tile_tokens) * row_bytes, bytes};
    }
    case OUT: return rows_of(ranges[OUT_ROWS].first, ranges[OUT_ROWS].stop, 2 * q_rows);
    case GATE_UP: {
      Run run = rows_of(2 * ranges[PAIRS].first, 2 * ranges[PAIRS].stop, 2 * hidden);
      run.count *= 2;
      return run;
    }
    case DOWN: {
      Run run = rows_of(ranges[DOWN_ROWS].first, ranges[DOWN_ROWS].stop, 2 * intermediate);
      int start = piece_start(warp % pieces);
      run.offset += 16 * start;
      run.bytes = run.last = 16 * (piece_start(warp % pieces + 1) - start);
      return run;
    }
    default: return rows_of(ranges[HEAD_ROWS].first, ranges[HEAD_ROWS].stop, 2 * hidden);
  }
}
}  // namespace plan
