"""One session in this process: load, verify, warm up, measure, and one record of it all."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from runner import registry
from runner.cell import floors
from runner.declarations import KernelDeclaration, RuntimeDeclaration, Step
from runner.errors import Mismatch, MissingPackage, OutOfMemory
from runner.job import Job, model_section, record_head
from runner.machine import host, nvml
from runner.record import codekey, judgement, metrics, record
from runner.runtimes import _compilecache
from runner.runtimes.eager import EagerStep
from runner.worker import (
    actual,
    caches,
    card,
    clocks,
    environment,
    explain,
    gate,
    held,
    model,
    notfinite,
    plainlinear,
    probes,
    profiling,
    tokens,
    trace,
)
from runner.worker.progress import Clock

TimedPass = TypeVar("TimedPass", bound=clocks.Timed)
NO_BACKEND = (
    "No viable backend for scaled_dot_product_attention",
    "No available kernel",
    "Invalid backend",
)


@dataclass(frozen=True)
class Loaded:
    """The state that the phases after loading work on; the job's shape is that of the loaded model."""

    job: Job
    device: torch.device
    model: Any
    tokens: tokens.Tokens
    weight_bytes: int


@dataclass(frozen=True)
class Measured:
    """What a session's phases found, before it becomes a record."""

    gate: dict[str, Any]
    passes: dict[str, clocks.Pass]
    kernels: list[dict[str, Any]]
    actual: dict[str, Any]


