"""How long a session will take, by the newest record of its cell."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.record import record
from runner.record.expected import expected_s
from tests.support.derive import typed
from tests.support.records import cpu_record

RECORD = typed(cpu_record())


def write(folder: Path, index: int, **changes: Any) -> Path:
    """Writes a record of that age, and returns its path."""
    made = replace(RECORD, session=replace(RECORD.session, index=index), **changes)
    path = folder / record.file_name(made.cell, made.session)
    record.write(made, path)
    os.utime(path, (index, index))
    return path


def test_the_newest_session_of_the_cell_counts(tmp_path: Path) -> None:
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol) is None
    write(tmp_path, 1, cost_s=replace(RECORD.cost_s, total=80.0))
    write(tmp_path, 2, cost_s=replace(RECORD.cost_s, total=90.0))
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol) == 90.0


def test_another_protocol_or_cell_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert expected_s(tmp_path, RECORD.cell, replace(RECORD.protocol, steps=7)) is None
    assert expected_s(tmp_path, replace(RECORD.cell, runtime="graph"), RECORD.protocol) is None


def test_another_condition_of_the_host_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, cost_s=replace(RECORD.cost_s, total=80.0))
    write(
        tmp_path, 2, cost_s=replace(RECORD.cost_s, total=300.0), request={**RECORD.request, "host_condition": "busy:8"}
    )
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol) == 80.0
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol, host_condition="busy:8") == 300.0
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol, host_condition="pinned:1") is None


def test_the_pass_of_energy_counts_for_a_session_that_measures_it_alone(tmp_path: Path) -> None:
    write(tmp_path, 1, cost_s=replace(RECORD.cost_s, total=26.0))
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol, energy=True) is None
    cost_s = replace(RECORD.cost_s, total=74.0, energy=46.0)
    write(tmp_path, 2, cost_s=cost_s, request={**RECORD.request, "energy": "on"})
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol, energy=True) == 74.0
    # a session without energy takes as long as the rest of the newest one
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol) == 74.0 - 46.0


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", json.dumps({"keys": {"cell_key": RECORD.cell.key}}), '{"request": []}']
)
def test_a_file_that_cannot_be_read_is_skipped(tmp_path: Path, content: str) -> None:
    write(tmp_path, 1, cost_s=replace(RECORD.cost_s, total=80.0))
    write(tmp_path, 2).write_text(content)
    assert expected_s(tmp_path, RECORD.cell, RECORD.protocol) == 80.0
