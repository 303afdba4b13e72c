"""The arms of an A/B: two requests that differ in one field and in what this field implies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner import registry
from runner.cell import vocabulary
from runner.cell.cell import Cell
from runner.cell.vocabulary import AUTO
from runner.errors import BadPair, BadValue
from runner.plan import fieldvalues
from runner.plan.cards import Installed
from runner.plan.remedies import Unpaired, advised
from runner.plan.request import NONE, Request, are_local, option_map
from runner.plan.resolve import paired, resolve
from runner.plan.sessionplan import Plan

FIELDS = {
    "model": "model",
    "ctx": "ctx",
    "quant": "quant",
    "kernel": "kernel",
    "runtime": "runtime",
    "attention": "attention",
    "cache": "cache",
    "dtype": "dtype",
    "weights": "weights_id",
    "options": "options",
}
"""Requested field → field of the cell. `gpu` is missing: all sessions of a block run on one card."""
IMPLIED = {
    "quant": ("kernel", "dtype", "weights_id", "options"),
    "kernel": ("dtype",),
    "runtime": ("options",),
    "model": ("weights_id",),
}
"""Requested field → further cell fields that may differ: a format determines its kernels and dtype, for example."""
SHARED = {"cache": "static", "attention": "sdpa"}
"""Fields whose default depends on the runtime → the value for both arms if both runtimes support it."""
NAMES = ("a", "b")


@dataclass(frozen=True)
class Arm:
    """Side of an A/B: the field's value as typed, the request with shared fields set explicitly, and its plan."""

    name: str
    value: str
    request: Request
    plan: Plan


@dataclass(frozen=True)
class Pair:
    """Both arms. `field` is `none` for an A/A. `implied` maps further cell fields that differ to (value of a, of b)."""

    field: str
    a: Arm
    b: Arm
    implied: dict[str, tuple[Any, Any]]

    @property
    def arms(self) -> tuple[Arm, Arm]:
        return self.a, self.b


def published_value(field: str, value: str, weights_id: str) -> str:
    """Returns the arm's value, with the weights_id in place of a private path to a folder of weights."""
    return weights_id if field == "weights" and are_local(value) else value


def pair(request: Request, field: str, a: str, b: str, installed: Installed) -> Pair:
    """Returns the arms of an A/B, or of an A/A if `field` is `none`.

    Raises BadValue if the field and values define no A/B, BadPair if the arms differ in a field that `field` does not
    imply, and every error of `resolve`.
    """
    _check_values(request, field, a, b)
    if (declared := fieldvalues.host_condition(request.host_condition)) is not None:
        raise BadPair(
            f"host_condition={declared.text}: an A/B compares cells on the host as it is: leave it out, or measure "
            "both as cells"
        )
    requests = _arm_requests(request, field, a, b)
    _check_pairs(field, requests, installed)
    plans = [resolve(arm_request, installed) for arm_request in requests]
    requests = [_with_shared_values(arm_request, plans) for arm_request in requests]
    plans = [resolve(arm_request, installed) for arm_request in requests]
    first, second = (Arm(*parts) for parts in zip(NAMES, (a, b), requests, plans, strict=True))
    return Pair(field, first, second, implied(field, plans[0].cell, plans[1].cell))


def _check_values(request: Request, field: str, a: str, b: str) -> None:
    if field == NONE:
        if (a, b) != (AUTO, AUTO):
            raise BadValue(
                f"a={a} and b={b} need a field in which the arms differ: give field=… (--field of `python -m runner "
                "ab`), or leave out a and b for an A/A, a cell against itself"
            )
        return
    if field == "gpu":
        raise BadValue(
            "field=gpu: both arms of an A/B run on the same card: to compare GPUs, measure a cell on each and use the "
            "floor table (`python -m analysis floor`)"
        )
    vocabulary.checked_name("field", field, (*FIELDS, NONE))
    if AUTO in (a, b):
        raise BadValue(f"field={field} needs a value for each arm: give both a=… and b=… (options --a and --b)")
    if a == b:
        raise BadValue(f"field={field}: a and b are both {a}; for an A/A choose field=none")
    requested = getattr(request, field)
    if requested != AUTO:
        raise BadValue(f"field={field}: each arm sets this field itself (a={a}, b={b}): leave out {field}={requested}")


