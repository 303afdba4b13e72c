"""`make bench-overhead`: does the harness disturb what it measures?

One process, one model, two caches: a step of a bare hand-written loop and a step timed as the wall pass times it take
turns over the same positions, so that whatever the host does meanwhile meets both alike. Prints both medians, their
ratio, and the same ratio between two halves of the bare steps alone: what the host's noise makes of no difference.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import torch

from runner import catalogue, floors
from runner.cell import Cell
from runner.machine import hostlock
from runner.runtimes.eager import EagerStep
from runner.worker import caches, clocks, model, tokens, windows

WARMUP = 5
ROUND_STEPS = 30  # steps each way before both go back to ctx
MINIMUM_ROUNDS = 10
RESAMPLES = 2000
INTERVAL = (0.025, 0.975)

TimedStep = Callable[[], int]
"""Runs one step; returns its nanoseconds."""


class BareLoop:
    """A plain decode loop, one iteration a call: model call, argmax, read-back, and two clock readings."""

    def __init__(self, built: Any, cache: caches.Cache, drawn: tokens.Tokens) -> None:
        self._model, self._cache, self._tokens = built, cache, drawn

    def restart(self, ctx: int) -> None:
        self._cache.restart(ctx)
        self._token = self._tokens.sequence[ctx : ctx + 1]
        self._position = self._token.new_tensor([ctx])

    def timed(self) -> int:
        started = time.perf_counter_ns()
        output = self._model(
            input_ids=self._token[None],
            position_ids=self._position[None],
            past_key_values=self._cache.rows,
            use_cache=True,
            logits_to_keep=1,
        )
        self._token = output.logits[0, -1].argmax(dim=-1, keepdim=True)
        self._position = self._position + 1
        self._token.item()
        return time.perf_counter_ns() - started


@dataclass(frozen=True)
class Found:
    """Milliseconds of every step, in the order of time."""

    bare: list[float]
    harness: list[float]

    def lines(self) -> list[str]:
        low, _, _, _, _, _, _, _, high = quantiles(self.bare, n=10)
        middle = median(self.bare)
        ratio, noise = (
            _ratio(self.harness, self.bare),
            _ratio(self.bare[::2], self.bare[1::2]),
        )
        pairs = [one / other for one, other in zip(self.harness, self.bare, strict=True)]
        return [
            f"bare     {middle:.4f} ms/step (p10 {low:.4f}, p90 {high:.4f})",
            f"harness  {median(self.harness):.4f} ms/step",
            f"ratio    {ratio}",
            f"pairs    {median(pairs):.4f}, the median of harness / bare over pairs of neighbouring steps",
            f"noise    {noise}: every second bare step against the others",
        ]


def _ratio(over: list[float], under: list[float]) -> str:
    low, high = _interval(over, under)
    return f"{median(over) / median(under):.4f}, 95 % interval over steps {low:.4f} to {high:.4f}"


def _interval(over: list[float], under: list[float]) -> tuple[float, float]:
    """Percentile bootstrap of the ratio of medians over the steps of this process."""
    generator = torch.Generator().manual_seed(0)
    drawn = [_medians(sample, generator) for sample in (over, under)]
    low, high = torch.quantile(drawn[0] / drawn[1], torch.tensor(INTERVAL)).tolist()
    return low, high


def _medians(sample: list[float], generator: torch.Generator) -> torch.Tensor:
    """Medians [resamples] of the sample drawn with replacement."""
    values = torch.tensor(sample)
    return values[torch.randint(len(sample), (RESAMPLES, len(sample)), generator=generator)].median(dim=1).values


def compare(bare: BareLoop, step: EagerStep, ctx: int, rounds: int) -> Found:
    """Both in turns, step by step, the order changing every time. Both are prefilled to ctx."""
    times: tuple[list[int], list[int]] = ([], [])
    ways: tuple[TimedStep, TimedStep] = (bare.timed, lambda: clocks.timed_step(step))
    _round(bare, step, ctx, ways, ([], []))  # lengths and allocations that no timed step should be the first to see
    for _ in range(rounds):
        _round(bare, step, ctx, ways, times)
    return Found(*([nanoseconds / 1e6 for nanoseconds in found] for found in times))


def _round(
    bare: BareLoop, step: EagerStep, ctx: int, ways: tuple[TimedStep, TimedStep], times: tuple[list[int], list[int]]
) -> None:
    bare.restart(ctx)
    step.restart(ctx)
    for _ in range(WARMUP):
        for way in ways:
            way()
    with windows.watch():
        for index in range(ROUND_STEPS):
            for turn in (0, 1) if index % 2 == 0 else (1, 0):
                times[turn].append(ways[turn]())


def build(cell: Cell, device: torch.device) -> tuple[BareLoop, EagerStep]:
    """Both loops over one model with synthetic weights, each with its own cache, prefilled to the cell's ctx."""
    shape = catalogue.models()[cell.model].shape
    built = model.build_synthetic(shape, model.DTYPES[cell.dtype], device)
    drawn = tokens.draw(shape.vocab, floors.sequence_tokens(cell.ctx, WARMUP, ROUND_STEPS), 0, device)
    rows = floors.kv_alloc_tokens(cell.ctx, WARMUP, ROUND_STEPS)
    steps = [EagerStep(built, caches.make(cell.cache, built.config, rows), drawn) for _ in range(2)]
    for step in steps:
        step.prefill(cell.ctx)
    return BareLoop(built, steps[0].cache, drawn), steps[1]


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-7b" if on_gpu else "qwen2.5-0.5b")
    parser.add_argument("--ctx", type=int, default=2048 if on_gpu else 256)
    parser.add_argument("--cache", choices=("dynamic", "static"), default="static")
    rounds = 50 if on_gpu else MINIMUM_ROUNDS
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{ROUND_STEPS} steps each (default {rounds})")
    arguments = parser.parse_args()
    if arguments.model not in catalogue.models():
        parser.error(f"unknown model {arguments.model} (known: {', '.join(catalogue.models())})")
    if arguments.ctx < 1 or arguments.rounds < MINIMUM_ROUNDS:
        parser.error(f"--ctx must be at least 1 and --rounds at least {MINIMUM_ROUNDS}")
    device = torch.device("cuda" if on_gpu else "cpu")
    cell = Cell(
        "", arguments.model, arguments.ctx, "bf16", "", "eager", "sdpa", arguments.cache, "bf16", "synthetic-v1"
    )
    with hostlock.hold(share=False, on_wait=print), torch.inference_mode():
        found = compare(*build(cell, device), arguments.ctx, arguments.rounds)
    print(f"{arguments.model} ctx {arguments.ctx} {arguments.cache}: {arguments.rounds * ROUND_STEPS} steps each way")
    print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
