"""`make bench-overhead`: does the harness disturb what it measures?

One process, one model: blocks of steps in a bare hand-written loop and blocks through the harness's wall pass take
turns over the same positions. Prints both medians, their ratio, and how much the bare blocks differ among themselves.
"""

from __future__ import annotations

import argparse
import itertools
import time
from statistics import median
from typing import Any

import torch

from runner import catalogue, floors
from runner.cell import Cell
from runner.protocol import Protocol
from runner.runtimes.eager import EagerStep
from runner.worker import caches, clocks, model, tokens

WARMUP = 5
BLOCK_STEPS = 30


def bare_block(step: EagerStep, ctx: int) -> list[float]:
    """Milliseconds of each step of a plain decode loop: model call, argmax, read-back, and two clock readings."""
    step.cache.restart(ctx)
    token, position = step.tokens.sequence[ctx : ctx + 1], torch.tensor([ctx], device=step.position.device)
    times_ms = []
    for _ in range(WARMUP + BLOCK_STEPS):
        started = time.perf_counter_ns()
        output = step.model(
            input_ids=token[None],
            position_ids=position[None],
            past_key_values=step.cache.rows,
            use_cache=True,
            logits_to_keep=1,
        )
        token = output.logits[0, -1].argmax(dim=-1, keepdim=True)
        position = position + 1
        token.item()
        times_ms.append((time.perf_counter_ns() - started) / 1e6)
    return times_ms[WARMUP:]


def harness_block(step: EagerStep, ctx: int) -> list[float]:
    """Milliseconds of each step as the wall pass of a session measures them."""
    clocks.warm_up(step, ctx, WARMUP)
    times_ms: list[float] = clocks.wall(step, Protocol("custom", WARMUP, BLOCK_STEPS))["steps_ms"]
    return times_ms


def compare(step: EagerStep, ctx: int, blocks: int) -> dict[str, Any]:
    """Both ways in turns, the order changing every time; the ratio is harness over bare, of medians over all steps."""
    times: dict[str, list[list[float]]] = {"bare": [], "harness": []}
    ways = [("bare", bare_block), ("harness", harness_block)]
    step.prefill(ctx)
    for _, way in ways:  # lengths and allocations that no timed block should be the first to see
        way(step, ctx)
    for block in range(blocks):
        for name, way in ways if block % 2 == 0 else reversed(ways):
            times[name].append(way(step, ctx))
    medians = {name: median(itertools.chain.from_iterable(found)) for name, found in times.items()}
    bare = sorted(median(found) for found in times["bare"])
    return {
        **medians,
        "ratio": medians["harness"] / medians["bare"],
        "bare_blocks_spread": (bare[-1] - bare[0]) / medians["bare"],
    }


def build(cell: Cell, device: torch.device) -> EagerStep:
    """The cell's step with synthetic weights."""
    shape = catalogue.models()[cell.model].shape
    built = model.build_synthetic(shape, model.DTYPES[cell.dtype], device)
    count = floors.sequence_tokens(cell.ctx, WARMUP, BLOCK_STEPS)
    drawn = tokens.draw(shape.vocab, count, 0, device)
    return EagerStep(
        built, caches.make(cell.cache, built.config, floors.kv_alloc_tokens(cell.ctx, WARMUP, BLOCK_STEPS)), drawn
    )


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-7b" if on_gpu else "qwen2.5-0.5b")
    parser.add_argument("--ctx", type=int, default=2048 if on_gpu else 256)
    parser.add_argument("--cache", choices=("dynamic", "static"), default="static")
    parser.add_argument("--blocks", type=int, default=10, help=f"blocks of {BLOCK_STEPS} steps each way (default 10)")
    arguments = parser.parse_args()
    device = torch.device("cuda" if on_gpu else "cpu")
    cell = Cell(
        "", arguments.model, arguments.ctx, "bf16", "", "eager", "sdpa", arguments.cache, "bf16", "synthetic-v1"
    )
    with torch.inference_mode():
        found = compare(build(cell, device), arguments.ctx, arguments.blocks)
    print(f"{arguments.model} ctx {arguments.ctx} {arguments.cache}: {arguments.blocks * BLOCK_STEPS} steps each way")
    print(f"bare     {found['bare']:.4f} ms/step (block medians differ by up to {found['bare_blocks_spread']:.1%})")
    print(f"harness  {found['harness']:.4f} ms/step")
    print(f"ratio    {found['ratio']:.4f}")


if __name__ == "__main__":
    main()
