// What a launch is given: addresses only. What changes from step to step is read from device memory.
#pragma once
#include "exchange.cuh"
#include "plan.cuh"

// Vectors of a layer, bf16.
struct Vectors {
  const bf16 *query_bias, *key_bias, *value_bias, *input_norm, *output_norm;
};

struct Step {
  Vectors vectors[shape::layers];
  const plan::Layer* layers;     // [layers]
  const bf16 *embedding, *norm;  // [vocab][hidden], [hidden]
  const char* head;              // bf16 [vocab][hidden]; the embedding's own address if they are tied
  const float *cosines, *sines;  // [positions][head_dim / 2]
  const plan::Range* ranges;     // [blocks][plan::RANGES]
  Packet* hidden;                // [hidden] the residual stream, float
  Packet* qkv;                   // [qkv_rows] float, before the rotation
  Packet* parts;                 // [most_splits][q_rows] float: a split's weighted sum of values
  Packet* weights;               // [most_splits][heads][2] float: a split's largest score, its sum of exp2
  Packet* attention;             // [q_rows / 2] two bf16
  Packet* activations;           // [intermediate / 2] two bf16
  Packet* choices;               // [blocks][2] a block's best logit, its token
  float* logits;                 // [vocab]
  const long long* sequence;     // tokens that are consumed while `forced`
  const unsigned char* forced;   // [1]
  long long *position, *chosen;  // [1] each; the step consumes chosen and leaves its own, and position + 1
  long long* log;                // [positions] the token that was chosen at each position
  unsigned* launches;            // [1] starts at 1
  unsigned* report;              // Waiting::report
  long long cache_rows;          // tokens that the cache has room for
  float epsilon;                 // of the norms
};
