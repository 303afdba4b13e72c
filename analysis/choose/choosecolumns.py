"""The columns of the choose table."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import terminaltable
from analysis.cellcolumns import CELL, FLAGS, cell_columns
from analysis.choose.chooserow import ChooseRow
from analysis.form import Column, distinguishing

NAMED = ("gpu", "quant", "kernel", "runtime")
DISTINGUISHING = ("cache", "dtype", "options", "scheme", "attention", "weights_id", "protocol", "env_key", "code_key")
"""Shown, in this order, only if rows would otherwise look alike."""
MEETS = Column(
    "meets",
    "meets",
    help="whether the row meets the deadline and every other limit. `yes`: the tail that was measured is bounded; "
    "`median only`: the median meets it, and nothing is promised about the tail; `predicted`: the upper end of the "
    "range meets it; `uncertain`: the deadline is inside the range",
)
EVIDENCE = Column(
    "evidence",
    "evidence",
    help="whether the row was measured here, published in the paper, or predicted; `untested`: for an architecture "
    "without a record",
)
MISS = Column(
    "missed (≤)",
    "miss_words",
    help="share of the steps, or chunks of steps, of the worst session that missed the deadline, and the upper 95 % "
    "confidence bound on the probability of a miss on that session's host; from 3 sessions on",
)
PREFILL = Column(
    "first token ms",
    "prefill_ms",
    ".0f",
    unit="ms",
    help="recorded time to process the prompt; the deadline does not include it",
)
CHUNK = Column("chunk ms (p99 ≤)", "chunk_words", unit="ms", help="the same for the tokens that the deadline is for")
VALUES = (
    EVIDENCE,
    MEETS,
    Column(
        "ms/step (p99 ≤)",
        "step_words",
        unit="ms",
        help="one step: median, published, or predicted with its range; from 3 sessions of enough steps on with the "
        "upper 95 % confidence bound on the 99th percentile in the worst session",
    ),
    CHUNK,
    MISS,
    Column(
        "n / τ = n_eff",
        "sample_words",
        optional=True,
        help="steps (or chunks) of that session, their autocorrelation time, and the number of independent ones that "
        "they are worth",
    ),
    Column("sessions", "sessions", "d", help="number of sessions, each a fresh process"),
    Column("tokens/s", "tokens_per_s", ".1f", unit="1/s", help="throughput of one stream: 1000 divided by ms/step"),
    Column("J/token", "joules_words", unit="J", help="energy per token, with its range over sessions"),
    Column("$/Mtok", "usd_per_mtok", ".2f", unit="$", help="price of a million tokens of one stream (batch 1)"),
    Column(
        "GB left",
        "memory_left_bytes",
        ".1f",
        scale=1e9,
        unit="GB",
        help="memory of the card beyond the session's peak; weights and cache alone for published rows",
    ),
    PREFILL,
    FLAGS,
    Column("notes", "notes", help="the number that decides, the source of one that was not measured here, and caveats"),
)


def columns(rows: Sequence[ChooseRow], prefill: bool = True) -> list[Column]:
    """Returns the columns for these rows; those of chunks only if the deadline is for several tokens."""
    left_out = [*([] if prefill else [PREFILL]), *([] if any(row.tokens > 1 for row in rows) else [CHUNK])]
    cell = cell_columns((*NAMED, *distinguishing(rows, NAMED, DISTINGUISHING)))
    return [*cell, *(column for column in VALUES if column not in left_out)]


ALL = (*CELL.values(), *VALUES)


def names(rows: Sequence[ChooseRow]) -> list[str]:
    """Returns each row's configuration without its GPU, with the fields that tell it from others of the same name."""
    return terminaltable.names(rows, NAMED[:1], NAMED[1:], DISTINGUISHING)
