"""The arms: two requests that differ in one field, resolved so that nothing else differs but what it implies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner import registry
from runner.cell import vocabulary
from runner.cell.cell import Cell
from runner.cell.vocabulary import AUTO
from runner.errors import BadPair, BadValue
from runner.plan.cards import Installed
from runner.plan.request import NONE, Request, are_local, option_map
from runner.plan.resolve import Plan, resolve

# Requested field → the cell's field that it names; the GPU is missing, for one block is measured on one card.
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
# What may differ besides, because the field says so: a format has kernels and a dtype of its own, a runtime options.
IMPLIED = {
    "quant": ("kernel", "dtype", "weights_id", "options"),
    "kernel": ("dtype",),
    "runtime": ("options",),
    "model": ("weights_id",),
}
SHARED = {"cache": "static", "attention": "sdpa"}
"""Fields in which runtimes have defaults of their own, and the value that both arms take if both can."""
NAMES = ("a", "b")


@dataclass(frozen=True)
class Arm:
    """One side: its value of the field as typed, the request with everything shared written out, and its plan."""

    name: str
    value: str
    request: Request
    plan: Plan


@dataclass(frozen=True)
class Pair:
    """Both arms. `field` is `none` for an A/A; `implied` maps further cell fields that differ to (a's, b's)."""

    field: str
    a: Arm
    b: Arm
    implied: dict[str, tuple[Any, Any]]

    @property
    def arms(self) -> tuple[Arm, Arm]:
        return self.a, self.b


def published(field: str, value: str, weights_id: str) -> str:
    """An arm's value without a private path: a folder of weights is named by what is in it."""
    return weights_id if field == "weights" and are_local(value) else value


def pair(request: Request, field: str, a: str, b: str, installed: Installed) -> Pair:
    """The arms of an A/B, or of an A/A where `field` is `none`.

    Raises BadValue for a field or values that make no A/B, BadPair where the arms differ in anything that the field
    does not imply, naming what to fix; and what `resolve` raises.
    """
    _check_values(request, field, a, b)
    requests = _of_each(request, field, a, b)
    plans = [resolve(each, installed) for each in requests]
    requests = [_with_shared(each, plans) for each in requests]
    plans = [resolve(each, installed) for each in requests]
    first, second = (Arm(*each) for each in zip(NAMES, (a, b), requests, plans, strict=True))
    return Pair(field, first, second, implied(field, plans[0].cell, plans[1].cell))


def _check_values(request: Request, field: str, a: str, b: str) -> None:
    if field == NONE:
        if (a, b) != (AUTO, AUTO):
            raise BadValue(f"field=none is an A/A, of one cell against itself: leave out a={a} and b={b}")
        return
    if field == "gpu":
        raise BadValue("field=gpu: the arms of an A/B take turns on one card; compare GPUs in the floor table")
    vocabulary.known("field", field, (*FIELDS, NONE))
    if AUTO in (a, b):
        raise BadValue(f"field={field}: give both values, a= and b=")
    if a == b:
        raise BadValue(f"field={field}: a and b are both {a}; for an A/A choose field=none")
    given = getattr(request, field)
    if given != AUTO:
        raise BadValue(f"field={field} is what the arms differ in: leave out {field}={given}")


def _of_each(request: Request, field: str, a: str, b: str) -> list[Request]:
    if field == NONE:
        return [request, request]
    requests = [replace(request, **{field: value}) for value in (a, b)]
    if field not in DECLARED_OPTIONS or request.options in (AUTO, NONE):
        return requests
    taken = {value: DECLARED_OPTIONS[field](value) for value in (a, b)}
    return [
        replace(each, options=_options_of(value, request.options, taken))
        for each, value in zip(requests, (a, b), strict=True)
    ]


def _options_of(value: str, text: str, taken: Mapping[str, tuple[str, ...]]) -> str:
    """Of the options given, those that this arm takes; what only the other takes is left out, what neither declares
    left in: both have it from elsewhere, or it is refused."""
    others = {name for names in taken.values() for name in names} - {*taken[value]}
    own = {name: chosen for name, chosen in option_map(text).items() if name not in others}
    return ",".join(f"{name}:{chosen}" for name, chosen in own.items()) or NONE


def _runtime_options(name: str) -> tuple[str, ...]:
    return tuple(registry.runtime(name).DECLARATION.options) if name in registry.runtime_names() else ()


def _format_options(name: str) -> tuple[str, ...]:
    return tuple(registry.weight_format(name).DECLARATION.options) if name in registry.format_names() else ()


DECLARED_OPTIONS = {"runtime": _runtime_options, "quant": _format_options}


def _with_shared(request: Request, plans: list[Plan]) -> Request:
    """Returns the request with cache and attention written out where the arms' defaults differ and both can do the
    same."""
    a, b = (plan.cell for plan in plans)
    chosen = {
        name: value
        for name, value in SHARED.items()
        if getattr(request, name) == AUTO
        and getattr(a, name) != getattr(b, name)
        and all(value in getattr(registry.runtime(cell.runtime).DECLARATION, f"{name}s") for cell in (a, b))
    }
    return replace(request, **chosen)


def implied(field: str, a: Cell, b: Cell) -> dict[str, tuple[Any, Any]]:
    """What the cells of an A/B differ in beside the field, (a's, b's). Raises BadPair where the field does not imply
    it, and where they do not differ in the field itself."""
    first, second = a.to_json(), b.to_json()
    different = {name: (first[name], second[name]) for name in first if first[name] != second[name]}
    named = FIELDS.get(field)
    if named is not None and different.pop(named, None) is None:
        raise BadPair(f"field={field}: both values resolve to the same cell ({a.title}); choose field=none for an A/A")
    allowed = (*IMPLIED.get(field, ()), *_without_a_common_value(field, a, b))
    for name, values in different.items():
        if name not in allowed:
            raise BadPair(
                f"the arms differ in {name} as well ({values[0]} and {values[1]}), which {field} does not imply: "
                f"give {name}= for both"
            )
    return different


def _without_a_common_value(field: str, a: Cell, b: Cell) -> list[str]:
    """Cache or attention, where an arm's runtime has nothing that the other's has (an engine with its own)."""
    if field != "runtime":
        return []
    declared = [registry.runtime(cell.runtime).DECLARATION for cell in (a, b)]
    return [name for name in SHARED if not set.intersection(*(set(getattr(each, f"{name}s")) for each in declared))]
