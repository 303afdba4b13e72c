// One decode step as one kernel: a block per SM, resident for the whole step. Read ring.cuh and exchange.cuh first.
//
//   for each layer:   h -> norm, Wq Wk Wv -> qkv -> attention's splits -> parts -> join -> attention -> Wo -> h
//                     h -> norm, Wgate Wup, silu -> activations -> Wdown -> h
//   at the end:       h -> norm, head -> logits -> chosen token
//
// Each name between arrows is an exchange between blocks. All that is read from device memory besides is on the tape.
#include "attention.cuh"
#include "choice.cuh"
#include "mlp.cuh"

using namespace shape;

// The bias of the warp's lane-th row of q, k and v.
__device__ __forceinline__ float own_bias(const Block& block) {
  const plan::Range& range = block.range(plan::QKV_ROWS);
  int row = range.first + block.lane;
  if (!qkv_bias || row >= range.stop) return 0;
  const Vectors& vectors = block.step.vectors[block.layer];
  return from_bf16(row < q_rows             ? vectors.query_bias[row]
                   : row < q_rows + kv_rows ? vectors.key_bias[row - q_rows]
                                            : vectors.value_bias[row - q_rows - kv_rows]);
}

__device__ __forceinline__ void send_qkv(const Block& block, float scale, float bias) {
  const plan::Range& range = block.range(plan::QKV_ROWS);
  product::rows<hidden>(block, range.stop - range.first, [&](int i, float sum) {
    float own = qkv_bias ? __shfl_sync(~0u, bias, i) : 0;
    if (block.lane == 0) send(block.step.qkv + range.first + i, scale * sum + own, block.epoch_now(0));
  });
}

extern "C" __global__ void __launch_bounds__(all_threads, 1) decode_step(const __grid_constant__ Step step) {
  extern __shared__ __align__(128) char shared[];
  int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  int position = *step.position;
  long long token = *step.forced ? step.sequence[position] : *step.chosen;
  unsigned epoch = *step.launches * (2 * layers);

  plan::Range* ranges = (plan::Range*)(shared + memory::ranges);
  for (int i = thread; i < warps * plan::RANGES; i += all_threads)
    ranges[i] = step.ranges[blockIdx.x * warps * plan::RANGES + i];
  u64* tables = (u64*)(shared + memory::tables);
  for (int i = thread; i < layers * (int)sizeof(plan::Layer) / 8; i += all_threads)
    tables[i] = ((const u64*)step.layers)[i];
  unsigned full = shared_address(shared + memory::full);
  for (int i = thread; i < warps * slots; i += all_threads) make_barrier(full + 8 * i);
  if (thread < warps) ((int*)(shared + memory::used))[thread] = 0;
  copies::announce_barriers();
  for (int i = thread; i < head_dim / 2; i += all_threads) {
    float* angles = (float*)(shared + memory::angles);
    angles[i] = step.cosines[(long long)position * (head_dim / 2) + i];
    angles[i + head_dim / 2] = step.sines[(long long)position * (head_dim / 2) + i];
  }
  __syncthreads();

  Rings rings{shared_address(shared + memory::ring), full, shared_address(shared + memory::used)};
  if (warp >= warps) {
    Filler filler{
        rings, (const plan::Layer*)tables, ranges, warp - warps, position, (int)step.cache_rows, copies::read_once()};
    filler.fill_all(step.head);
    return;
  }

  plan::Range* own = ranges + warp * plan::RANGES;
  plan::Tokens tokens = plan::tokens_of(blockIdx.x, warp, position);
  Ring ring{rings, step.report, warp};
  int splits = plan::splits(position), first_row = ranges[plan::OUT_ROWS].first;
  Block block{step,
              shared,
              ring,
              (const plan::Layer*)tables,
              thread,
              warp,
              lane,
              own,
              tokens,
              position,
              (int)blockIdx.x % splits,
              splits,
              first_row,
              ranges[(warps - 1) * plan::RANGES + plan::OUT_ROWS].stop - first_row,
              epoch};
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
    if (tokens.head < kv_heads) attention::split(block);
    block.passes(3);
    attention::join_splits(block);
    block.passes(4);
    attention::gather_outputs(block);
    block.passes(5);
    const plan::Range& rows = block.range(plan::OUT_ROWS);
    product::rows<q_rows>(block, rows.stop - rows.first, [&](int i, float sum) {
      if (lane == 0) residual::add_and_send(block, rows.first - first_row + i, sum, 0);
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
  choice::logits(block, scale);
  choice::choose(block);
}
