"""Records that the claims of the paper are tested by: sessions of one cell, and A/B rows of eager against graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from analysis.tables import _claimtests, claims
from analysis.tables._claimrow import EvidenceRow
from analysis.tables._trace import traces
from analysis.tables.graphs import GraphsRow
from tests.support.frames import AB_ROW, frame_of
from tests.support.papers import with_cell
from tests.support.records import H100, H200, example_record, packed_record

Record = dict[str, Any]
CARDS = {"h100": H100, "h200": H200}


def sessions(gpu: str, steps_ms: Sequence[float], busy_ms: float = 4.87, **cell: Any) -> Iterator[Record]:
    """Sessions of an eager static cell on that card, one for each step; `cell` changes it."""
    for step_ms in steps_ms:
        found = example_record(step_ms=step_ms, busy_ms=busy_ms, gpu=CARDS[gpu], cell={"gpu": gpu, **cell})
        yield with_cell(found)


def packed(steps_ms: Sequence[float]) -> Iterator[Record]:
    """Sessions of GPTQ with ExLlamaV2 in eager steps on the H200."""
    for step_ms in steps_ms:
        yield with_cell(packed_record(step_ms=step_ms))


def ab_row(gpu: str, ratio: float, low: float, high: float, **changes: Any) -> GraphsRow:
    """An A/B of eager against graph in the paper's cell on that card."""
    fields = {"gpu": gpu, "ratio": ratio, "ratio_low": low, "ratio_high": high, **changes}
    return GraphsRow(**{**vars(AB_ROW), **fields}, superseded=0)


def evidence(claim: str, records: Sequence[Record], abs_: Sequence[GraphsRow] = ()) -> list[EvidenceRow]:
    """The tests of a claim for these records and A/Bs."""
    frame = frame_of(records)
    found = _claimtests.material(frame, abs_, claims.METRICS, traces(frame, []))
    rule, _ = _claimtests.RULES[claim]
    return list(rule(claim, found))
