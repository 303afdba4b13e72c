"""Records of jobs: example records whose card and times fit the job."""

from __future__ import annotations

from typing import Any

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import to_json
from runner.job import Job, head
from tests.support.records import example_record

OVER_WEIGHTS = 1.5  # time in kernels ÷ time in which the weights are read; the cache has at most 0.4 of their bytes
OVER_KERNELS = {"eager": 1.6, "graph": 1.04, "compile": 1.01}  # step ÷ time in kernels


def job_record(job: Job, slower: float, **changes: Any) -> dict[str, Any]:
    """Returns a measured session of the job. Its steps take `slower` times as long as usual."""
    assert job.device.bandwidth_gbs is not None
    weights = registry.weight_bytes(job.cell.quant, job.scheme, job.shape, floors.DTYPE_BYTES[job.cell.dtype])
    busy_ms = OVER_WEIGHTS * weights / job.device.bandwidth_gbs / 1e6
    return example_record(
        step_ms=slower * OVER_KERNELS[job.cell.runtime] * busy_ms,
        busy_ms=busy_ms,
        session=to_json(job.session),
        gpu=_gpu(job),
        actual={"products_per_step": float(registry.least_launches(job.cell, job.shape))},
        **{name: to_json(value) for name, value in head(job).items() if value is not ABSENT},
        **changes,
    )


def _gpu(job: Job) -> dict[str, Any]:
    card = catalogue.gpus()[job.cell.gpu]
    named = {"key": card.key, "name": job.device.name, "compute_capability": card.compute_capability}
    memory = {"memory_bytes": int((card.memory_gb.value or 0) * 1e9)}
    cache = {"last_level_cache_bytes": int((card.l2_mib.value or 0) * 2**20)}
    return {**named, **memory, **cache, "bandwidth_gbs": job.device.bandwidth_gbs}
