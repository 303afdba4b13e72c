"""Columns that several tables have: what a cell is, the sessions of a row, and their flags."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.form import Column

_MEANINGS = {
    "gpu": "the GPU, by its name in the catalogue",
    "model": "the model, by its name in the catalogue",
    "ctx": "the context: what is in the cache before the first timed step",
    "quant": "the weight format; bf16 is unquantised",
    "kernel": "the kernel that multiplies the weights",
    "runtime": "how a step is executed",
    "cache": "the KV cache: growing (dynamic), of a fixed size (static), or the engine's own",
    "dtype": "the type of what is not packed",
    "attention": "the implementation of attention that was asked for",
    "weights_id": "the weights: synthetic, a revision of the hub, or a hash of their content",
    "options": "options of runtime and kernel",
    "protocol": "name, warm-up steps and timed steps",
    "env_key": "hash of the versions of Python, torch, CUDA, the kernel's package and the driver",
    "code_key": "hash of the code that measured",
}
CELL = {
    name: Column(name, name, "d" if name == "ctx" else "s", unit="tokens" if name == "ctx" else "", help=text)
    for name, text in _MEANINGS.items()
}
"""Field of a cell, or key of a group → its column."""
FLAGS = Column("flags", "flags", help="what is right but suspect of the row's sessions; the flags are explained below")
WALL_ENDS = (
    Column(
        "low",
        "step_wall_ms_low",
        ".2f",
        unit="ms",
        help="the lower end of the interval of ms/step over sessions, below 5 sessions of their range",
    ),
    Column("high", "step_wall_ms_high", ".2f", unit="ms", help="the upper end of it"),
    Column("interval", "interval_label", help="what low and high are: what the interval covers, or the range"),
)
SESSIONS = Column("n", "sessions", "d", help="sessions, each a fresh process; leads to where they come from")
WALL = Column(
    "ms/step",
    "step_wall_ms",
    ".2f",
    unit="ms",
    help="one step with its token read back, by the host's clock: the median of the sessions' medians",
)
FLOOR_MS = Column(
    "floor ms", "floor_ms", ".2f", unit="ms", help="the bytes that a step must read over the datasheet's bandwidth"
)
R_FLOOR = Column(
    "r_floor", "r_floor", ".3f", unit="1", help="floor over step: the fraction of the memory floor that is reached"
)
PEAK = Column("peak GB", "peak_bytes", ".2f", scale=1e9, unit="GB", help="memory at its peak, of the worst session")


def cell_columns(names: Iterable[str]) -> list[Column]:
    """Returns the columns of these fields."""
    return [CELL[name] for name in names]
