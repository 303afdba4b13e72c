"""One session in this process: load, verify, warm up, measure, and write one record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import ABSENT, Absent
from runner.declarations import Step
from runner.job import Job
from runner.machine import nvml
from runner.record import derive, record
from runner.record.sections.energy import Energy, NoEnergy
from runner.record.sections.gate import NotFinite
from runner.record.sections.passes import Phases
from runner.record.sections.quantities import Memory
from runner.record.sections.surroundings import HostConditions, Probes, Snapshot, Snapshots
from runner.record.sessionrecord import MeasuredRecord
from runner.runtimes import _compilecache
from runner.runtimes.eager import EagerStep
from runner.worker import (
    assemble,
    caches,
    card,
    clocks,
    energy,
    environment,
    explain,
    gate,
    held,
    model,
    notfinite,
    packages,
    plainlinear,
    probes,
    timing,
    tokens,
    torcherrors,
    trace,
)
from runner.worker.assemble import Findings
from runner.worker.gatekeeper import Gatekeeper
from runner.worker.peaks import Peaks
from runner.worker.progress import Clock


@dataclass(frozen=True)
class Loaded:
    """State of a session after loading. The job's shape is that of the loaded model."""

    job: Job
    device: torch.device
    model: Any
    tokens: tokens.Tokens
    weight_bytes: int


def run(job: Job, clock: Clock, observe: Callable[[], HostConditions | Absent] = lambda: ABSENT) -> MeasuredRecord:
    """Measures the job's cell, writes its record, and returns it. `observe` returns the condition of the host.

    Raises OutOfMemory if memory runs out, Mismatch if the code that ran contradicts the cell, WorkerFailed if a
    kernel of the step hung, and the errors of `card.check`.
    """
    card.check(job.device)
    cached_files = _compilecache.count_files()
    with torcherrors.translated(), torch.inference_mode():
        findings = _run_phases(job, cached_files, clock)
    measured = assemble.measured(replace(findings, host_condition=observe()), clock)
    record.write(measured, Path(job.record_path))
    return measured


def _run_phases(job: Job, cached_files: int, clock: Clock) -> Findings:
    """Runs all phases of a session: probes, load, reference, build, gate and timed passes."""
    device, before = torch.device(job.device.kind), _snapshot(job, clock)
    with clock.phase("probe", "probe"):
        speeds = _probe(device)
    ledger = held.Ledger(device)
    with clock.phase("build", "load"):
        loaded = _load(job, device)
        ledger.note("weights")
    with clock.phase("reference", "verify: reference"):
        expectation, verify_extra = _expect(loaded)
        fault = None if expectation.finite else _fault(loaded)  # the packed layers are still plain ones
        layers = _layer_states(loaded)
    step = _build(loaded, ledger, clock)
    peaks = Peaks(device)
    with torcherrors.explained_by(step):
        keeper = _gatekeeper(step, expectation, fault, loaded.job, clock)
        with peaks.of_steps():
            prefill = timing.prefill(step, job.cell.ctx, device, clock)
        passes = timing.Timing(step, keeper, loaded.job, clock, peaks)
        clocked = passes.clocked()
        consumed = _energy(step, keeper, loaded.job, clock)
        timed = passes.profiled(clocked)
        memory = Memory(peaks.whole_bytes(), verify_extra, ledger.held_bytes(), peaks.steps_bytes())
        phases = _phases(step, loaded.job, clock)
        for line in explain.lines(step, loaded.model, layers, job.cell.ctx) if layers else ():
            clock.print_progress(line)
    return Findings(
        job=loaded.job,
        weight_bytes=loaded.weight_bytes,
        probes=speeds,
        prefill=prefill,
        timed=timed,
        phases=phases,
        energy=consumed,
        memory=memory,
        environment=environment.environment(loaded.job, cached_files),
        snapshots=Snapshots(before=before, after=_snapshot(job, clock)),
    )


