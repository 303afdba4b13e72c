"""Rows that a known set of constants would show, and the committed records as the fit sees them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from analysis.prediction import observations, stepmodel
from analysis.prediction.constants import Architecture, Constants, Products, Remainder, Spread, StepPath
from analysis.prediction.kernelgroups import GroupTimes
from analysis.prediction.observations import HostTimes, Observation, Observed
from analysis.prediction.workload import Configuration, workload
from runner.cell import catalogue

RECORDS = Path(__file__).parents[2] / "experiments" / "records"
GRAPH = Configuration("bf16", "cublas", "graph", "static")
EAGER = Configuration("bf16", "cublas", "eager", "dynamic")
MARLIN = Configuration("awq", "marlin", "graph", "static")
FUSED = Configuration("bf16", "fused", "fused", "static")
PARAMETERS = (6_500_000_000, 7_000_000_000)
GBS = {"h100": 3350.0, "h200": 4800.0}


def _remainder(configuration: Configuration, others_us: float, issue_us: float, least_share: float) -> Remainder:
    own = vars(configuration)
    return Remainder(**own, kernels=50.0, others_us=others_us, issue_us=issue_us, launch_us=(4.0, 5.0), ctx=16384,
                     least_share=least_share, gpus=("h100", "h200"), parameters=PARAMETERS)  # fmt: skip


TRUTH = Architecture(
    name="hopper",
    capability="9.0",
    gpus=dict(GBS),
    head_share=0.9,
    products=(
        Products("bf16", "cublas", 0.8, 0.0, 8.0),
        Products("awq", "marlin", 0.8, 0.6, 8.0),
        Products("bf16", "fused", 0.85, 0.0, 0.0),
    ),
    paths=(
        StepPath("graph", "static", 10.0, 5.0, 16384, 0.3, 0.05, 0.0),
        StepPath("eager", "dynamic", 10.0, 0.6, 16384, 0.3, 0.05, 40.0),
        StepPath("fused", "static", 0.0, 0.0, 16384, 6.0, 0.06, 0.0),
    ),
    remainders=(
        _remainder(EAGER, 48.0, 16.0, 0.4),
        _remainder(GRAPH, 64.0, 0.0, 0.2),
        replace(_remainder(FUSED, 0.0, 0.0, 0.8), kernels=0.033333),
        _remainder(MARLIN, 60.0, 0.0, 0.17),
    ),
    probe_correlation=None,
    spreads=(Spread("device", 10, 4, 0.04, 10.0, 0.1), Spread("host-bound", 10, 4, 0.2, 10.0, 0.5)),
)
KNOWN = Constants((TRUTH,))


def observation(configuration: Configuration, model: str, gpu: str = "h200", ctx: int = 2048) -> Observation:
    """Returns the row that the constants of `TRUTH` would show, of one session."""
    shape = catalogue.models()[model].shape
    work = workload(configuration, shape, ctx)
    step = stepmodel.step(TRUTH, configuration, work, GBS[gpu])
    own, path = TRUTH.remainder(configuration), TRUTH.path_of(configuration)
    assert own is not None
    kernels = own.kernels * work.layers
    products = TRUTH.products_of(configuration)
    whole = GroupTimes(stepmodel.whole_us(work, products, GBS[gpu]), 0.0, 0.0, 0.0)
    times = (
        whole
        if configuration.is_one_kernel
        else GroupTimes(
            products=work.layers * sum(stepmodel.product_us(size, products, GBS[gpu]) for size in work.matrices),
            head=work.head_bytes / (TRUTH.head_share * GBS[gpu] * 1e3),
            attention=work.layers * (path.attention_us + path.attention_us_per_million * work.attended),
            others=work.layers * own.others_us,
        )
    )
    revisit_ms = max(step.host_ms, step.device_ms) + path.readback_ms
    return Observation(
        gpu=gpu,
        capability="9.0",
        bandwidth_gbs=GBS[gpu],
        model=model,
        ctx=ctx,
        dtype=configuration.dtype,
        configuration=configuration,
        shape=shape,
        sessions=(HostTimes(f"{model}-{gpu}-{ctx}", "a host", step.ms, revisit_ms, 4.5),),
        rate_ms=max(step.host_ms, step.device_ms),
        busy_ms=step.device_ms - kernels * path.gap_us / 1e3,
        kernels=kernels,
        times=times,
        least_share=own.least_share,
        least_busy_share=own.least_share,
        flags=(),
    )


def rows() -> list[Observation]:
    """Returns rows of both GPUs, three models and two contexts."""
    models = ("qwen2.5-7b", "llama-3.1-8b", "mistral-7b")
    places = [(model, gpu, ctx) for model in models for gpu in GBS for ctx in (2048, 16384)]
    return [observation(each, *place) for each in (EAGER, GRAPH, FUSED, MARLIN) for place in places]


def on_hosts(row: Observation, *factors: float) -> Observation:
    """Returns the row with a session on a host of its own for each factor, that much slower than the row's."""
    (only,) = row.sessions
    sessions = (
        replace(only, session=f"{only.session}-{number}", host=f"host {number}", wall_ms=only.wall_ms * factor,
                revisit_ms=only.revisit_ms * factor)
        for number, factor in enumerate(factors)
    )  # fmt: skip
    return replace(row, sessions=tuple(sessions))


@cache
def committed() -> Observed:
    """Returns the observations of the committed records."""
    return observations.observed(RECORDS)
