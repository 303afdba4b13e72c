"""Folders of records, and what a report has of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.report import contents
from analysis.report.contents import Contents
from analysis.sources.selection import Selection
from tests.support.derive import derive, judge
from tests.support.records import (
    STARTED_MS,
    as_session,
    cpu_record,
    example_record,
    failed_record,
    fp16_gate,
    packed_record,
)

COMMITTED = Path(__file__).parents[2] / "experiments" / "records"
DAY_MS = 86_400_000


def write_records(folder: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Each with a session id of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, found in enumerate(records):
        record = as_session(found, number)
        (folder / f"{number}.json").write_text(json.dumps(record))
    return folder


def every_kind() -> Iterable[dict[str, Any]]:
    """Unquantised and quantised, on a GPU and a CPU, valid, invalid and not measured."""
    gate = fp16_gate()
    for number in range(6):
        yield example_record(step_ms=36.0 + number / 10, session={"started_ms": STARTED_MS + number * DAY_MS})
    yield example_record(step_ms=36.0, cell={"dtype": "fp16"}, gate=gate)
    yield packed_record(step_ms=18.0)
    yield packed_record("bnb-nf4", "bitsandbytes", "bf16", step_ms=39.0)
    yield cpu_record()
    yield too_fast()
    yield failed_record("oom", cell={"ctx": 16384})


def too_fast() -> dict[str, Any]:
    """Steps of 1 ms by the host's clock, which is impossible, so that the session is invalid."""
    found = example_record()
    found["passes"]["wall"]["steps_ms"] = [1.0 + step / 1e3 for step in range(30)]
    derive(found)
    judge(found)
    return found


def contents_of(folder: Path) -> Contents:
    return contents.contents(Selection.from_options(None, folder, None, None, None))
