"""Predictions of cells, from the committed constants and the catalogue alone; no record is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.prediction import constants as data
from analysis.prediction import estimates
from analysis.prediction.constants import SIZE_MARGIN, Constants
from analysis.prediction.estimates import Card
from analysis.prediction.rangedrow import RangedRow
from analysis.prediction.workload import PROTOCOL, Configuration, layer_parameters, streamed_bytes
from runner import registry
from runner.cell import catalogue, floors, vocabulary
from runner.cell.catalogue import Gpu, Model
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import CUDA
from runner.counts import listed
from runner.errors import BadValue, NotAvailable
from runner.plan import fit


@dataclass(frozen=True)
class Prediction(RangedRow):
    """The predicted step of a cell, with its range and the memory of a session."""

    gpu: str
    model: str
    ctx: int
    quant: str
    kernel: str
    runtime: str
    cache: str
    step_ms: float
    low_ms: float
    high_ms: float
    limit: str
    """the term that wins: `memory`, `kernels` or `host-bound`"""
    basis: str
    """what it was fitted on; `untested` for an architecture without a record"""
    streamed_bytes: float
    """bytes that a step must read"""
    needed_bytes: float
    """memory that a session needs"""
    memory_bytes: float | None
    """memory of the card; None if the catalogue does not have it"""
    floor_ms: float
    caveats: list[str]
    """conditions of the prediction"""

    @property
    def tokens_per_s(self) -> float:
        return 1e3 / self.step_ms

    @property
    def notes(self) -> list[str]:
        """Returns the caveats, and whether the session does not fit."""
        return self.caveats if self.misfit is None else [self.misfit, *self.caveats]

    @property
    def misfit(self) -> str | None:
        """Returns a note if the session does not fit into the card."""
        if self.fits is not False or self.memory_bytes is None:
            return None
        return f"does not fit into {self.memory_bytes / 1e9:.0f} GB"

    @property
    def fits(self) -> bool | None:
        """Returns whether a session fits into the card; None if its memory is not known."""
        return None if self.memory_bytes is None else self.needed_bytes <= self.memory_bytes


SHARED_MEMORY = "memory shared with the CPU, all of it assumed to be free"


def predictions(gpus: Sequence[str], model: str, ctx: int) -> list[Prediction]:
    """Returns the prediction of every configuration that the committed constants cover, GPU by GPU.

    Raises UnknownName for a GPU or a model that the catalogue lacks, BadValue for a context that the model cannot have
    and for a GPU without a bandwidth, NotAvailable for a model of another size than the fitted ones.
    """
    constants = data.committed()
    cards = [known_gpu(gpu) for gpu in gpus]
    entry = known_model(model, ctx, constants)
    return [
        prediction(constants, card, entry, ctx, each)
        for card in cards
        for each in configurations(constants, card, entry.shape)
    ]


def configurations(constants: Constants, gpu: Gpu, shape: ModelShape) -> list[Configuration]:
    """Returns the configurations that the constants cover for such a model and whose kernels support the GPU."""
    return [
        each
        for each in constants.configurations
        if _supports(each, gpu.compute_capability) and constants.covers(each, shape)
    ]


def _supports(configuration: Configuration, capability: str | None) -> bool:
    least = registry.kernel(configuration.kernel).DECLARATION.capability
    return least is None or capability is None or tuple(map(int, capability.split("."))) >= least


def prediction(constants: Constants, gpu: Gpu, model: Model, ctx: int, configuration: Configuration) -> Prediction:
    """Returns the prediction of a configuration that the constants cover, on a GPU with a bandwidth."""
    assert gpu.bandwidth_gbs.value is not None
    card = Card(gpu.key, gpu.compute_capability, gpu.bandwidth_gbs.value)
    estimate = estimates.estimate(constants, card, model.shape, ctx, configuration)
    memory_gb = gpu.memory_gb.value
    shared = [SHARED_MEMORY] if gpu.shared_memory else []
    return Prediction(
        gpu=gpu.key,
        model=model.key,
        ctx=ctx,
        **vars(configuration),
        step_ms=estimate.step_ms,
        low_ms=estimate.low_ms,
        high_ms=estimate.high_ms,
        limit=estimate.limit,
        basis=estimate.basis,
        streamed_bytes=streamed_bytes(configuration, model.shape, ctx),
        needed_bytes=_needed_bytes(gpu, model, ctx, configuration),
        memory_bytes=None if memory_gb is None else memory_gb * 1e9,
        floor_ms=estimate.floor_ms,
        caveats=[*estimate.caveats, *shared],
    )


def known_gpu(name: str) -> Gpu:
    """Returns a GPU of the catalogue with a bandwidth. Raises UnknownName or BadValue."""
    entries = catalogue.gpus()
    gpu = entries[vocabulary.checked_name("gpu", name, entries)]
    if gpu.bandwidth_gbs.value is None:
        known = ", ".join(key for key, each in entries.items() if each.bandwidth_gbs.value is not None)
        raise BadValue(
            f"gpu={name} has no bandwidth in the catalogue ({gpu.bandwidth_gbs.note}): add it to gpus.yaml with its "
            f"source, or choose one of {known}"
        )
    return gpu


def known_model(name: str, ctx: int, constants: Constants) -> Model:
    """Returns a model of the catalogue that the constants cover, with this context.

    Raises UnknownName, BadValue or NotAvailable.
    """
    entries = catalogue.models()
    model = entries[vocabulary.checked_name("model", name, entries)]
    largest = model.shape.max_positions - PROTOCOL.warmup - PROTOCOL.steps
    if not 1 <= ctx <= largest:
        raise BadValue(f"ctx={ctx}: choose a context of 1 to {largest} positions for {name}")
    if not any(constants.covers(each, model.shape) for each in constants.configurations):
        fitted = {size for known in constants.architectures for each in known.remainders for size in each.parameters}
        sizes = listed([f"{size / 1e9:.2g}" for size in sorted(fitted)], "and")
        raise NotAvailable(
            f"model={name} has {layer_parameters(model.shape) / 1e9:.2g} billion parameters in its layers, and the "
            f"constants were fitted on models with {sizes} billion: choose one within a factor of {SIZE_MARGIN:g}"
        )
    return model


def _needed_bytes(gpu: Gpu, model: Model, ctx: int, configuration: Configuration) -> float:
    """Returns the memory of a session, as predicted before one loads anything."""
    cell = configuration.cell(gpu.key, model.key, ctx)
    l2_bytes = None if gpu.l2_mib.value is None else int(gpu.l2_mib.value * 2**20)
    probe = floors.read_probe_bytes(CUDA, l2_bytes, int((gpu.memory_gb.value or 0) * 1e9))
    return fit.predicted_bytes(cell, model.shape, configuration.scheme, PROTOCOL, CUDA, probe)
