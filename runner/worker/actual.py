"""Section `actual`: the code that ran, read off the profile and the live cache, so that no fallback stays unnoticed."""

from __future__ import annotations

from runner import registry
from runner.cell.fieldtypes import ABSENT
from runner.declarations import READ_BACKS, Step
from runner.errors import Mismatch
from runner.job import Job
from runner.record.sections.passes import Actual
from runner.worker import profiling

LISTED_NAMES = 4
REMEDY = "install the pinned versions of the packages (`make env`), or report a bug with this line"


def describe(job: Job, observed: profiling.Observed, step: Step) -> Actual:
    """Returns the record's section `actual`. Raises Mismatch if it contradicts the cell."""
    products = observed.matching(registry.kernel(job.cell.kernel).DECLARATION.signatures)
    _check_products(job, sum(products.values()), sorted(observed.counts))
    _check_whole_step(job, observed)
    actual = Actual(
        runtime=step.runtime,
        graph_mode=observed.graph_mode,
        graph_launches_per_step=observed.graph_launches,
        kernel=job.cell.kernel,  # the layers' products all match its signatures
        kernel_names=tuple(name[: profiling.NAME_LENGTH] for name in sorted(products)[:LISTED_NAMES]),
        products_per_step=round(sum(products.values()), 2),
        copies_per_step=ABSENT if observed.copies is None else round(observed.copies, 2),
        attention_backend=observed.attention_backend,
        cache=step.cache_kind,
        settings=dict(step.settings) or ABSENT,
    )
    _check(job, actual)
    return actual


def _check_products(job: Job, count: float, names: list[str]) -> None:
    expected = registry.least_launches(job.cell, job.shape)
    if count < expected:
        raise Mismatch(
            f"kernel {job.cell.kernel} was requested, but the profile shows {count:g} of its matrix products per step; "
            f"the layers have at least {expected}. The profile has {names}: {REMEDY}"
        )


def _check_whole_step(job: Job, observed: profiling.Observed) -> None:
    """Raises Mismatch if the profile has other kernels or copies than those of a runtime whose kernels make the whole
    step."""
    expected = registry.runtime(job.cell.runtime).DECLARATION.kernels_per_step
    if expected is None:
        return
    count = sum(observed.counts.values())
    copies = observed.copies or 0
    if count != expected or copies > READ_BACKS:
        raise Mismatch(
            f"a step of runtime {job.cell.runtime} is {expected} kernel and the read-back, but the profile shows "
            f"{count:g} kernels ({', '.join(sorted(observed.counts))}) and {copies:g} copies: {REMEDY}"
        )


def _check(job: Job, actual: Actual) -> None:
    cell = job.cell
    _check_same("runtime", cell.runtime, actual.runtime)
    graph_mode = registry.runtime(cell.runtime).DECLARATION.graph_mode_with(cell.options)
    _check_same("graph mode", graph_mode, actual.graph_mode)
    _check_same("cache", cell.cache, actual.cache)
    if backend := cell.options.get("sdpa"):
        _check_same("sdpa backend", backend, actual.attention_backend)


def _check_same(field: str, requested: str, actual: str) -> None:
    if requested != actual:
        raise Mismatch(f"{field} {requested} was requested, but {actual} ran: {REMEDY}")
