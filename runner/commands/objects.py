"""The objects that commands print with `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from runner import tailsummary
from runner.cell import catalogue, jsonform
from runner.cell.catalogue import Gpu, Model
from runner.cell.vocabulary import CPU
from runner.launch.session import Finished
from runner.plan.gpufloors import Step
from runner.record.metrics import of_energy
from runner.record.sections.energy import NoEnergy
from runner.record.sessionrecord import MeasuredRecord
from runner.summary import achieved_gbs
from runner.tailsummary import Tail


@dataclass(frozen=True)
class SessionResult:
    """A session of `cell`. Numbers are null if nothing was measured, or if the device has no such number."""

    session: str
    """id of the session"""
    cell: Mapping[str, object]
    """fields of the cell"""
    cell_key: str
    """hash of the cell"""
    status: str
    """`measured`, or how the session ended"""
    message: str | None
    """why nothing was measured"""
    valid: bool
    """whether every gate passed"""
    reasons: Sequence[str]
    """why it is not valid"""
    flags: Sequence[str]
    """names of flags (docs/flags.md)"""
    record: str
    """path of the record"""
    mlflow_run: str | None
    """id of the run in MLflow, null if it is not stored"""
    step_wall_ms: float | None = None
    """median step by the host's clock in ms"""
    step_wall_p90_ms: float | None = None
    """90th percentile of the steps in ms"""
    tokens_per_s: float | None = None
    """tokens per second"""
    achieved_gbs: float | None = None
    """bytes that a step reads, divided by its time, in GB/s"""
    floor_ms: float | None = None
    """floor of a step at the datasheet's bandwidth in ms"""
    r_floor: float | None = None
    """that floor divided by the step"""
    r_floor_achievable: float | None = None
    """the floor at the bandwidth measured on the device, divided by the step"""
    joules_per_token: float | None = None
    """energy of a step in J; null unless it was requested and measured, and for a session that is not valid"""
    joules_per_token_above_idle: float | None = None
    """the same without the energy of the idle card"""
    energy_unavailable: str | None = None
    """why the energy that was requested was not measured"""
    tail: Tail | None = None
    """percentiles, largest step and jitter, and what else the host did meanwhile"""


@dataclass(frozen=True)
class Cells:
    """Output of `cell --json`."""

    sessions: Sequence[SessionResult]
    """the sessions in order, also those that failed"""


@dataclass(frozen=True)
class Verification:
    """Output of `verify --json`."""

    ok: bool
    """whether nothing was found"""
    records: int
    """records that were checked"""
    manifests: int
    """manifests of A/Bs that were checked"""
    faults: Mapping[str, Sequence[str]]
    """each file with a fault, and a line for each fault"""
    changed: Sequence[str]
    """with `--since`: a line for each committed file that was changed or deleted"""


@dataclass(frozen=True)
class ListedGpu:
    """A GPU of `gpus --json`. Figures are null if the catalogue has none."""

    key: str
    """value of `--gpu`"""
    name: str
    """the product's name"""
    bandwidth_gbs: float | None
    """memory bandwidth by the datasheet in GB/s"""
    memory_gb: float | None
    """memory in GB"""
    shared_memory: bool | None
    """whether the CPU uses that memory, too"""
    power_w: float | None
    """the most that card, board or module takes, in W"""
    image: str | None
    """architecture of its container image"""
    installed: bool
    """whether this machine has it and it can be measured"""
    catalogued: bool
    """whether the catalogue has it"""
    floors_ms: Mapping[str, float | None] | None = None
    """with `--model`: memory floor of the model's step in ms, by weight format; null without a bandwidth"""


@dataclass(frozen=True)
class Gpus:
    """Output of `gpus --json`."""

    gpus: Sequence[ListedGpu]
    """the catalogue, then installed cards that it lacks"""
    obstacles: Sequence[str]
    """why an installed card cannot be measured"""


@dataclass(frozen=True)
class ListedModel:
    """A model of `models --json`."""

    key: str
    """value of `--model`"""
    name: str
    """the model's name"""
    layers: int
    """layers"""
    hidden: int
    """width of the residual stream"""
    heads: int
    """attention heads"""
    kv_heads: int
    """heads of keys and values"""
    max_positions: int
    """longest context"""
    checkpoints: Sequence[str]
    """weight formats with a checkpoint on the hub"""
    default: bool
    """whether `auto` selects it on this machine"""


@dataclass(frozen=True)
class Models:
    """Output of `models --json`."""

    models: Sequence[ListedModel]
    """the models of the catalogue"""


def session_result(finished: Finished) -> SessionResult:
    """Returns the object of a finished session."""
    record = finished.record
    result = SessionResult(
        session=record.session.id,
        cell=jsonform.to_json(record.cell),
        cell_key=record.cell.key,
        status=record.outcome.status,
        message=record.outcome.message,
        valid=record.valid,
        reasons=record.reasons,
        flags=record.flags,
        record=str(finished.path),
        mlflow_run=finished.run,
    )
    if not isinstance(record, MeasuredRecord):
        return result
    return replace(
        result,
        step_wall_ms=record.latency.step_wall_ms,
        step_wall_p90_ms=record.latency.step_wall_p90_ms,
        tokens_per_s=record.latency.tokens_per_s,
        achieved_gbs=achieved_gbs(record),
        floor_ms=record.floor.floor_ms,
        r_floor=record.floor.r_floor,
        r_floor_achievable=record.floor.r_floor_achievable,
        joules_per_token=of_energy("joules_per_token", record),
        joules_per_token_above_idle=of_energy("joules_per_token_above_idle", record),
        energy_unavailable=record.energy.unavailable if isinstance(record.energy, NoEnergy) else None,
        tail=tailsummary.tail(record),
    )


def gpus(installed: Mapping[str, str], obstacles: Sequence[str], step: Step | None) -> Gpus:
    """Returns the object of the GPUs. `installed` maps the key of each card that can be measured to its name; `step` is
    the one that floors are asked for."""
    known = catalogue.gpus()
    listed = [_listed_gpu(entry, entry.key in installed or entry.key == CPU, step) for entry in known.values()]
    unknown = dict.fromkeys(("bandwidth_gbs", "memory_gb", "shared_memory", "power_w", "image"))
    others = [
        ListedGpu(key, name, **unknown, installed=True, catalogued=False)
        for key, name in installed.items()
        if key not in known
    ]
    return Gpus([*listed, *others], obstacles)


def _listed_gpu(entry: Gpu, installed: bool, step: Step | None) -> ListedGpu:
    return ListedGpu(
        key=entry.key,
        name=entry.name,
        bandwidth_gbs=entry.bandwidth_gbs.value,
        memory_gb=entry.memory_gb.value,
        shared_memory=entry.shared_memory,
        power_w=entry.power_w.value,
        image=entry.image,
        installed=installed,
        catalogued=True,
        floors_ms=None if step is None else step.floors_ms(entry),
    )


def models(default: str | None) -> Models:
    """Returns the object of the models. `default` is the one that `auto` selects, if any."""
    return Models([_listed_model(model, model.key == default) for model in catalogue.models().values()])


def _listed_model(model: Model, default: bool) -> ListedModel:
    shape = model.shape
    sizes = (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.max_positions)
    return ListedModel(model.key, model.name, *sizes, tuple(model.checkpoints), default)
