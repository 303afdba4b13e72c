"""The list of cells to measure again is that of the committed records."""

from pathlib import Path

import pytest

from runner.record import record, spool
from tests import measure_again
from tests.support.records import example_record, failed_record, of_gate_version_1


@pytest.mark.medium
def test_the_page_is_what_the_command_prints():
    committed = map(record.read, spool.record_files(measure_again.RECORDS))
    page = measure_again.page(measure_again.cells(committed))
    assert (Path(__file__).resolve().parents[1] / "docs" / "measure-again.md").read_text() == page


def test_a_cell_is_listed_until_a_session_of_the_present_version_has_measured_it():
    first, other = example_record(), example_record(cell={"ctx": 4096})
    older = [of_gate_version_1(first), of_gate_version_1(first), of_gate_version_1(other), failed_record()]
    assert [(cell["ctx"], count) for cell, count in measure_again.cells(older)] == [(2048, 2), (4096, 1)]
    assert [(cell["ctx"], count) for cell, count in measure_again.cells([*older, first])] == [(4096, 1)]
