"""A bench in this process: the steps of several runtimes over one model, each checked, and timed in turns.

The steps share weights, prompt and trace; each has a cache of its own. They share one process because a bench compares
them at the same moments of the same card. A session does not, so that nothing an earlier runtime left changes its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from runner import registry
from runner.bench import result
from runner.bench.assignment import Assignment
from runner.bench.result import Bench, Entry
from runner.cell import floors
from runner.declarations import Step
from runner.errors import DecodeFloorError
from runner.job import Job
from runner.machine import nvml
from runner.record import codekey, gaterules, judgement, record
from runner.record.sections.gate import GateVersion2
from runner.record.sections.passes import WallPass
from runner.record.sections.surroundings import Snapshots
from runner.runtimes import _compilecache
from runner.worker import assemble, card, clocks, environment, gate, model, packages, tokens, torcherrors
from runner.worker.gatekeeper import Gatekeeper
from runner.worker.progress import Clock

UNKNOWN_BACKEND = "unknown"
"""Attention backend of a step without a profile. Equal bits are then not expected of a graph."""


@dataclass(frozen=True)
class Shared:
    """The parts that the steps of a bench share: the model, its tokens, and the expected answers."""

    model: Any
    tokens: tokens.Tokens
    expectation: gate.Expectation
    weight_bytes: int


@dataclass(frozen=True)
class Entrant:
    """A runtime whose step is built: the step, what checks its answers, and its passes so far."""

    job: Job
    step: Step
    keeper: Gatekeeper
    rounds: list[WallPass] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """The findings of a bench. `built` has a runtime's reason where its step could not be built."""

    built: Mapping[str, Entrant | str]
    turns: tuple[tuple[str, ...], ...]
    snapshots: Snapshots
    weight_bytes: int
    cached_files: int


def run(order: Assignment, clock: Clock) -> Bench:
    """Runs the bench, writes its result, and returns it. Raises OutOfMemory, and the errors of `card.check`."""
    device = order.jobs[0].device
    card.check(device)
    cached_files = _compilecache.count_files()
    before = nvml.snapshot(device.uuid, clock.now_ms())
    with torcherrors.translated(), torch.inference_mode():
        shared = _shared(order.jobs[0], clock)
        built = _built(order.jobs, shared, clock)
        entrants = {runtime: each for runtime, each in built.items() if isinstance(each, Entrant)}
        turns = result.turns(tuple(entrants), order.rounds)
        for number, turn in enumerate(turns, start=1):
            for runtime in turn:
                _pass(entrants[runtime], f"round {number}", clock)
    snapshots = Snapshots(before, nvml.snapshot(device.uuid, clock.now_ms()))
    bench = _bench(order, Found(built, turns, snapshots, shared.weight_bytes, cached_files))
    record.write_text_durably(Path(order.result_path), result.dump(bench))
    return bench