def run(job: Job, clock: Clock) -> dict[str, Any]:
    """Measure the job's cell and write its record; returns the record.

    Raises OutOfMemory when the device ran out, Mismatch when what ran is not what was asked for, and what
    `card.check` raises.
    """
    device = torch.device(job.device.kind)
    card.check(job.device)
    sections = record_head(job)
    cached = _compilecache.files()
    with _torch_errors(), torch.inference_mode():
        sections["snapshots"] = {"before": _snapshot(job, clock)}
        with clock.phase("probe", "probe"):
            sections["probes"] = _probe(device)
        ledger = held.Ledger(device)
        with clock.phase("build", "load"):
            loaded = _load(job, device)
            ledger.note("weights")
        sections["model"] = model_section(loaded.job)
        with clock.phase("reference", "verify: reference"):
            expectation, verify_extra = _expect(loaded)
            fault = None if expectation.finite else _fault(loaded)  # while packed layers are still plain ones
            layers = _explained(loaded)
        step = _build(loaded, ledger, clock)
        timed = floors.timed_positions(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
        keeper = gate.Gatekeeper(step, expectation, timed, fault)
        with clock.phase("verify", "verify: short context"):
            step.prefill(floors.GATE_SHORT_CTX)
            keeper.drive("short", floors.GATE_SHORT_CTX)
        sections["prefill"] = _prefill(step, loaded, clock)
        measured = _measure(step, keeper, loaded, clock)
        for line in explain.lines(step, loaded.model, layers, job.cell.ctx) if layers else ():
            clock.say(line)
    sections |= _results(loaded, measured, verify_extra, cached)
    sections["memory"] |= ledger.to_json()
    sections["snapshots"]["after"] = _snapshot(job, clock)
    return _finish(job, sections, clock)


@contextmanager
def _torch_errors() -> Iterator[None]:
    """What torch says when memory runs out, or when no attention backend takes the call, as errors of the family."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(f"out of memory: {str(error).splitlines()[0] if str(error) else 'host memory'}") from error
    except RuntimeError as error:
        said = str(error).splitlines()[0] if str(error) else ""
        if "can't allocate memory" in str(error):
            raise OutOfMemory(f"out of memory: {said}") from error
        if any(text in said for text in NO_BACKEND):
            raise Mismatch(f"no attention backend that this cell allows can run here: {said}") from error
        raise


def _snapshot(job: Job, clock: Clock) -> dict[str, Any]:
    return nvml.snapshot(job.device.uuid) | {"taken_ms": clock.now_ms()}


def _probe(device: torch.device) -> dict[str, Any]:
    size = probes.read_bytes(device)
    found = {
        "read_bytes": size,
        "read_samples_gbs": probes.read_samples_gbs(device, size),
        "launch_samples_us": probes.launch_samples_us(device),
    }
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def _to_build(job: Job, device: torch.device) -> model.Build:
    return model.Build(job.shape, job.cell.quant, job.scheme, model.DTYPES[job.cell.dtype], device)


def _load(job: Job, device: torch.device) -> Loaded:
    build = _to_build(job, device)
    if job.checkpoint is None:
        built = model.build_synthetic(build)
    else:
        built = model.load_checkpoint(Path(job.checkpoint), build)
    count = floors.sequence_tokens(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    drawn = tokens.draw(job.shape.vocab, count, job.session.seed, device)
    if job.checkpoint is not None:
        _write_trace(job, built, drawn)
    clocks.wait(device)
    known = replace(job, shape=model.shape_of(built, job.shape))
    return Loaded(known, device, built, drawn, model.weight_bytes(built))


def _write_trace(job: Job, built: Any, drawn: tokens.Tokens) -> None:
    """A host dequantises slowly and has the memory to do it once."""
    last = floors.last_position(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    step = EagerStep(built, caches.make("dynamic", built, 0), drawn)
    with plainlinear.unpacked(built) if job.device.kind == "cpu" else nullcontext():
        trace.write(step, job.cell.ctx, last + 1)


def _expect(loaded: Loaded) -> tuple[gate.Expectation, int | None]:
    """The expectation, and the memory it took over weights and KV (None on a CPU, which does not count)."""
    job = loaded.job
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    expectation = gate.expect(loaded.model, job.shape, loaded.tokens, job.cell.ctx, job.protocol)
    if loaded.device.type != "cuda":
        return expectation, None
    kv_bytes = floors.kv_bytes_per_token(job.shape, floors.DTYPE_BYTES[job.cell.dtype]) * job.cell.ctx
    extra = torch.cuda.max_memory_allocated() - loaded.weight_bytes - kv_bytes
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return expectation, max(0, extra)


def _explained(loaded: Loaded) -> explain.Layers | None:
    """The layers' hidden states, whose memory the record's peak does not count."""
    job = loaded.job
    if not job.explain:
        return None
    layers = explain.expect(loaded.model, job.shape, loaded.tokens.sequence, job.cell.ctx)
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return layers


def _fault(loaded: Loaded) -> notfinite.Fault:
    job = loaded.job
    if job.checkpoint is None:
        return notfinite.first(loaded.model, None)
    return notfinite.first(
        loaded.model, partial(model.read_stored, Path(job.checkpoint), _to_build(job, loaded.device))
    )


def _build(loaded: Loaded, ledger: held.Ledger, clock: Clock) -> Step:
    """The step of the cell's runtime; compiling it is a phase of its own, for no other runtime has such a cost."""
    runtime, kernel = registry.runtime(loaded.job.cell.runtime), registry.kernel(loaded.job.cell.kernel)
    phase, announce = ("compile", "compile") if runtime.DECLARATION.compiles else ("build", "prepare the step")
    with clock.phase(phase, announce):
        if not runtime.DECLARATION.owns_model:
            with _whole(kernel.DECLARATION):
                model.use_kernel(loaded.model, loaded.job.cell.kernel)
        ledger.note("kernel")
        with _whole(runtime.DECLARATION):
            step = runtime.build(loaded.model, loaded.tokens, loaded.job)
        ledger.note("step")
    return step


@contextmanager
def _whole(declared: KernelDeclaration | RuntimeDeclaration) -> Iterator[None]:
    """What is missing of the package that a kernel or runtime is made of, as an error of the family."""
    try:
        yield
    except ImportError as error:
        if declared.package is None:
            raise
        raise MissingPackage(
            f"the package {declared.package} of {declared.name} is not whole here ({error}): {declared.remedy}"
        ) from error


def _prefill(step: Step, loaded: Loaded, clock: Clock) -> dict[str, Any]:
    """Prefill twice: the first warms up, the second is timed until its token is on the host (TTFT)."""
    times_ms = []
    with clock.phase("prefill", "prefill"):
        for _ in range(2):
            clocks.wait(loaded.device)
            started = time.perf_counter_ns()
            step.prefill(loaded.job.cell.ctx).item()
            times_ms.append(round((time.perf_counter_ns() - started) / 1e6, 3))
    return {"cold_ms": times_ms[0], "ms": times_ms[1]}


def _measure(step: Step, keeper: gate.Gatekeeper, loaded: Loaded, clock: Clock) -> Measured:
    """The passes, each checked by what it leaves. The wall pass comes before the gate's steps at ctx: a growing
    cache has a length at every step that no step had before, and what its first visit costs belongs to the headline."""
    job, device = loaded.job, loaded.device
    ctx, protocol = job.cell.ctx, job.protocol
    passes: dict[str, clocks.Pass] = {}

    def run_pass(name: str, measure: Callable[[], TimedPass]) -> TimedPass:
        with clock.phase("steps", "warm up"):
            before = clocks.warm_up(step, ctx, protocol.warmup)
        with clock.phase("steps", f"measure: {name}"):
            timed = measure()
        with clock.phase("verify", f"verify: {name}"):
            keeper.after(name, timed.tokens, before)
        passes[name] = timed.found
        return timed

    run_pass("wall", lambda: clocks.wall(step, protocol))
    with clock.phase("verify", "verify"):
        keeper.drive("ctx", ctx)
    if job.cell.cache == "dynamic":
        run_pass("revisit", lambda: clocks.wall(step, protocol))
    if device.type == "cpu":
        seen, kernels = profiling.operators_of(step, ctx), []
    else:
        run_pass("span", lambda: clocks.span(step, protocol, device))
        run_pass("rate", lambda: clocks.rate(step, protocol, device))
        profiled = run_pass("busy", lambda: clocks.busy(step, protocol, device))
        seen, kernels = profiled.seen, profiled.profile.summary()
    step.restart(ctx)
    return Measured(
        keeper.found(job.cell, job.shape.hidden, synthetic=job.checkpoint is None),
        passes,
        kernels,
        actual.of(job, seen, step),
    )


def _results(loaded: Loaded, measured: Measured, verify_extra: int | None, cached_files: int) -> dict[str, Any]:
    job, device = loaded.job, loaded.device
    accounted = registry.weight_bytes(job.cell.quant, job.scheme, job.shape, floors.DTYPE_BYTES[job.cell.dtype])
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _peak_resident_bytes()
    return {
        "actual": measured.actual,
        "bytes": {"weights": accounted, "weights_measured": loaded.weight_bytes},
        "passes": measured.passes,
        "kernels": measured.kernels,
        "gate": measured.gate,
        "memory": {"peak_bytes": peak, "verify_extra_bytes": verify_extra},
        "limits": judgement.LIMITS,
        "environment": environment.environment(job, cached_files),
        "host": environment.host_facts(),
    }


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device_facts(device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {"last_level_cache_bytes": probes.last_level_cache_bytes(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "memory_bytes": properties.total_memory,
            "compute_capability": f"{properties.major}.{properties.minor}",
        }
    return facts


def _finish(job: Job, sections: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Derive, judge, time-stamp and write the record."""
    sections["gpu"] |= _device_facts(torch.device(job.device.kind))
    sections["keys"] |= {
        "code_key": codekey.code_key(),
        "tree_key": codekey.tree_key(),
        "env_key": record.env_key(sections["environment"]),
        "host_id": host.host_id(job.device.uuid),
    }
    sections["outcome"] = {
        "status": record.MEASURED,
        "reason": None,
        "message": None,
        "exit_code": 0,
        "signal": None,
        "last_output": [],
    }
    sections["session"]["finished_ms"] = clock.now_ms()
    total = clock.total_s()
    sections["cost_s"] = {phase: round(seconds, 3) for phase, seconds in (clock.seconds | {"total": total}).items()}
    metrics.derive(sections)
    judgement.judge(sections)
    record.write(sections, Path(job.record_path))
    return sections