def _gatekeeper(
    step: Step, expectation: gate.Expectation, fault: NotFinite | None, job: Job, clock: Clock
) -> Gatekeeper:
    """Returns the gatekeeper of a step, after driving the step over the short context."""
    timed = floors.timed_positions(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    keeper = Gatekeeper(step, expectation, timed, fault)
    with clock.phase("verify", "verify: short context"):
        step.prefill(floors.GATE_SHORT_CTX)
        keeper.drive("short", floors.GATE_SHORT_CTX)
    return keeper


def _energy(step: Step, keeper: Gatekeeper, job: Job, clock: Clock) -> Energy | NoEnergy | Absent:
    """Returns the energy of a step, or why it was not measured; absent if the job does not ask for it.

    The pass runs after all passes that a clock times, so that it changes none of them, and before the profiled one,
    which would change it (`timing.Timing.profiled`).
    """
    if not job.energy:
        return ABSENT
    return energy.measure(step, keeper, job, clock)


def _phases(step: Step, job: Job, clock: Clock) -> Phases | Absent:
    """Returns the clocks of the phases of a step that is one kernel; absent for other steps."""
    if registry.runtime(job.cell.runtime).DECLARATION.kernels_per_step is None:
        return ABSENT
    with clock.phase("verify", "measure: phases of the kernel"):
        step.restart(job.cell.ctx)
        return step.phases() or ABSENT


def _snapshot(job: Job, clock: Clock) -> Snapshot:
    return nvml.snapshot(job.device.uuid, clock.now_ms())


def _probe(device: torch.device) -> Probes:
    size = probes.read_bytes(device)
    speeds = derive.probes(size, probes.read_samples_gbs(device, size), probes.launch_samples_us(device))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return speeds


def _to_build(job: Job, device: torch.device) -> model.Build:
    return model.Build(job.shape, job.cell.quant, job.scheme, model.DTYPES[job.cell.dtype], device)


def _load(job: Job, device: torch.device) -> Loaded:
    build = _to_build(job, device)
    if job.checkpoint is None:
        built = model.build_synthetic(build)
    else:
        built = model.load_checkpoint(Path(job.checkpoint), build)
    count = floors.sequence_tokens(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    session_tokens = tokens.draw(job.shape.vocab, count, job.session.seed, device)
    if job.checkpoint is not None:
        _write_trace(job, built, session_tokens)
    clocks.wait(device)
    loaded_job = replace(job, shape=model.shape_of(built, job.shape))
    return Loaded(loaded_job, device, built, session_tokens, model.weight_bytes(built))


def _write_trace(job: Job, built: Any, session_tokens: tokens.Tokens) -> None:
    """Writes the trace. On a CPU, slow but with enough memory, it dequantises each matrix only once."""
    last = floors.last_position(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    step = EagerStep(built, caches.make("dynamic", built, 0), session_tokens)
    with plainlinear.unpacked(built) if job.device.kind == "cpu" else nullcontext():
        trace.write(step, job.cell.ctx, last + 1)


def _expect(loaded: Loaded) -> tuple[gate.Expectation, int | None]:
    """Returns the expectation, and its memory in addition to weights and KV cache (None on a CPU)."""
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


def _layer_states(loaded: Loaded) -> explain.Layers | None:
    """Returns the layers' hidden states; None unless the job has `explain`. The record's peak excludes their memory."""
    job = loaded.job
    if not job.explain:
        return None
    layers = explain.expect(loaded.model, job.shape, loaded.tokens.sequence, job.cell.ctx)
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return layers


def _fault(loaded: Loaded) -> NotFinite:
    job = loaded.job
    if job.checkpoint is None:
        return notfinite.first(loaded.model, None)
    return notfinite.first(
        loaded.model, partial(model.read_stored, Path(job.checkpoint), _to_build(job, loaded.device))
    )


def _build(loaded: Loaded, ledger: held.Ledger, clock: Clock) -> Step:
    """Returns the step of the cell's runtime. Compilation is a phase of its own: no other runtime has such a cost."""
    runtime, kernel = registry.runtime(loaded.job.cell.runtime), registry.kernel(loaded.job.cell.kernel)
    phase, announce = ("compile", "compile") if runtime.DECLARATION.compiles else ("build", "prepare the step")
    with clock.phase(phase, announce):
        if not runtime.DECLARATION.owns_model:
            with packages.import_errors(kernel.DECLARATION):
                model.use_kernel(loaded.model, loaded.job.cell.kernel)
        ledger.note("kernel")
        with packages.import_errors(runtime.DECLARATION):
            step = runtime.build(loaded.model, loaded.tokens, loaded.job)
        ledger.note("step")
    return step
