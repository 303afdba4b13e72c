"""`make bench-overhead`: does the harness disturb what it measures?

One process, one model, two caches: a step of a bare hand-written loop and a step timed as the wall pass times it take
turns over the same positions, so that whatever the host does meanwhile meets both alike. Prints both medians, their
ratio, and the same ratio between two halves of the bare steps alone: what the host's noise makes of no difference.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from runner import terminal
from runner.cell import catalogue, floors
from runner.cell.cell import Cell
from runner.declarations import Step
from runner.machine import hostlock
from runner.runtimes.eager import EagerStep
from runner.runtimes.graph import GraphStep
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
        self._token = self._tokens.sequence[ctx : ctx + 1].clone()
        self._position = self._token.new_tensor([ctx])

    def timed(self) -> int:
        started = time.perf_counter_ns()
        self._token = self._decode()
        self._position = self._position + 1
        self._token.item()
        return time.perf_counter_ns() - started

    def _decode(self) -> torch.Tensor:
        output = self._model(
            input_ids=self._token[None],
            position_ids=self._position[None],
            past_key_values=self._cache.rows,
            use_cache=True,
            logits_to_keep=1,
            **self._cache.extra_arguments(self._position),
        )
        token: torch.Tensor = output.logits[0, -1].argmax(dim=-1, keepdim=True)
        return token


class BareGraph(BareLoop):
    """The same loop with its iteration in a CUDA graph, captured by hand."""

    def __init__(self, built: Any, cache: caches.Cache, drawn: tokens.Tokens) -> None:
        super().__init__(built, cache, drawn)
        super().restart(floors.GATE_SHORT_CTX)
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(WARMUP):
                self._advance()
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=side):
            self._advance()

    def _advance(self) -> None:
        self._token.copy_(self._decode())
        self._position.add_(1)

    def restart(self, ctx: int) -> None:
        self._cache.restart(ctx)
        self._token.copy_(self._tokens.sequence[ctx : ctx + 1])
        self._position.fill_(ctx)

    def timed(self) -> int:
        started = time.perf_counter_ns()
        self._graph.replay()
        self._token.item()
        return time.perf_counter_ns() - started


@dataclass(frozen=True)
class Found:
    """Milliseconds of every step, in the order of time."""

    bare: list[float]
    harness: list[float]

    def figures(self) -> dict[str, Any]:
        """What is compared: medians and bare percentiles in ms; ratios with 95 % intervals over the steps."""
        low, _, _, _, _, _, _, _, high = quantiles(self.bare, n=10)
        pairs = [one / other for one, other in zip(self.harness, self.bare, strict=True)]
        return {
            "steps": len(self.bare),
            "bare_ms": round(median(self.bare), 4),
            "bare_p10_ms": round(low, 4),
            "bare_p90_ms": round(high, 4),
            "harness_ms": round(median(self.harness), 4),
            "ratio": _ratio(self.harness, self.bare),
            "pairs": round(median(pairs), 4),
            "noise": _ratio(self.bare[::2], self.bare[1::2]),
        }


def lines(report: Mapping[str, Any]) -> list[str]:
    """A report as a person reads it."""
    way = " ".join(str(report[name]) for name in ("model", "ctx", "cache", "runtime"))
    return [
        f"{way}: {report['steps']} steps each way",
        f"bare     {report['bare_ms']:.4f} ms/step (p10 {report['bare_p10_ms']:.4f}, p90 {report['bare_p90_ms']:.4f})",
        f"harness  {report['harness_ms']:.4f} ms/step",
        f"ratio    {_with_interval(report['ratio'])}",
        f"pairs    {report['pairs']:.4f}, the median of harness / bare over pairs of neighbouring steps",
        f"noise    {_with_interval(report['noise'])}: every second bare step against the others",
    ]


def _with_interval(ratio: Sequence[float]) -> str:
    middle, low, high = ratio
    return f"{middle:.4f}, 95 % interval over steps {low:.4f} to {high:.4f}"


def _ratio(over: list[float], under: list[float]) -> list[float]:
    """Ratio of the medians, and the ends of its percentile bootstrap over the steps of this process."""
    generator = torch.Generator().manual_seed(0)
    drawn = [_medians(sample, generator) for sample in (over, under)]
    ends = torch.quantile(drawn[0] / drawn[1], torch.tensor(INTERVAL)).tolist()
    return [round(each, 4) for each in (median(over) / median(under), *ends)]


def _medians(sample: list[float], generator: torch.Generator) -> torch.Tensor:
    """Medians [resamples] of the sample drawn with replacement."""
    values = torch.tensor(sample)
    return values[torch.randint(len(sample), (RESAMPLES, len(sample)), generator=generator)].median(dim=1).values


def compare(bare: BareLoop, step: Step, ctx: int, rounds: int) -> Found:
    """Both in turns, step by step, the order changing every time. Both are prefilled to ctx."""
    times: tuple[list[int], list[int]] = ([], [])
    ways: tuple[TimedStep, TimedStep] = (bare.timed, lambda: clocks.timed_step(step)[0])
    _round(bare, step, ctx, ways, ([], []))  # lengths and allocations that no timed step should be the first to see
    for _ in range(rounds):
        _round(bare, step, ctx, ways, times)
    return Found(*([nanoseconds / 1e6 for nanoseconds in found] for found in times))


def _round(
    bare: BareLoop, step: Step, ctx: int, ways: tuple[TimedStep, TimedStep], times: tuple[list[int], list[int]]
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


def build(cell: Cell, device: torch.device) -> tuple[BareLoop, Step]:
    """Both loops over one model with synthetic weights, each with its own cache, prefilled to the cell's ctx."""
    shape = catalogue.models()[cell.model].shape
    built = model.build_synthetic(model.Build(shape, cell.quant, None, model.DTYPES[cell.dtype], device))
    drawn = tokens.draw(shape.vocab, floors.sequence_tokens(cell.ctx, WARMUP, ROUND_STEPS), 0, device)
    rows = floors.kv_alloc_tokens(cell.ctx, WARMUP, ROUND_STEPS)
    bare, step = (EagerStep(built, caches.make(cell.cache, built, rows), drawn) for _ in range(2))
    bare.prefill(floors.GATE_SHORT_CTX)
    step.prefill(floors.GATE_SHORT_CTX)
    loops: tuple[BareLoop, Step] = (
        (BareGraph(built, bare.cache, drawn), GraphStep(step))
        if cell.runtime == "graph"
        else (BareLoop(built, bare.cache, drawn), step)
    )
    bare.prefill(cell.ctx)
    step.prefill(cell.ctx)
    return loops


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-7b" if on_gpu else "qwen2.5-0.5b")
    parser.add_argument("--ctx", type=int, default=2048 if on_gpu else 256)
    parser.add_argument("--cache", choices=("dynamic", "static"), default="static")
    parser.add_argument("--runtime", choices=("eager", "graph") if on_gpu else ("eager",), default="eager")
    rounds = 50 if on_gpu else MINIMUM_ROUNDS
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{ROUND_STEPS} steps each (default {rounds})")
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    arguments = parser.parse_args()
    if arguments.model not in catalogue.models():
        parser.error(f"unknown model {arguments.model} (known: {', '.join(catalogue.models())})")
    if arguments.ctx < 1 or arguments.rounds < MINIMUM_ROUNDS:
        parser.error(f"--ctx must be at least 1 and --rounds at least {MINIMUM_ROUNDS}")
    if arguments.runtime == "graph" and arguments.cache != "static":
        parser.error("--runtime graph needs --cache static")
    report = measure(arguments.model, arguments.ctx, arguments.cache, arguments.runtime, arguments.rounds)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines(report)))


def measure(model_name: str, ctx: int, cache: str, runtime: str, rounds: int) -> dict[str, Any]:
    """The report of one comparison on this machine's GPU, or on its CPU where it has none."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    cell = Cell("", model_name, ctx, "bf16", "", runtime, "sdpa", cache, "bf16", "synthetic-v1")
    with hostlock.hold(share=False, on_wait=print), torch.inference_mode():
        found = compare(*build(cell, device), ctx, rounds)
    where = {"gpu": torch.cuda.get_device_name() if on_gpu else "CPU", "torch": torch.__version__}
    return {**where, "model": model_name, "ctx": ctx, "cache": cache, "runtime": runtime, **found.figures()}


if __name__ == "__main__":
    with terminal.guarded_streams():
        main()
