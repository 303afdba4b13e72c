// One decode step as one kernel: a block per SM, resident for the whole step. Read ring.cuh and exchange.cuh first.
//
//   for each layer:   h -> norm, Wq Wk Wv -> qkv -> attention's splits -> parts -> join -> attention -> Wo -> h
//                     h -> norm, Wgate Wup, silu -> activations -> Wdown -> h
//   at the end:       h -> norm, head -> logits -> chosen token
//
// At h, qkv, parts, attention and activations, blocks exchange values; a norm, the join and the rest are a block's own
// work. Weights and older keys and values are on the tape. Norms, biases, angles and the embedding row are not.
#include "attention.cuh"
#include "choice.cuh"
#include "mlp.cuh"

using namespace shape;

// The bias of row 2i or 2i + 1 of the warp's turn i of q, k and v, in lane 2i or 2i + 1.
__device__ __forceinline__ float own_bias(const Block& block) {
  const plan::Range& range = block.range(plan::QKV_ROWS);
  int row = range.first + 2 * (block.warp + block.lane / 2 * warps) + block.lane % 2;
  if (!qkv_bias || row >= range.stop) return 0;
  const Vectors& vectors = block.step.vectors[block.layer];
  return from_bf16(row < q_rows             ? vectors.query_bias[row]
                   : row < q_rows + kv_rows ? vectors.key_bias[row - q_rows]
                                            : vectors.value_bias[row - q_rows - kv_rows]);
}

__device__ __forceinline__ void send_qkv(const Block& block, float scale, float bias) {
  const plan::Range& range = block.range(plan::QKV_ROWS);
  product::InTwos turns{block.warp, range.count()};
  product::rows<hidden>(block, plan::QKV, turns, [&](int k, float sum, float next) {
    product::Turn turn = turns(k);
    int i = block.lane;
    float own = qkv_bias ? __shfl_sync(~0u, bias, 2 * k + i % 2) : 0;
    if (i < (turn.two ? 2 : 1))
      send(block.step.qkv + range.first + turn.slot + i, scale * (i ? next : sum) + own, block.epoch_now(0));
  });
}

extern __shared__ __align__(128) char shared[];

extern "C" __global__ void __launch_bounds__(all_threads, 1) decode_step(const __grid_constant__ Step step) {
  instruments::outside(instruments::STARTS);
  int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  int position = *step.position;
  long long chosen = *step.chosen;  // may be choice::no_token, which has no row
  long long token = *step.forced ? step.sequence[position] : (chosen < 0 ? 0 : chosen);
  unsigned epoch = *step.launches * (2 * layers);

  plan::Share& share = *(plan::Share*)(shared + memory::share);
  if (thread == 0) share = plan::share_of(step.ranges + blockIdx.x * plan::RANGES, blockIdx.x, position);
  u64* tables = (u64*)(shared + memory::tables);
  for (int i = thread; i < layers * (int)sizeof(plan::Layer) / 8; i += all_threads)
    tables[i] = ((const u64*)step.layers)[i];
  Ring ring{shared_address(shared + memory::ring), shared_address(shared + memory::full),
            shared_address(shared + memory::free)};
  for (int i = thread; i < slots; i += all_threads) {
    make_barrier(ring.full_at(i), copies::arrivals);
    make_barrier(ring.free_at(i), 1);
  }
  copies::announce_barriers();
  for (int i = thread; i < head_dim / 2; i += all_threads) {
    float* angles = (float*)(shared + memory::angles);
    angles[i] = step.cosines[(long long)position * (head_dim / 2) + i];
    angles[i + head_dim / 2] = step.sines[(long long)position * (head_dim / 2) + i];
  }
  __syncthreads();

  const plan::Layer* on_tape = (const plan::Layer*)tables;
  if (warp >= warps) {
    Filler filler{
        ring, step.report, on_tape, share, step.head, warp - warps, (int)step.cache_rows, copies::read_once()};
    filler.fill_all();
    return;
  }

  Reader reader{ring, step.report};
  const plan::Range& own = share.ranges[plan::HIDDEN_ROWS];
  Block block{step, shared, reader, on_tape, share, thread, warp, lane, position, own.first, own.count(), epoch};
  residual::prefetch_vectors(block, 0);
  residual::begin(block, token);

  for (int layer = 0; layer < layers; ++layer) {
    block.layer = layer;
    block.passes(0);
    float bias = own_bias(block);
    float scale = residual::normed(block, step.vectors[layer].input_norm, layer ? -1 : token, block.epoch_now(-1));
    block.passes(1);
    send_qkv(block, scale, bias);
    block.passes(2);
    if (share.tokens.head < kv_heads) attention::split(block);
    block.passes(3);
    attention::join_splits(block);
    block.passes(4);
    attention::gather_outputs(block);
    block.passes(5);
    product::InTwos turns{warp, own.count()};
    product::rows<q_rows>(block, plan::OUT, turns, [&](int k, float sum, float next) {
      product::Turn turn = turns(k);
      if (lane < (turn.two ? 2 : 1)) residual::add_and_send(block, turn.slot + lane, lane ? next : sum, 0);
    });
    block.passes(6);
    scale = residual::normed(block, step.vectors[layer].output_norm, -1, block.epoch_now(0));
    block.passes(7);
    residual::prefetch_vectors(block, layer + 1);
    mlp::gate_up(block, scale);
    block.passes(8);
    mlp::down(block);
    block.passes(9);
  }
  float scale = residual::normed(block, step.norm, -1, block.epoch_now(1));
  instruments::outside(instruments::HEAD_NORMED);
  choice::logits(block, scale);
  instruments::outside(instruments::HAS_LOGITS);
  choice::choose(block);
  instruments::outside(instruments::HAS_CHOSEN);
}
