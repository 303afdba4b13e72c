"""The head of every record: the cell and its key, the protocol, the model, and how the session ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner import errors, registry
from runner.cell import catalogue, protocol
from runner.cell.cell import Cell
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record import metrics, record
from runner.record.structure import shown
from runner.record.verify import card, request
from runner.record.verify.line import unequal

GIVEN_FLAGS = ("converted", "other-tree", "shared-card", "shared-host", "unpinned")
MEASUREMENT = (*record.MEASURED_ONLY, "prefill", "kernels", "memory", "limits", "host")
NO_REASON: tuple[Any, ...] = (None, None, None, [])

Record = Mapping[str, Any]


def differences(found: Record) -> Iterator[str]:
    """Yields a line for each thing that a record, measured or not, says wrongly of its session."""
    cell = found["cell"]
    if Cell.from_json(cell).key != found["keys"]["cell_key"]:
        yield "keys.cell_key: not this cell's"
    for field, place in (("gpu", "gpu.key"), ("model", "model.name")):
        yield from unequal(place, metrics.lookup(found, place), f"cell.{field}", cell[field])
    yield from _protocol_differences(found["protocol"])
    yield from _pair_differences(cell)
    yield from _scheme_differences(found)
    yield from request.differences(found)
    yield from card.differences(found)
    yield from _outcome_differences(found)
    known = catalogue.models().get(cell["model"])
    if known is not None and ModelShape.from_json(found["model"]["shape"]) not in _loaded_shapes(known.shape, cell):
        yield f"model.shape: not that of {cell['model']}"


def _protocol_differences(counts: Record) -> Iterator[str]:
    """A named protocol has its own counts."""
    named = protocol.NAMED.get(counts["name"])
    if named is not None and named != protocol.Protocol(**counts):
        yield f"protocol: {named.name} has {named.warmup} warm-up and {named.steps} timed steps"


def _loaded_shapes(shape: ModelShape, cell: Record) -> tuple[ModelShape, ...]:
    """Returns the shapes that a session may have loaded: a checkpoint whose stored head differs from the embedding
    unties a tied model."""
    untied = replace(shape, tied_embedding=False)
    return (shape,) if cell["weights_id"] == SYNTHETIC_ID else (shape, untied)


def _pair_differences(cell: Record) -> Iterator[str]:
    """Pairs that no request can ask for."""
    for conflict in registry.conflicts(Cell.from_json(dict(cell))):
        field = "gpu" if conflict.field == registry.DEVICE else conflict.field
        allowed = ", ".join(conflict.allowed)
        yield f"cell.{field}: {shown(conflict.value)} does not go with {conflict.name} (it has {allowed})"


def scheme_of(found: Record) -> Scheme | None:
    """Returns the scheme that a record states; None if it states none."""
    stated = found["model"].get("scheme")
    return Scheme.from_json(stated) if stated else None


def _scheme_differences(found: Record) -> Iterator[str]:
    """Packed weights have a scheme that their format may have, whose groups divide the inputs, and that their kernel
    takes; that of synthetic ones follows from the options."""
    cell, scheme = found["cell"], scheme_of(found)
    declared = registry.weight_format(cell["quant"]).DECLARATION
    if declared.packed != (scheme is not None):
        yield f"model.scheme: {'missing' if declared.packed else 'there'}, though the weights are {cell['quant']}"
    elif scheme is not None:
        if strange := declared.refuses(scheme):
            yield f"model.scheme: {strange}"
        if inputs := scheme.undivided(ModelShape.from_json(found["model"]["shape"])):
            yield f"model.scheme.group_size: {scheme.group_size} does not divide {inputs} inputs"
        if reason := registry.kernel(cell["kernel"]).DECLARATION.refuses(scheme, cell["quant"]):
            yield f"model.scheme: {cell['kernel']} cannot have multiplied it: {reason}"
        if cell["weights_id"] == SYNTHETIC_ID:
            yield from _synthetic_differences(cell, scheme)


def _synthetic_differences(cell: Record, scheme: Scheme) -> Iterator[str]:
    chosen = registry.packed_format(cell["quant"])
    missing = [name for name in chosen.DECLARATION.options if name not in cell["options"]]
    if missing:
        yield f"cell.options: without {', '.join(missing)}"
    elif scheme != chosen.scheme(cell["options"]):
        yield f"model.scheme: {shown(scheme.to_json())} is not what the options say"


def _outcome_differences(found: Record) -> Iterator[str]:
    """A session that was measured ended well; one that was not holds nothing of a measurement, and says why."""
    outcome = found["outcome"]
    if record.is_measured(found):
        said = tuple(outcome.get(name) for name in ("reason", "message", "signal", "last_output"))
        if said != NO_REASON or outcome.get("exit_code") != 0:
            yield f"outcome: measured, though it says {shown(dict(outcome))}"
    else:
        yield from _failure_differences(found)
    for flag in found["given_flags"]:
        if flag not in GIVEN_FLAGS:
            yield f"given_flags: {shown(flag)} is none of {', '.join(GIVEN_FLAGS)}"


def _failure_differences(found: Record) -> Iterator[str]:
    outcome = found["outcome"]
    held = [section for section in MEASUREMENT if section in found]
    if held or "finished_ms" in found["session"]:
        names = ", ".join(held) or "session.finished_ms"
        yield f"outcome.status: {outcome['status']}, though the record holds a measurement ({names})"
    if outcome["reason"] not in {kind.reason for kind in errors.family()}:
        yield f"outcome.reason: {shown(outcome['reason'])} is no reason to fail"
    if list(found["reasons"]) != [outcome["message"]]:
        yield f"reasons: {shown(list(found['reasons']))}, but outcome.message is {shown(outcome['message'])}"
    if found["flags"]:
        yield f"flags: {shown(list(found['flags']))}, though nothing was measured"
