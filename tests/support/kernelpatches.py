"""Planted faults of the fused kernel: patches of its CUDA sources, which tests apply to a copy before NVRTC sees it.

`MUTANTS` compute something else, and are fast for it. `HANGS` never end without the limit of every wait. The product's
sources know nothing of them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.fused import compiled


@dataclass(frozen=True)
class Patch:
    """A piece of a source, which must be there once, and what stands in its place."""

    file: str
    before: str
    after: str


_ANGLES = """step.cosines[(long long){0} * (head_dim / 2) + i];
    angles[i + head_dim / 2] = step.sines[(long long){0} * (head_dim / 2) + i];"""
MUTANTS = {
    "newest-kv-row-dropped": Patch(
        "attention.cuh",
        "if (last && block.warp == 0) {  // the new token",
        "if (false) {  // the new token",
    ),
    "newest-kv-row-not-stored": Patch("attention.cuh", "if (h >= group) {", "if (false) {"),
    "oldest-kv-row-dropped": Patch(
        "plan.cuh",
        "return {head, split, n, (int)((long long)tokens * split / n),",
        "return {head, split, n, (int)((long long)tokens * split / n) + (split == 0 && tokens > 0),",
    ),
    "rope-off-by-one": Patch(
        "step.cu",
        _ANGLES.format("position"),
        _ANGLES.format("(position + 1)"),
    ),
    "kv-head-swapped": Patch(
        "attention.cuh",
        "((long long)head * block.step.cache_rows + block.position)",
        "((long long)(head ^ 1) * block.step.cache_rows + block.position)",
    ),
    "no-bias": Patch("step.cu", "if (!qkv_bias || row >= range.stop) return 0;", "return 0;"),
    "norm-ignored": Patch(
        "residual.cuh",
        "pack(number(h[k].a) * low(w[k]), number(h[k].b) * high(w[k]))",
        "pack(number(h[k].a), number(h[k].b))",
    ),
    "stale-input": Patch("step.cu", "step.sequence[position]", "step.sequence[position ? position - 1 : 0]"),
    "piece-skipped": Patch(
        "mlp.cuh",
        "for (int p = 0; p < pieces; ++p) sum +=",
        "for (int p = 0; p < pieces - 1; ++p) sum +=",
    ),
    "split-left-out": Patch(
        "attention.cuh",
        "float f = block.lane < splits ?",
        "float f = (block.lane || splits == 1) && block.lane < splits ?",
    ),
    # of what is sent in one layer, the attention that all blocks await afterwards keeps the order: nothing hangs
    "queries-not-awaited": Patch("block.cuh", "if (all) return;", "if (all || awaited == QUERY) return;"),
    "parts-not-awaited": Patch("block.cuh", "if (all) return;", "if (all || awaited == PARTS) return;"),
    "every-second-step-idle": Patch(
        "step.cu",
        "  plan::Share& share = *(plan::Share*)",
        """  if (position % 2 == 0) {  // the first block goes on when all blocks have read the state
    static unsigned idle;
    __syncthreads();
    if (thread) return;
    atomicAdd(&idle, 1u);
    if (blockIdx.x) return;
    while (atomicAdd(&idle, 0u) < blocks) {
    }
    idle = 0;
    *step.position = position + 1;
    *step.launches += 1;
    return;
  }
  plan::Share& share = *(plan::Share*)""",
    ),
}
"""Faults of the arithmetic and of the exchanges."""
MUTANT_SHAPES = {"piece-skipped": "five-pieces"}
"""Mutants that need a shape of their own; all others are tried on `group-7`."""

HANGS = {
    "epoch-never-sent": Patch(
        "residual.cuh",
        "  send(block.step.hidden",
        "  if (blockIdx.x != 1 || half) send(block.step.hidden",
    ),
    "slot-never-freed": Patch(
        "ring.cuh",
        "if (threadIdx.x % 32 < count)",
        "if (threadIdx.x % 32 < count && (blockIdx.x != 1 || threadIdx.x / 32 != 1))",
    ),
    "block-missing": Patch(
        "step.cu",
        "  int position = *step.position;\n",
        "  if (blockIdx.x == 0) return;\n  int position = *step.position;\n",
    ),
    "copy-never-lands": Patch(
        "copies.cuh",
        '"r"(second ? 2 * bytes : bytes)',
        '"r"((second ? 2 * bytes : bytes) + (blockIdx.x == 1 ? 16 : 0))',
    ),
}
"""Faults after which something is awaited that never comes: from block 1, to it, or from block 0."""
PLACES = {
    "epoch-never-sent": r"the residual stream before the MLP \(layer 0, ",
    "slot-never-freed": r"a free slot for a copy of Wo \(layer 1, block 1, SM \d+, warp [45]: copy 5[67]\)",
    "block-missing": r"the parts of attention \(layer 0, ",  # block 0 has all tokens of the first key head
    "copy-never-lands": r"a copy of Wq, Wk and Wv \(layer 0, block 1, SM \d+, warp \d: copy ",
}
"""Lines of the hangs."""


def patched(patch: Patch, folder: Path) -> Path:
    """Returns a copy of the kernel's sources in a new folder, with the patch. Raises ValueError if it does not fit."""
    shutil.copytree(compiled.SOURCES, folder)
    source = folder / patch.file
    text = source.read_text()
    if text.count(patch.before) != 1:
        raise ValueError(f"{patch.file} has {text.count(patch.before)} times {patch.before!r}: adapt the patch")
    source.write_text(text.replace(patch.before, patch.after))
    return folder
