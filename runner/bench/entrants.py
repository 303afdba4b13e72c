"""The runtimes of a bench: one resolved cell and one job for each, before anything is started."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runner import registry
from runner.bench.assignment import Assignment, Refusal
from runner.cell import floors, vocabulary
from runner.errors import BadPair, BadValue
from runner.job import Job, monotonic_s
from runner.machine import host
from runner.plan import fit
from runner.plan.cards import Installed
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.plan.sessionplan import Plan

CACHE, DTYPE, WEIGHTS, QUANT = "static", "bf16", "synthetic", "bf16"
"""Values that every runtime of a bench has."""


def names(text: str) -> tuple[str, ...]:
    """Returns the runtimes of `eager,graph,…`. Raises UnknownName for an unknown one, BadValue for a repeated one."""
    chosen = tuple(text.split(","))
    for name in chosen:
        vocabulary.checked_name("runtime", name, registry.runtime_names())
    if len(set(chosen)) < len(chosen):
        raise BadValue(f"runtimes={text}: must name each runtime once")
    return chosen


def assign(request: Request, runtimes: Sequence[str], rounds: int, installed: Installed, started_ms: int) -> Assignment:
    """Returns the assignment of a request. Its runtime, cache, dtype and weights are the bench's own.

    A runtime that does not go with the device is refused; if all are, the first one's BadPair is raised. Raises the
    errors of `resolve`, and Infeasible if a runtime does not fit beside the others' caches.
    """
    started_s = monotonic_s(started_ms)
    same = replace(request, cache=CACHE, dtype=DTYPE, weights=WEIGHTS, quant=QUANT)
    plans: list[Plan] = []
    refused: dict[str, BadPair] = {}
    for runtime in runtimes:
        try:
            plans.append(_plan(replace(same, runtime=runtime), installed))
        except BadPair as error:
            refused[runtime] = error
    if not plans:
        raise next(iter(refused.values()))
    _check_fit(plans)
    refusals = tuple(Refusal(runtime, str(error)) for runtime, error in refused.items())
    return Assignment(tuple(_jobs(same, plans, started_ms, started_s)), refusals, rounds)


def _plan(request: Request, installed: Installed) -> Plan:
    """Returns the plan of one runtime. Raises BadPair if its kernel would replace the layers of the shared model."""
    plan = resolve(request, installed)
    if registry.makes_layers(plan.cell.kernel):
        raise BadPair(
            f"kernel={plan.cell.kernel} has its own layers, and the runtimes of a bench share one model: "
            "measure it with `python -m runner cell`"
        )
    return plan


def _check_fit(plans: Sequence[Plan]) -> None:
    """Raises Infeasible if a cell does not fit into the memory that the other runtimes' caches leave.

    The model exists once, and each runtime has a cache of its own.
    """
    for plan in plans:
        shape, protocol = plan.model.shape, plan.protocol
        rows = floors.kv_alloc_tokens(plan.cell.ctx, protocol.warmup, protocol.steps)
        cache_bytes = rows * floors.kv_bytes_per_token(shape, floors.DTYPE_BYTES[plan.cell.dtype])
        available = (plan.memory_bytes or host.available_memory_bytes()) - (len(plans) - 1) * cache_bytes
        fit.check(plan.cell, shape, plan.scheme, protocol, plan.device.kind, available)


def _jobs(request: Request, plans: Sequence[Plan], started_ms: int, started_s: float) -> Iterator[Job]:
    bench_id = uuid.uuid4().hex[:16]
    for index, plan in enumerate(plans):
        published = replace(request, runtime=plan.cell.runtime).published()
        yield plan.job(bench_id, published, index, started_ms, started_s)
