"""Columns that several tables share: the fields of a cell, sessions, and flags."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.form import Column

_MEANINGS = {
    "gpu": "the GPU's name in the catalogue",
    "model": "the model's name in the catalogue",
    "ctx": "the context length: tokens in the KV cache before the first timed step",
    "quant": "the weight format; bf16 is unquantised",
    "kernel": "the kernel that multiplies the weights",
    "runtime": "how a step is executed",
    "cache": "the KV cache: growing (dynamic), of a fixed size (static), or the engine's own",
    "dtype": "the dtype of everything that is not packed",
    "attention": "the requested implementation of attention",
    "weights_id": "the weights: synthetic, a revision on the hub, or a hash of their content",
    "options": "options of runtime and kernel",
    "protocol": "name of the protocol, warm-up steps and timed steps",
    "env_key": "hash of the versions of Python, torch, CUDA, the kernel's package and the driver",
    "code_key": "hash of the code that measured",
}
CELL = {
    name: Column(name, name, "d" if name == "ctx" else "s", unit="tokens" if name == "ctx" else "", help=text)
    for name, text in _MEANINGS.items()
}
"""Columns by field of a cell or key of a group."""
FLAGS = Column("flags", "flags", help="flags of the row's sessions: valid but suspect; each flag is explained below")
WALL_ENDS = (
    Column(
        "low",
        "step_wall_ms_low",
        ".2f",
        unit="ms",
        help="lower end of the confidence interval of ms/step over sessions; of their range below 5 sessions",
    ),
    Column("high", "step_wall_ms_high", ".2f", unit="ms", help="upper end of the same interval"),
    Column("interval", "interval_label", help="coverage of the interval from low to high, or `range`"),
)
SESSIONS = Column("n", "sessions", "d", help="number of sessions, each a fresh process; links to their origin")
WALL = Column(
    "ms/step",
    "step_wall_ms",
    ".2f",
    unit="ms",
    help="one step including the read-back of its token, by the host's clock: the median of the sessions' medians",
)
FLOOR_MS = Column(
    "floor ms",
    "floor_ms",
    ".2f",
    unit="ms",
    help="lower bound of the step: the bytes that it must read, divided by the datasheet bandwidth",
)
R_FLOOR = Column(
    "r_floor", "r_floor", ".3f", unit="1", help="floor divided by step: the achieved fraction of the memory-bound limit"
)
JOULES = (
    Column(
        "J/token",
        "joules_per_token",
        ".3f",
        optional=True,
        unit="J",
        help="energy of the whole card per step of one stream: the median of the sessions that measured it",
    ),
    Column(
        "J low",
        "joules_per_token_low",
        ".3f",
        optional=True,
        unit="J",
        help="smallest J/token of these sessions, if they are at least three",
    ),
    Column("J high", "joules_per_token_high", ".3f", optional=True, unit="J", help="largest J/token of these sessions"),
    Column(
        "J/token above idle",
        "joules_per_token_above_idle",
        ".3f",
        optional=True,
        unit="J",
        help="the same without the energy that the idle card takes in that time",
    ),
)
PEAK = Column("peak GB", "peak_bytes", ".2f", scale=1e9, unit="GB", help="peak device memory of the worst session")
USD_PER_MTOK = Column(
    "$/Mtok",
    "usd_per_mtok",
    ".2f",
    optional=True,
    unit="$",
    help="price of a million tokens of one stream (batch 1), at the catalogue's price per hour or your own (--price of "
    "`python -m analysis`)",
)

ORIGIN = Column(
    "origin",
    "origin_names",
    help="groups of sessions and A/Bs behind the row, whose sessions are listed below; the same names are links in "
    "the report",
)

P99 = Column(
    "p99 ≤",
    "p99_ms",
    ".2f",
    optional=True,
    unit="ms",
    help="upper 95 % bound on the 99th percentile of the steps of the worst session, at its number of independent "
    "steps; empty if the steps of a session are too few",
)
SPARSE = {"step_wall_ms": ("p99_ms", "joules_per_token")}
"""Columns that few sessions have a value for, by the column that shows these below its own on a page."""


def cell_columns(names: Iterable[str]) -> list[Column]:
    """Returns the columns of these fields."""
    return [CELL[name] for name in names]


def tail(percent: int) -> Column:
    """Returns the column of a percentile of the step."""
    return Column(
        f"p{percent} ≤",
        f"step_wall_p{percent}_ms",
        ".2f",
        optional=True,
        unit="ms",
        help=f"{percent}th percentile of the steps of the worst session, if it has enough steps; as if they were "
        "independent",
    )
