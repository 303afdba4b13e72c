"""Columns of a frame and their names in MLflow.

Records are read through `runner.store.session_run`, which defines a record's run in MLflow. Frames of records and of a
store therefore come from the same params, metrics and tags, and have bit-identical values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from runner import registry
from runner.cell import floors
from runner.hostcondition.condition import FIELD
from runner.record import metrics, phases
from runner.store.session_run import COMMITTED_TAG, GATE_TAG, SCHEMA_TAG, SESSION_TAG

TAG, PARAM = "tag", "param"
WINDOWS_PARAM = "protocol.windows"
"""Parameter of a session with several windows."""


@dataclass(frozen=True)
class Text:
    """A text column.

    `usual` is the most common value, which a store need not send 100 000 times. It is None if there is no such value;
    the column is then null if the run lacks it. If `known` is not empty, the column contains only words that are not in
    `known`.
    """

    name: str
    kind: str
    key: str
    usual: str | None = None
    known: tuple[str, ...] = ()

    @property
    def unsent(self) -> tuple[str, ...]:
        """Returns the words that a store need not send."""
        return self.known or (() if self.usual is None else (self.usual,))


SESSION, STUDY, IMAGE, CONDITION = "session", "study", "image_digest", "host_condition"
BACKEND = "attention_backend"
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
    Text(CONDITION, TAG, FIELD, ""),
)
"""Columns that differ from session to session."""
OPTIONAL = (STUDY, IMAGE)
"""Columns that are read only on request."""

SCHEMA = Text("schema_version", TAG, SCHEMA_TAG, "1")
"""Schema of the record. Runs without this tag have the first schema."""
COUNT_COLUMNS = (
    Text("warmup", PARAM, "protocol.warmup"),
    Text("steps", PARAM, "protocol.steps"),
    Text("windows", PARAM, WINDOWS_PARAM, "1"),
)
"""Steps of custom protocols; a named protocol has the counts of its name."""

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
"""Columns that the cell_key determines: read once per cell."""

ENVIRONMENT_COLUMNS = tuple(
    Text(name, PARAM, f"environment.{name}")
    for name in ("python", "torch", "cuda", "transformers", "triton", "kernel_package", "driver")
)
"""Columns that the env_key determines (the driver by its major version)."""
SOFTWARE = ("cell_key", "code_key", "env_key")
"""Keys that determine the software of a step."""
BACKEND_COLUMN = Text(BACKEND, PARAM, f"actual.{BACKEND}")
"""The backend of attention that a session really used. The keys of `SOFTWARE` determine it: read once for each."""
CONDITION_COLUMNS = tuple(
    Text(name, PARAM, f"{FIELD}.{name}") for name in ("allowed_cores", "cores", "neighbours", "neighbour_cores")
)
"""What a session under a declared condition of the host observed of it."""

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
    "p99_ms": "latency/p99",
    "max_ms": "latency/max_ms",
    "jitter_ms": "latency/jitter_ms",
    "kernels_per_step": "latency/kernels_per_step",
    "kernel_sum_ms": "latency/kernel_sum_ms",
    **{f"kernels_{name}_ms": f"kernels/{name}_ms" for name in phases.NAMES},
    "prefill_ms": "latency/prefill_ms",
    "floor_ms": "floor/floor_ms",
    "floor_achievable_ms": "floor/floor_achievable_ms",
    "r_floor_paper": "floor/r_floor_paper",
    "r_floor_achievable": "floor/r_floor_achievable",
    "bytes_streamed": "bytes/streamed",
    "joules_per_token": "energy/joules_per_token",
    "joules_per_token_above_idle": "energy/joules_per_token_above_idle",
    "sm_clock_mhz": "energy/sm_clock_mhz",
    "memory_clock_mhz": "energy/memory_clock_mhz",
    "peak_bytes": "memory/peak",
    "logit_error": "gate/error",
    "read_gbs": "probe/read_gbs",
    "launch_us": "probe/launch_us",
}
"""Names in `runner.record.metrics`, and so in MLflow, by column."""
QUOTIENTS = {"r_floor": ("floor_ms", "step_wall_ms")}
"""Metrics that are bit-identical to a quotient of two others and need not be read."""


def checked_columns() -> tuple[Text, ...]:
    """Returns the columns that identify sessions which this version cannot use (see `usable`).

    For words that tables look up, they contain the words that the registries lack.
    """
    return (
        SCHEMA,
        Text("unknown_quant", TAG, "quant", known=registry.format_names()),
        Text("unknown_kernel", TAG, "kernel", known=registry.kernel_names()),
        Text("unknown_runtime", TAG, "runtime", known=registry.runtime_names()),
        Text("unknown_dtype", TAG, "dtype", known=tuple(floors.DTYPE_BYTES)),
    )


def session_columns(requested: Collection[str]) -> tuple[Text, ...]:
    """Returns the columns that are always read, and the requested optional ones."""
    read = (column for column in SESSION_COLUMNS if column.name not in OPTIONAL or column.name in requested)
    return (*read, *checked_columns())


def metric_names(requested: Iterable[str]) -> dict[str, str]:
    """Returns the columns of the metrics to read for the requested ones, by name in MLflow."""
    requested_metrics = (name for name in requested if name not in (SESSION, *OPTIONAL))
    read = dict.fromkeys(part for name in requested_metrics for part in QUOTIENTS.get(name, (name,)))
    return {METRIC_NAMES[name]: name for name in read}


SERIES_NAME = metrics.STEP_SERIES
COMMITTED = COMMITTED_TAG
DIGEST = Text("digest", TAG, COMMITTED)
"""Digest of the session's whole content."""
