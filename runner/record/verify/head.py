"""Checks the head of every record: the cell and its key, the protocol, the model, and the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runner import errors, registry
from runner.cell import catalogue, protocol
from runner.cell.cell import Cell
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record.flags import GIVEN_FLAGS
from runner.record.line import short_repr, unequal
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.record.verify import card, request

NO_REASON = (None, None, None, ())


def differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line for each fault in the sections that all records have."""
    cell = record.cell
    if cell.key != record.keys.cell_key:
        yield "keys.cell_key: not this cell's"
    yield from unequal("gpu.key", record.gpu.key, "cell.gpu", cell.gpu)
    yield from unequal("model.name", record.model.name, "cell.model", cell.model)
    yield from _protocol_differences(record.protocol, cell)
    yield from _pair_differences(cell)
    yield from _scheme_differences(record)
    yield from request.differences(record)
    yield from card.differences(record)
    yield from _outcome_differences(record)
    entry = catalogue.models().get(cell.model)
    if entry is not None and record.model.shape not in _loaded_shapes(entry.shape, cell):
        yield f"model.shape: not that of {cell.model}"


def _protocol_differences(counts: Protocol, cell: Cell) -> Iterator[str]:
    """Yields a line if a named protocol has other counts than its name says, and if it does not go with the cache."""
    named = protocol.NAMED.get(counts.name)
    if named is not None and named != counts:
        yield f"protocol: {counts.counts}, but {named.name} has {named.counts}"
    if refusal := counts.refuses(cell.cache):
        yield f"protocol: {refusal}"


def _loaded_shapes(shape: ModelShape, cell: Cell) -> tuple[ModelShape, ...]:
    """Returns the shapes that a session may have loaded. A checkpoint may store a head of its own for a model whose
    embedding is tied."""
    untied = replace(shape, tied_embedding=False)
    return (shape,) if cell.weights_id == SYNTHETIC_ID else (shape, untied)


def _pair_differences(cell: Cell) -> Iterator[str]:
    """Yields a line for each pair of fields that do not go together."""
    for conflict in registry.conflicts(cell):
        field = "gpu" if conflict.field == registry.DEVICE else conflict.field
        allowed = ", ".join(conflict.allowed)
        yield f"cell.{field}: {short_repr(conflict.value)} does not go with {conflict.name} (allowed: {allowed})"


def _scheme_differences(record: SessionRecord) -> Iterator[str]:
    """Yields the faults of the scheme.

    Packed weights have a scheme that their format and kernel allow, and whose groups divide the inputs. The scheme of
    synthetic weights follows from the options.
    """
    cell, scheme = record.cell, value_or_none(record.model.scheme)
    declared = registry.weight_format(cell.quant).DECLARATION
    if declared.packed != (scheme is not None):
        yield f"model.scheme: {'missing' if declared.packed else 'present'}, but the weights are {cell.quant}"
    elif scheme is not None:
        if refusal := declared.refuses(scheme):
            yield f"model.scheme: {refusal}"
        if inputs := scheme.first_undivided_inputs(record.model.shape):
            yield f"model.scheme.group_size: {scheme.group_size} does not divide {inputs} inputs"
        if reason := registry.kernel(cell.kernel).DECLARATION.refuses(scheme, cell.quant):
            yield f"model.scheme: {cell.kernel} does not support it: {reason}"
        if cell.weights_id == SYNTHETIC_ID:
            yield from _synthetic_differences(cell, scheme)


def _synthetic_differences(cell: Cell, scheme: Scheme) -> Iterator[str]:
    chosen = registry.packed_format(cell.quant)
    missing = [name for name in chosen.DECLARATION.options if name not in cell.options]
    if missing:
        yield f"cell.options: without {', '.join(missing)}"
    elif scheme != chosen.scheme(cell.options):
        yield f"model.scheme: {short_repr(scheme.to_json())} does not match the options"


def _outcome_differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line if a measured session has an outcome other than success, or if another one does not give its
    reason."""
    outcome = record.outcome
    if isinstance(record, MeasuredRecord):
        failure = (outcome.reason, outcome.message, outcome.signal, outcome.last_output)
        if failure != NO_REASON or outcome.exit_code != 0:
            yield f"outcome: measured, but the section is {short_repr(to_json(outcome))}"
    else:
        yield from _failure_differences(record)
    for flag in record.given_flags:
        if flag not in GIVEN_FLAGS:
            yield f"given_flags: {short_repr(flag)} is not one of {', '.join(GIVEN_FLAGS)}"


def _failure_differences(record: SessionRecord) -> Iterator[str]:
    outcome = record.outcome
    if outcome.reason not in {kind.reason for kind in errors.family()}:
        yield f"outcome.reason: {short_repr(outcome.reason)} is not a known reason"
    if record.reasons != (outcome.message,):
        yield f"reasons: {short_repr(list(record.reasons))}, but outcome.message is {short_repr(outcome.message)}"
    if record.flags:
        yield f"flags: {short_repr(list(record.flags))}, but nothing was measured"
