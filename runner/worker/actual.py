"""What really ran, read off the profile and the live cache: nothing falls back silently."""

from __future__ import annotations

from runner import registry
from runner.cell.fieldtypes import ABSENT
from runner.declarations import Step
from runner.errors import Mismatch
from runner.job import Job
from runner.record.sections.passes import Actual
from runner.worker import profiling

NAMES_KEPT = 4


def of(job: Job, seen: profiling.Seen, step: Step) -> Actual:
    """Returns the record's section `actual`. Raises Mismatch where it is not what the cell says."""
    products = seen.matching(registry.kernel(job.cell.kernel).DECLARATION.signatures)
    _check_products(job, sum(products.values()), sorted(seen.counts))
    actual = Actual(
        runtime=step.runtime,
        graph_mode=seen.graph_mode,
        graph_launches_per_step=seen.graph_launches,
        kernel=job.cell.kernel,  # all of the layers' products bear its names
        kernel_names=tuple(name[: profiling.NAME_LENGTH] for name in sorted(products)[:NAMES_KEPT]),
        products_per_step=round(sum(products.values()), 2),
        attention_backend=seen.attention_backend,
        cache=step.cache_seen,
        settings=dict(step.settings) or ABSENT,
    )
    _check(job, actual)
    return actual


def _check_products(job: Job, count: float, names: list[str]) -> None:
    expected = registry.least_launches(job.cell, job.shape)
    if count < expected:
        raise Mismatch(
            f"kernel {job.cell.kernel} was asked for, but the profile shows {count:g} of its matrix products a step "
            f"where the layers have {expected} at least; it shows {names}"
        )


def _check(job: Job, actual: Actual) -> None:
    cell = job.cell
    _same("runtime", cell.runtime, actual.runtime)
    _same("graph mode", registry.runtime(cell.runtime).DECLARATION.graph_mode_with(cell.options), actual.graph_mode)
    _same("cache", cell.cache, actual.cache)
    if backend := cell.options.get("sdpa"):
        _same("sdpa backend", backend, actual.attention_backend)


def _same(what: str, asked: str, ran: str) -> None:
    if asked != ran:
        raise Mismatch(f"{what} {asked} was asked for, but {ran} ran")
