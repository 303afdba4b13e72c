"""The request: each value that is not `auto` is the cell's, the protocol's or the session's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner import registry
from runner.cell import protocol
from runner.cell.cell import LOCAL_PREFIXES
from runner.cell.vocabulary import AUTO, SYNTHETIC_ID, known
from runner.errors import DecodeFloorError
from runner.plan.request import HUB, SYNTHETIC, option_map, whole_number
from runner.plan.resolve import DEFAULT_STUDY
from runner.record.flags import CONVERTED, UNPINNED
from runner.record.line import shown, unequal
from runner.record.sessionrecord import SessionRecord

REQUESTED = ("gpu", "model", "ctx", "quant", "weights")
AS_ASKED = ("gpu", "model", "quant", "kernel", "runtime", "cache", "dtype", "attention")
LOCAL = "local"  # the published word for a folder
FLAGGED_ORIGINS = {CONVERTED: (LOCAL, HUB), UNPINNED: (HUB,)}
PLACES = {"here": False, "container": True}


def differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line for each value of the request that the session was not measured with."""
    request = record.request
    if missing := [name for name in REQUESTED if name not in request]:
        yield f"request: without {', '.join(missing)}"
    for name in AS_ASKED:
        if (value := request.get(name, AUTO)) != AUTO:
            yield from unequal(f"request.{name}", value, f"cell.{name}", getattr(record.cell, name))
    try:
        yield from _number_differences(record)
        yield from _option_differences(record)
    except DecodeFloorError as error:
        yield f"request: {error}"
    yield from _weights_differences(record)
    if (place := request.get("where", AUTO)) in PLACES and PLACES[place] != bool(record.container):
        yield f"request.where: {place}, but the record is {'of a container' if record.container else 'of none'}"


def _number_differences(record: SessionRecord) -> Iterator[str]:
    request, session, counts = record.request, record.session, record.protocol
    if (ctx := request.get("ctx", AUTO)) != AUTO:
        yield from unequal("request.ctx", whole_number("ctx", ctx, 1), "cell.ctx", record.cell.ctx)
    seed = request.get("seed", AUTO)
    if "seed" in request:
        yield from unequal("session.seed", session.seed, "request.seed", _number("seed", seed, 0))
    if "study" in request:
        study = DEFAULT_STUDY if request["study"] == AUTO else request["study"]
        yield from unequal("session.study", session.study, "request.study", study)
    if "protocol" in request:
        chosen = _protocol(request)
        for name in ("name", "warmup", "steps"):
            yield from unequal(f"protocol.{name}", getattr(counts, name), "that of the request", getattr(chosen, name))


def _number(field: str, value: str, default: int) -> int:
    return default if value == AUTO else whole_number(field, value, 0)


def _protocol(request: Mapping[str, str]) -> protocol.Protocol:
    name = request["protocol"]
    named = protocol.NAMED["paper" if name == AUTO else known("protocol", name, protocol.NAMED)]
    warmup = _number("warmup", request.get("warmup", AUTO), named.warmup)
    return protocol.choose(named.name, warmup, _number("steps", request.get("steps", AUTO), named.steps))


def _option_differences(record: SessionRecord) -> Iterator[str]:
    """The cell's options are those asked for, and what the runtime and the format of synthetic weights write besides;
    each has a value that was declared."""
    cell, request = record.cell, record.request
    runtime = registry.runtime(cell.runtime).DECLARATION
    is_synthetic = cell.weights_id == SYNTHETIC_ID
    own = registry.weight_format(cell.quant).DECLARATION.options if is_synthetic else {}
    declared = {**runtime.options, **own}
    for name, value in cell.options.items():
        if value not in declared.get(name, ()):
            yield f"cell.options: {shown(f'{name}:{value}')} is no option of {cell.runtime} and {cell.quant}"
    if "options" in request:
        written = {**runtime.defaults, **{name: values[0] for name, values in own.items()}}
        expected = written | option_map(request["options"])
        yield from unequal("cell.options", cell.options, "that of the request", expected)


def _weights_differences(record: SessionRecord) -> Iterator[str]:
    """An id shows where weights are from, and only some places give cause for a flag."""
    weights, weights_id = record.request.get("weights", AUTO), record.cell.weights_id
    origin = SYNTHETIC if weights == AUTO else weights
    if origin != _origin(weights_id):
        yield f"request.weights: {shown(weights)}, but cell.weights_id is {shown(weights_id)}"
    for flag, origins in FLAGGED_ORIGINS.items():
        if flag in record.given_flags and origin not in origins:
            yield f"given_flags: {shown(flag)}, though the weights are {origin}"


def _origin(weights_id: str) -> str:
    if weights_id == SYNTHETIC_ID:
        return SYNTHETIC
    return LOCAL if weights_id.startswith(LOCAL_PREFIXES) else HUB