def _shared(job: Job, clock: Clock) -> Shared:
    """Returns model, tokens and expectation, which are the same for every runtime."""
    device = torch.device(job.device.kind)
    with clock.phase("build", "load"):
        build = model.Build(job.shape, job.cell.quant, job.scheme, model.DTYPES[job.cell.dtype], device)
        built = model.build_synthetic(build)
        count = floors.sequence_tokens(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
        drawn = tokens.draw(job.shape.vocab, count, job.session.seed, device)
        clocks.wait(device)
    with clock.phase("reference", "verify: reference"):
        expectation = gate.expect(built, job.shape, drawn, job.cell.ctx, job.protocol)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return Shared(built, drawn, expectation, model.weight_bytes(built))


def _built(jobs: Sequence[Job], shared: Shared, clock: Clock) -> dict[str, Entrant | str]:
    """Returns each runtime's entrant, prefilled to ctx, or why its step cannot be built.

    Runtimes that compile come first: torch.compile frees cuBLAS's workspaces of the whole process when it records its
    graph, and a graph that was captured before would go on to write into them.
    """
    built: dict[str, Entrant | str] = {}
    for job in sorted(jobs, key=lambda each: not registry.runtime(each.cell.runtime).DECLARATION.compiles):
        try:
            with torcherrors.translated():
                built[job.cell.runtime] = _entrant(job, shared, clock)
        except DecodeFloorError as error:
            built[job.cell.runtime] = str(error)
    return built


def _entrant(job: Job, shared: Shared, clock: Clock) -> Entrant:
    """Returns the entrant of a job, after the gate's steps over the short context and from ctx."""
    name, ctx, protocol = job.cell.runtime, job.cell.ctx, job.protocol
    runtime = registry.runtime(name)
    packages.check_cell(job.cell)
    with clock.phase("build", f"prepare the step: {name}"), packages.import_errors(runtime.DECLARATION):
        step = runtime.build(shared.model, shared.tokens, job)
    keeper = Gatekeeper(step, shared.expectation, floors.timed_positions(ctx, protocol.warmup, protocol.steps))
    with clock.phase("verify", f"verify: {name}"):
        for context, start in zip(gaterules.DRIVEN, (floors.GATE_SHORT_CTX, ctx), strict=True):
            step.prefill(start)
            keeper.drive(context, start)
    return Entrant(job, step, keeper)


def _pass(entrant: Entrant, name: str, clock: Clock) -> None:
    """Times a pass of one runtime, and checks the answers of all its steps."""
    job = entrant.job
    with clock.phase("steps", f"{name}: {job.cell.runtime}"):
        before = clocks.warm_up(entrant.step, job.cell.ctx, job.protocol.warmup)
        timed = clocks.wall(entrant.step, job.protocol.steps)
    with clock.phase("verify"):
        entrant.keeper.check_pass(name, timed.tokens, before, job.protocol.steps)
    entrant.rounds.append(timed.section)


def _bench(order: Assignment, found: Found) -> Bench:
    job = order.jobs[0]
    sizes, bandwidth = assemble.step_bytes(job, found.weight_bytes), job.device.bandwidth_gbs
    floor_ms = None if bandwidth is None else floors.floor_ms(sizes.streamed, bandwidth)
    measured = tuple(_entry(each, found, floor_ms) for each in order.jobs)
    refused = tuple(Entry(each.runtime, (each.reason,), speed=None) for each in order.refusals)
    return Bench(
        model=job.model_name,
        ctx=job.cell.ctx,
        protocol=job.protocol,
        rounds=order.rounds,
        seed=job.session.seed,
        gpu=assemble.device_info(job.device),
        tree_key=codekey.tree_key(),
        host=environment.host_facts(),
        snapshots=found.snapshots,
        bytes=sizes,
        floor_ms=floor_ms,
        turns=found.turns,
        entries=(*measured, *refused),
        ratios=result.ratios({each.runtime: each.rounds for each in measured if each.speed is not None}),
    )


def _entry(job: Job, found: Found, floor_ms: float | None) -> Entry:
    """Returns the entry of a job. It has a speed only if nothing speaks against its answers and windows."""
    entrant = found.built[job.cell.runtime]
    if isinstance(entrant, str):
        return Entry(job.cell.runtime, (entrant,), speed=None, cell=job.cell)
    section = gaterules.gate(entrant.keeper.evidence(job.cell, job.shape.hidden, synthetic=True))
    assert isinstance(section, GateVersion2)
    windows = {f"round {number}": timed for number, timed in enumerate(entrant.rounds, start=1)}
    speed = result.speed(entrant.rounds, floor_ms)
    reasons = (
        *judgement.gate_reasons(section, job.cell.dtype),
        *judgement.likeness_reasons(section, job.cell, UNKNOWN_BACKEND),
        *judgement.window_reasons(windows, job.cell.cache),
        *result.impossible(speed),
    )
    return Entry(
        runtime=job.cell.runtime,
        reasons=reasons,
        speed=None if reasons else speed,
        cell=job.cell,
        environment=environment.environment(job, found.cached_files),
        gate=section,
        rounds=tuple(entrant.rounds),
    )
