// Shapes of the model and of the launch. All are compile-time constants: the host passes one -D for each.
#pragma once

namespace shape {
// the model
constexpr int layers = LAYERS, hidden = HIDDEN, intermediate = INTERMEDIATE, vocab = VOCAB;
constexpr int heads = HEADS, kv_heads = KV_HEADS, head_dim = HEAD_DIM;
constexpr bool qkv_bias = QKV_BIAS;
constexpr int group = heads / kv_heads;  // query heads that share a key head
constexpr int q_rows = heads * head_dim, kv_rows = kv_heads * head_dim;
constexpr int qkv_rows = q_rows + 2 * kv_rows;  // rows of Wq, Wk and Wv one below the other

// the launch: one block per SM, each with `warps` warps that multiply, and `fillers` that fill a ring of `slots` slots
constexpr int blocks = BLOCKS, warps = WARPS, threads = 32 * warps, fillers = FILLERS,
              all_threads = threads + 32 * fillers;
constexpr int slots = SLOTS, slot_bytes = SLOT_BYTES;
constexpr int flights = FLIGHTS;                 // copies of a filler that are under way at once, at most
constexpr int early_flights = EARLY_FLIGHTS;     // the same while blocks exchange values
constexpr int most_brought = BROUGHT;            // copies that a filler brings into the L2 while the ring is full
constexpr unsigned bring_clocks = BRING_CLOCKS;  // between two of them
constexpr int pieces = PIECES;                   // a row of Wdown is cut into so many pieces
constexpr int round_pieces = pieces < warps ? pieces : warps;  // of which so many are multiplied at once

// 16 bytes, eight bf16: what one lane reads at once
constexpr int granule = 8;
// a tile of the cache: as many tokens as fit a slot with key and value, at most the 16 of one matrix instruction
constexpr int row_bytes = 2 * head_dim;
constexpr int tile_fit = slot_bytes / (2 * row_bytes);
constexpr int tile_tokens = tile_fit < 16 ? tile_fit : 16;
// attention of one key head is split over so many blocks at most; the lanes of a warp join the parts
constexpr int splits_fit = blocks / kv_heads;
constexpr int most_splits = splits_fit < 32 ? splits_fit : 32;

constexpr int divided_up(int a, int b) { return (a + b - 1) / b; }
constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }

constexpr int most_hidden_rows = divided_up(hidden, blocks);  // rows of Wo and Wdown that a block owns, at most

static_assert(heads % kv_heads == 0 && group <= 8, "at most 8 query heads per key head: they are rows of one tile");
static_assert(head_dim % 32 == 0, "head_dim: a multiple of 32");
static_assert(hidden % granule == 0 && q_rows % granule == 0 && intermediate % granule == 0, "rows of whole granules");
static_assert(2 * larger(hidden, q_rows) <= slot_bytes, "hidden: a row must fit a slot");
static_assert(slot_bytes % 128 == 0 && tile_tokens >= 1, "slots of whole lines, with room for one token");
static_assert(warps % round_pieces == 0 && pieces % round_pieces == 0,
              "in a round a warp has the same piece of all rows");
static_assert(most_hidden_rows <= threads, "a thread adds up one row of Wdown");
static_assert(blocks <= hidden && blocks <= q_rows / 2 && blocks <= intermediate / 2,
              "every block has a share of each phase");
static_assert(2 * divided_up(divided_up(qkv_rows, blocks), 2 * warps) <= 32,
              "a lane keeps the bias of one of the warp's rows");
static_assert(early_flights >= 1 && flights >= early_flights && fillers >= 1, "copies have to be under way");
static_assert(slots % fillers == 0 && slots >= 2 * warps + flights * fillers, "a slot's rounds can be told apart");
static_assert(blocks >= kv_heads, "kv_heads: at most one per block");
}  // namespace shape

// Shared memory of a block, in bytes from its start. The launch asks for all that the card has (LARGEST_SHARED).
namespace memory {
using namespace shape;
constexpr int aligned(int bytes) { return divided_up(bytes, 16) * 16; }
constexpr int ring = 0;                              // [slots][slot_bytes]
constexpr int full = ring + slots * slot_bytes;      // [slots] mbarriers
constexpr int free = full + 8 * slots;               // [slots] mbarriers
constexpr int query = aligned(free + 8 * slots);     // bf16 [group][head_dim]
constexpr int fresh = query + 2 * group * head_dim;  // key and value of this step's token, bf16 [2][head_dim]
constexpr int angles = fresh + 4 * head_dim;         // cosines, then sines, float [2][head_dim / 2]
constexpr int peaks = angles + 4 * head_dim;         // a warp's {maximum, sum} float [warps][8][2]
constexpr int sums = peaks + 64 * warps;             // one float per warp, [warps]
constexpr int partial = aligned(sums + 4 * warps);   // Wdown's sums float [rows][pieces]
constexpr int residual = aligned(partial + 4 * most_hidden_rows * pieces);  // the residual of the block's rows, float
constexpr int share = aligned(residual + 4 * most_hidden_rows);             // the block's plan::Share, 84 bytes
constexpr int tables = aligned(share + 84);           // addresses of what is on the tape, 72 bytes a layer
constexpr int input = aligned(tables + 72 * layers);  // x of a product, bf16 [hidden or q_rows]
constexpr int input_bytes = 2 * larger(hidden, q_rows);
// The warps' join in attention runs over the input's bytes and the rest, in as many rounds as make it fit.
constexpr int room = LARGEST_SHARED - input;
constexpr int join_bytes(int dims) { return warps * group * dims * 4; }
constexpr int round_dims = join_bytes(head_dim) <= room       ? head_dim
                           : join_bytes(head_dim / 2) <= room ? head_dim / 2
                                                              : head_dim / 4;
static_assert(input_bytes <= room && join_bytes(round_dims) <= room, "the ring does not fit into shared memory");
}  // namespace memory