def _check_pairs(field: str, requests: list[Request], installed: Installed) -> None:
    """Raises BadPair if the fields of an arm do not go together. Its advice holds for both arms and keeps the field."""
    for name, request in zip(NAMES, requests, strict=True):
        try:
            paired(request, installed)
        except Unpaired as error:
            found = error if field == NONE else Unpaired(f"arm {name}: {error}", *error.tiers)
            fixed = None if field == NONE else field
            raise advised(found, requests, lambda changed: paired(changed, installed), fixed) from error


def _arm_requests(request: Request, field: str, a: str, b: str) -> list[Request]:
    if field == NONE:
        return [request, request]
    requests = [replace(request, **{field: value}) for value in (a, b)]
    if field not in DECLARED_OPTIONS or request.options in (AUTO, NONE):
        return requests
    declared = {value: DECLARED_OPTIONS[field](value) for value in (a, b)}
    return [
        replace(arm_request, options=_arm_options(value, request.options, declared))
        for arm_request, value in zip(requests, (a, b), strict=True)
    ]


def _arm_options(value: str, text: str, declared: Mapping[str, tuple[str, ...]]) -> str:
    """Returns the requested options without those that only the other arm declares.

    Options that neither arm declares stay: another field declares them, or `resolve` refuses them.
    """
    excluded = {name for names in declared.values() for name in names} - {*declared[value]}
    options = {name: setting for name, setting in option_map(text).items() if name not in excluded}
    return value_words(options)


def _runtime_options(name: str) -> tuple[str, ...]:
    return tuple(registry.runtime(name).DECLARATION.options) if name in registry.runtime_names() else ()


def _format_options(name: str) -> tuple[str, ...]:
    return tuple(registry.weight_format(name).DECLARATION.options) if name in registry.format_names() else ()


DECLARED_OPTIONS = {"runtime": _runtime_options, "quant": _format_options}


def _with_shared_values(request: Request, plans: list[Plan]) -> Request:
    """Returns the request with the SHARED values of cache and attention, if the arms' defaults differ and both support
    these values."""
    a, b = (plan.cell for plan in plans)
    shared = {
        name: value
        for name, value in SHARED.items()
        if getattr(request, name) == AUTO
        and getattr(a, name) != getattr(b, name)
        and all(value in getattr(registry.runtime(cell.runtime).DECLARATION, f"{name}s") for cell in (a, b))
    }
    return replace(request, **shared)


def implied(field: str, a: Cell, b: Cell) -> dict[str, tuple[Any, Any]]:
    """Returns the cell fields other than `field` that differ, as (value of a, value of b).

    Raises BadPair if `field` does not imply one of them, or if the cells do not differ in `field` itself.
    """
    first, second = a.to_json(), b.to_json()
    different = {name: (first[name], second[name]) for name in first if first[name] != second[name]}
    cell_field = FIELDS.get(field)
    if cell_field is not None and different.pop(cell_field, None) is None:
        raise BadPair(f"field={field}: both values resolve to the same cell ({a.title}); choose field=none for an A/A")
    allowed = (*IMPLIED.get(field, ()), *_fields_without_common_value(field, a, b))
    for name, values in different.items():
        if name not in allowed:
            raise BadPair(
                f"the arms differ in {name} as well ({values[0]} and {values[1]}), which field={field} does not imply: "
                f"give {name}= the same value for both"
            )
    return different


def value_words(value: Any) -> str:
    """Returns the value of a cell field in words: options as a request writes them, `none` if there are none."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{setting}" for name, setting in value.items()) or NONE
    return str(value)


def _fields_without_common_value(field: str, a: Cell, b: Cell) -> list[str]:
    """Returns cache, attention and kernel as far as the runtimes support no common value, such as an engine's own
    cache, or a runtime's own kernel."""
    if field != "runtime":
        return []
    runtimes = [registry.runtime(cell.runtime).DECLARATION for cell in (a, b)]
    shared = [
        name for name in SHARED if not set.intersection(*(set(getattr(runtime, f"{name}s")) for runtime in runtimes))
    ]
    return shared if any(_both_allow(a, b, kernel) for kernel in registry.kernel_names()) else [*shared, "kernel"]


def _both_allow(a: Cell, b: Cell, kernel: str) -> bool:
    return not any(conflict for cell in (a, b) for conflict in registry.conflicts(replace(cell, kernel=kernel)))
