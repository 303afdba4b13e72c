"""Checks the request: each value that is not `auto` equals that of the cell, the protocol or the session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner import registry
from runner.cell import protocol
from runner.cell.cell import LOCAL_PREFIXES
from runner.cell.vocabulary import AUTO, DEFAULT_PROTOCOL, SYNTHETIC_ID, checked_name
from runner.errors import DecodeFloorError
from runner.hostcondition.condition import FIELD
from runner.plan import fieldvalues
from runner.plan.request import HUB, SYNTHETIC, option_map, whole_number
from runner.plan.resolve import DEFAULT_STUDY
from runner.record.flags import CONVERTED, UNPINNED
from runner.record.line import short_repr, unequal
from runner.record.sessionrecord import SessionRecord

REQUESTED = ("gpu", "model", "ctx", "quant", "weights")
CELL_FIELDS = ("gpu", "model", "quant", "kernel", "runtime", "cache", "dtype", "attention")
COUNTS = ("protocol", "warmup", "steps", "windows")
"""Fields that determine the protocol. The request of an older record has only some of them."""
LOCAL = "local"  # replaces the path of a folder in a record
FLAGGED_ORIGINS = {CONVERTED: (LOCAL, HUB), UNPINNED: (HUB,)}
PLACES = {"here": False, "container": True}


def differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line for each value of the request that differs from the measured one."""
    request = record.request
    if missing := [name for name in REQUESTED if name not in request]:
        yield f"request: without {', '.join(missing)}"
    for name in CELL_FIELDS:
        if (value := request.get(name, AUTO)) != AUTO:
            yield from unequal(f"request.{name}", value, f"cell.{name}", getattr(record.cell, name))
    try:
        yield from _number_differences(record)
        yield from _option_differences(record)
        fieldvalues.host_condition(request.get(FIELD, AUTO))
    except DecodeFloorError as error:
        yield f"request: {error}"
    yield from _weights_differences(record)
    if (place := request.get("where", AUTO)) in PLACES and PLACES[place] != bool(record.container):
        yield f"request.where: {place}, but the record has {'a' if record.container else 'no'} section container"


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
    if not request.keys().isdisjoint(COUNTS):
        chosen = _protocol(request)
        for name in ("name", "warmup", "steps", "windows"):
            yield from unequal(f"protocol.{name}", getattr(counts, name), "the requested one", getattr(chosen, name))


def _number(field: str, value: str, default: int) -> int:
    return default if value == AUTO else whole_number(field, value, 0)


def _protocol(request: Mapping[str, str]) -> protocol.Protocol:
    name = request.get("protocol", AUTO)
    named = protocol.NAMED[DEFAULT_PROTOCOL if name == AUTO else checked_name("protocol", name, protocol.NAMED)]
    warmup = _number("warmup", request.get("warmup", AUTO), named.warmup)
    steps = _number("steps", request.get("steps", AUTO), named.steps)
    windows = _number("windows", request.get("windows", AUTO), named.windows)
    return protocol.choose(named.name, warmup, steps, windows)


def _option_differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line for each option that is not declared, and if the options are not the requested ones with the
    defaults of the runtime and of the format of synthetic weights."""
    cell, request = record.cell, record.request
    runtime = registry.runtime(cell.runtime).DECLARATION
    is_synthetic = cell.weights_id == SYNTHETIC_ID
    format_options = registry.weight_format(cell.quant).DECLARATION.options if is_synthetic else {}
    declared = {**runtime.options, **format_options}
    for name, value in cell.options.items():
        if value not in declared.get(name, ()):
            yield f"cell.options: {short_repr(f'{name}:{value}')} is not an option of {cell.runtime} or {cell.quant}"
    if "options" in request:
        defaults = {**runtime.defaults, **{name: values[0] for name, values in format_options.items()}}
        expected = defaults | option_map(request["options"])
        yield from unequal("cell.options", cell.options, "the requested one", expected)


def _weights_differences(record: SessionRecord) -> Iterator[str]:
    """Yields a line if the weights' id has another origin than requested, or if a flag does not go with that origin."""
    weights, weights_id = record.request.get("weights", AUTO), record.cell.weights_id
    origin = SYNTHETIC if weights == AUTO else weights
    if origin != _origin(weights_id):
        yield f"request.weights: {short_repr(weights)}, but cell.weights_id is {short_repr(weights_id)}"
    for flag, origins in FLAGGED_ORIGINS.items():
        if flag in record.given_flags and origin not in origins:
            yield f"given_flags: {short_repr(flag)}, but the weights are {origin}"


def _origin(weights_id: str) -> str:
    if weights_id == SYNTHETIC_ID:
        return SYNTHETIC
    return LOCAL if weights_id.startswith(LOCAL_PREFIXES) else HUB
