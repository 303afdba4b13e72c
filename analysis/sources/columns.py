"""The columns of a frame, and under which of MLflow's names each stands in a run.

A record is read through `runner.store.session_run`, which says what its run in MLflow looks like: so a frame of records
and one of a store come from the same params, metrics and tags, and have the same values to the last bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from runner import registry
from runner.cell import floors
from runner.record import metrics
from runner.store.session_run import COMMITTED_TAG, GATE_TAG, SCHEMA_TAG, SESSION_TAG

TAG, PARAM = "tag", "param"


@dataclass(frozen=True)
class Text:
    """A column of words. `usual` is the value that most sessions have, which a store need not send 100 000 times; None
    where there is none such, and the column is empty where the run lacks it. `known`: the column has only other words
    than these."""

    name: str
    kind: str
    key: str
    usual: str | None = None
    known: tuple[str, ...] = ()

    @property
    def unsent(self) -> tuple[str, ...]:
        """The words that a store need not send."""
        return self.known or (() if self.usual is None else (self.usual,))


SESSION, STUDY, IMAGE = "session", "study", "image_digest"
SESSION_COLUMNS = (
    Text(SESSION, TAG, SESSION_TAG),
    Text(STUDY, TAG, "study", "adhoc"),
    Text("cell_key", TAG, "cell_key"),
    Text("code_key", TAG, "code_key"),
    Text("env_key", TAG, "env_key"),
    Text("host_id", TAG, "host_id"),
    Text("status", TAG, "status", "measured"),
    Text("valid", TAG, "valid", "true"),
    Text("flags", TAG, "flags", ""),
    Text("reasons", TAG, "reasons", ""),
    Text("gate_version", TAG, GATE_TAG, "1"),
    Text("protocol_name", TAG, "protocol", "paper"),
    Text(IMAGE, TAG, "digest", ""),
)
"""What each session has of its own."""
OPTIONAL = (STUDY, IMAGE)
"""Read only where it is asked for."""

SCHEMA = Text("schema_version", TAG, SCHEMA_TAG, "1")
"""Runs of before there was this tag are of the first schema."""
COUNT_COLUMNS = (Text("warmup", PARAM, "protocol.warmup"), Text("steps", PARAM, "protocol.steps"))
"""What tells custom protocols apart; a named one has the counts of its name."""

CELL_COLUMNS = (
    Text("gpu", TAG, "gpu"),
    Text("model", TAG, "model"),
    Text("ctx", TAG, "ctx"),
    Text("quant", TAG, "quant"),
    Text("kernel", TAG, "kernel"),
    Text("runtime", TAG, "runtime"),
    Text("cache", TAG, "cache"),
    Text("dtype", TAG, "dtype"),
    Text("attention", PARAM, "cell.attention"),
    Text("weights_id", PARAM, "cell.weights_id"),
    Text("options", PARAM, "cell.options"),
    Text("group_size", PARAM, "scheme.group_size"),
    Text("sym", PARAM, "scheme.sym"),
    Text("desc_act", PARAM, "scheme.desc_act"),
    Text("double_quant", PARAM, "scheme.double_quant"),
)
"""What follows from the cell_key: read once per cell."""

ENVIRONMENT_COLUMNS = tuple(
    Text(name, PARAM, f"environment.{name}") for name in ("python", "torch", "cuda", "transformers", "driver")
)
"""What follows from the env_key (of the driver only its major version)."""

METRIC_NAMES = {
    "step_wall_ms": "latency/step_wall_ms",
    "step_wall_revisit_ms": "latency/step_wall_revisit_ms",
    "step_span_ms": "latency/step_span_ms",
    "step_rate_ms": "latency/step_rate_ms",
    "step_busy_ms": "latency/step_busy_ms",
    "profiled_span_ms": "latency/profiled_span_ms",
    "step_wall_p90_ms": "latency/step_wall_p90_ms",
    "step_wall_p95_ms": "latency/step_wall_p95_ms",
    "step_wall_p99_ms": "latency/step_wall_p99_ms",
    "kernels_per_step": "latency/kernels_per_step",
    "kernel_sum_ms": "latency/kernel_sum_ms",
    "prefill_ms": "latency/prefill_ms",
    "floor_ms": "floor/floor_ms",
    "floor_achievable_ms": "floor/floor_achievable_ms",
    "r_floor_paper": "floor/r_floor_paper",
    "r_floor_achievable": "floor/r_floor_achievable",
    "bytes_streamed": "bytes/streamed",
    "peak_bytes": "memory/peak",
    "logit_error": "gate/error",
    "read_gbs": "probe/read_gbs",
    "launch_us": "probe/launch_us",
}
"""Column → the metric's name in `runner.record.metrics`, which is its name in MLflow, too."""
QUOTIENTS = {"r_floor": ("floor_ms", "step_wall_ms")}
"""Metrics that two others tell to the last bit: what need not be read 100 000 times is not."""


def checked_columns() -> tuple[Text, ...]:
    """Returns the columns that tell sessions that this version cannot use (see `usable`): for words that tables look
    up, those that the registries do not have."""
    return (
        SCHEMA,
        Text("unknown_quant", TAG, "quant", known=registry.format_names()),
        Text("unknown_kernel", TAG, "kernel", known=registry.kernel_names()),
        Text("unknown_runtime", TAG, "runtime", known=registry.runtime_names()),
        Text("unknown_dtype", TAG, "dtype", known=tuple(floors.DTYPE_BYTES)),
    )


def session_columns(asked: Collection[str]) -> tuple[Text, ...]:
    """Those that are always read, and the optional ones asked for."""
    own = (column for column in SESSION_COLUMNS if column.name not in OPTIONAL or column.name in asked)
    return (*own, *checked_columns())


def metric_names(asked: Iterable[str]) -> dict[str, str]:
    """MLflow's name of each metric that has to be read for those asked for → its column."""
    metrics_asked = (name for name in asked if name not in (SESSION, *OPTIONAL))
    read = dict.fromkeys(part for name in metrics_asked for part in QUOTIENTS.get(name, (name,)))
    return {METRIC_NAMES[name]: name for name in read}


SERIES_NAME = metrics.STEP_SERIES
COMMITTED = COMMITTED_TAG
DIGEST = Text("digest", TAG, COMMITTED)
"""Of the session's whole content."""
