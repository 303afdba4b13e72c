"""What really ran, read off the profile and the live cache: nothing falls back silently."""

from __future__ import annotations

from typing import Any

from runner import registry
from runner.errors import Mismatch
from runner.worker import profiling
from runner.worker.job import Job

NAMES_KEPT = 4


def of(job: Job, seen: profiling.Seen, cache_seen: str) -> dict[str, Any]:
    """The record's section `actual`. Raises Mismatch where it is not what the cell says."""
    products = seen.matching(registry.kernel(job.cell.kernel).DECLARATION.signatures)
    found = {
        "runtime": job.cell.runtime,
        "graph_mode": seen.graph_mode,
        "graph_launches_per_step": seen.graph_launches,
        "kernel": job.cell.kernel,
        "kernel_names": [name[: profiling.NAME_LENGTH] for name in sorted(products)[:NAMES_KEPT]],
        "products_per_step": round(sum(products.values()), 2),
        "attention_backend": seen.attention_backend,
        "cache": cache_seen,
    }
    _check(job, found, sorted(seen.counts))
    return found


def _check(job: Job, found: dict[str, Any], names: list[str]) -> None:
    expected = job.shape.layers * len(job.shape.linear_shapes)
    if found["products_per_step"] < expected:
        raise Mismatch(
            f"kernel {job.cell.kernel} was asked for, but the profile shows {found['products_per_step']:g} of its "
            f"matrix products a step where the layers have {expected}; it shows {names}"
        )
    _same("graph mode", registry.runtime(job.cell.runtime).DECLARATION.graph_mode, found["graph_mode"])
    _same("cache", job.cell.cache, found["cache"])
    if backend := job.cell.options.get("sdpa"):
        _same("sdpa backend", backend, found["attention_backend"])


def _same(what: str, asked: str, ran: str) -> None:
    if asked != ran:
        raise Mismatch(f"{what} {asked} was asked for, but {ran} ran")
