// The plan: which bytes a block reads, in order, and which warp uses them. Ranges come from the host as data; what
// follows from them is computed here, by pure functions that are compiled for the GPU and for the host.
#pragma once
#include "shape.cuh"

#ifdef __CUDACC__
#define BOTH __device__ __forceinline__
#else
#define BOTH inline
#endif

namespace plan {
// Phases of a layer on the tape, in order. HEAD comes once, after the last layer.
enum Phase { QKV, CACHE, OUT, GATE_UP, DOWN, HEAD, PHASES };

// A block's share, [first, stop): rows of Wq, Wk and Wv one below the other; rows of Wo, and the same of Wdown; pairs
// of neighbouring rows of Wgate and Wup; rows of the head; pairs of neighbouring outputs of attention.
struct Range {
  int first, stop;
  BOTH int count() const { return stop - first; }
};
enum RangeOf { QKV_ROWS, HIDDEN_ROWS, PAIRS, HEAD_ROWS, OUTPUT_PAIRS, RANGES };

// A tensor of a layer. Matrices are bf16 [rows][columns]; the cache is bf16 [kv_heads][tokens][head_dim].
enum Tensor { WQ, WK, WV, KEYS, VALUES, WO, WGATE, WUP, WDOWN, TENSORS };
struct Layer {
  const char* tensors[TENSORS];
};

// What fills a slot: `bytes` bytes at an offset into a tensor. With KEYS come as many bytes of VALUES, at the same
// offset. For HEAD the tensor is -1.
struct Copy {
  int tensor;
  long long offset;
  int bytes;
};

// Older tokens that a block reads of one key head.
struct Tokens {
  int head, split, splits, first, stop;
};

// A block's share of a step.
struct Share {
  Range ranges[RANGES];
  Tokens tokens;
  int start[PHASES];  // a phase's first slot, counted from the layer's first one; HEAD's is the number of all
};

BOTH int between(int v, int least, int most) { return v < least ? least : v > most ? most : v; }

// Splits of attention at `tokens` older tokens: only as many as give each warp of a block a tile.
BOTH int splits(int tokens) {
  constexpr int block_tokens = shape::tile_tokens * shape::warps;
  return between((tokens + block_tokens - 1) / block_tokens, 1, shape::most_splits);
}

// Block b has split b % splits of key head b / splits; blocks beyond the last head have none.
BOTH Tokens tokens_of(int block, int tokens) {
  int n = splits(tokens), split = block % n, head = block / n;
  if (head >= shape::kv_heads) return {head, split, n, 0, 0};
  return {head, split, n, (int)((long long)tokens * split / n), (int)((long long)tokens * (split + 1) / n)};
}

// Piece p of a row of Wdown starts at this granule: pieces are whole lines of 128 bytes where the row is.
BOTH constexpr int piece_start(int p) {
  constexpr int line = shape::intermediate % 64 ? 1 : 8;
  return shape::intermediate / shape::granule / line * p / shape::pieces * line;
}

BOTH Share share_of(const Range* ranges, int block, int tokens) {
  Share share;
  for (int i = 0; i < RANGES; ++i) share.ranges[i] = ranges[i];
  share.tokens = tokens_of(block, tokens);
  int rows = ranges[HIDDEN_ROWS].count();
  share.start[QKV] = 0;
  share.start[CACHE] = ranges[QKV_ROWS].count();
  share.start[OUT] = share.start[CACHE] + shape::divided_up(share.tokens.stop - share.tokens.first, shape::tile_tokens);
  share.start[GATE_UP] = share.start[OUT] + rows;
  share.start[DOWN] = share.start[GATE_UP] + 4 * ranges[PAIRS].count();
  share.start[HEAD] = share.start[DOWN] + shape::pieces * rows;
  return share;
}

// Slots of the whole step.
BOTH int slots_of(const Share& share) { return shape::layers * share.start[HEAD] + share.ranges[HEAD_ROWS].count(); }

BOTH Copy row_of(int tensor, int row, int columns) { return {tensor, 2LL * row * columns, 2 * columns}; }

BOTH Copy qkv_copy(int row) {
  using namespace shape;
  if (row < q_rows) return row_of(WQ, row, hidden);
  if (row < q_rows + kv_rows) return row_of(WK, row - q_rows, hidden);
  return row_of(WV, row - q_rows - kv_rows, hidden);
}

// Tile i of the block's tokens. The cache has room for `rows` tokens.
BOTH Copy cache_copy(const Tokens& tokens, int i, int rows) {
  int first = tokens.first + i * shape::tile_tokens, count = shape::smaller(shape::tile_tokens, tokens.stop - first);
  return {KEYS, ((long long)tokens.head * rows + first) * shape::row_bytes, count * shape::row_bytes};
}

// A row of Wgate and the same of Wup go together. Each warp has pairs of neighbouring rows: first come the first ones
// of all warps, then the second ones.
struct Pairs {
  int before, count;  // pairs before those that warps have in the same round, and how many these are
};
BOTH Pairs pairs_in_round(int round, int pairs) {
  int before = round * shape::warps;
  return {before, shape::smaller(shape::warps, pairs - before)};
}
BOTH Copy gate_up_copy(const Range& pairs, int i) {
  Pairs round = pairs_in_round(i / (4 * shape::warps), pairs.count());
  int two = i / 2 - 2 * round.before, row = 2 * (pairs.first + round.before + two % round.count) + two / round.count;
  return row_of(i % 2 ? WUP : WGATE, row, shape::hidden);
}

// Two rows of Wdown go together: a piece of both, the next piece of both, … The last row may be alone. If there are
// more pieces than warps, all rows' first pieces come first, as many as there are warps.
struct Place {
  int two, piece;  // of which two rows, counted from the block's first ones; which piece
  bool alone;      // there is one row
  int slot;        // of the first row, counted from the phase's first slot
};
BOTH Place down_place(int round, int two, int piece, int rows) {
  using namespace shape;
  bool alone = 2 * two + 1 == rows;
  int first = round * round_pieces * rows + 2 * round_pieces * two;
  return {two, round * round_pieces + piece, alone, first + (alone ? 1 : 2) * piece};
}
BOTH Copy down_copy(const Range& rows, int i) {
  using namespace shape;
  int round = i / (round_pieces * rows.count()), k = i % (round_pieces * rows.count());
  int two = k / (2 * round_pieces), within = k % (2 * round_pieces);
  bool alone = 2 * two + 1 == rows.count();
  Place place = down_place(round, two, alone ? within : within / 2, rows.count());
  int row = rows.first + 2 * two + i - place.slot, start = piece_start(place.piece);
  return {WDOWN, 2LL * row * intermediate + 16 * start, 16 * (piece_start(place.piece + 1) - start)};
}

// Slot i of a layer; from start[HEAD] on, of the head.
BOTH Copy copy_of(const Share& share, int i, int cache_rows) {
  using namespace shape;
  const int* start = share.start;
  if (i < start[CACHE]) return qkv_copy(share.ranges[QKV_ROWS].first + i);
  if (i < start[OUT]) return cache_copy(share.tokens, i - start[CACHE], cache_rows);
  if (i < start[GATE_UP]) return row_of(WO, share.ranges[HIDDEN_ROWS].first + i - start[OUT], q_rows);
  if (i < start[DOWN]) return gate_up_copy(share.ranges[PAIRS], i - start[GATE_UP]);
  if (i < start[HEAD]) return down_copy(share.ranges[HIDDEN_ROWS], i - start[DOWN]);
  return row_of(-1, share.ranges[HEAD_ROWS].first + i - start[HEAD], hidden);
}

// The warp that uses slot i of a layer: two rows go to one warp, the next two to the next; a piece of Wdown's rows
// always goes to the same warps.
BOTH int warp_of(const Share& share, int i) {
  using namespace shape;
  const int* start = share.start;
  if (i < start[CACHE]) return i / 2 % warps;
  if (i < start[OUT]) return (i - start[CACHE]) % warps;
  if (i < start[GATE_UP]) return (i - start[OUT]) / 2 % warps;
  if (i < start[DOWN]) {
    int two = (i - start[GATE_UP]) / 2;
    Pairs round = pairs_in_round(two / (2 * warps), share.ranges[PAIRS].count());
    return (two - 2 * round.before) % round.count;
  }
  if (i >= start[HEAD]) return (i - start[HEAD]) / 2 % warps;
  int rows = share.ranges[HIDDEN_ROWS].count(), k = (i - start[DOWN]) % (round_pieces * rows);
  int two = k / (2 * round_pieces), within = k % (2 * round_pieces);
  return two % (warps / round_pieces) * round_pieces + (2 * two + 1 == rows ? within : within / 2);
}
}  // namespace plan
