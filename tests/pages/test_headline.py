"""The table of the front page."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.tables import floor
from tests.pages import headline
from tests.support.frames import frame_of
from tests.support.records import as_session, example_record, packed_record

ROOT = Path(__file__).parents[2]


def rows_of(*records, sessions=3):
    """The rows of these records, as if each were one of several sessions."""
    return [replace(row, sessions=sessions) for row in floor.rows(frame_of(records))]


def chosen(*records, sessions=3):
    return list(headline.chosen(rows_of(*records, sessions=sessions)))


def graph(step_ms, **changes):
    return example_record(cell={"runtime": "graph", "cache": "static", **changes}, step_ms=step_ms)


def test_a_gpu_has_plain_pytorch_and_the_fastest_row_of_each_format():
    plain = example_record(cell={"cache": "static"}, step_ms=20)
    rows = chosen(plain, graph(8), graph(7, dtype="fp16"), graph(5, ctx=4096), packed_record())
    assert [(row.runtime, row.quant, row.dtype) for row in rows if row.quant == "bf16"] == [
        ("eager", "bf16", "bf16"),
        ("graph", "bf16", "fp16"),
    ]
    assert len([row for row in rows if row.quant != "bf16"]) == 1


def test_a_row_whose_passes_disagree_is_not_the_fastest():
    fast, steady = graph(4, dtype="fp16"), graph(8)
    rows = rows_of(as_session(fast, 1), as_session(steady, 2))
    unsteady = [replace(row, flags=["passes-disagree"]) if row.dtype == "fp16" else row for row in rows]
    assert [row.dtype for row in headline.chosen(rows)] == ["fp16"]
    assert [row.dtype for row in headline.chosen(unsteady)] == ["bf16"]


def test_two_sessions_are_no_row():
    assert chosen(graph(8), sessions=2) == []
    assert len(chosen(graph(8), sessions=3)) == 1


def test_a_tail_with_longer_windows_is_no_row():
    tail = [replace(row, protocol="tail-long-5-10x300") for row in rows_of(graph(7))]
    assert [row.step_wall_ms for row in headline.chosen([*tail, *rows_of(graph(8))])] == [8]


@pytest.mark.slow
def test_the_table_of_the_committed_records_fits_a_page():
    rows = list(headline.chosen(floor.rows(headline.Folder(headline.RECORDS).frame(floor.METRICS))))
    assert 1 < len(rows) <= 10
    assert len(headline.HEAD) <= 7
    first_of_gpu = {}
    for row in rows:
        first_of_gpu.setdefault(row.gpu, row)
    assert {(row.runtime, row.quant) for row in first_of_gpu.values()} == {("eager", "bf16")}
    rest = [row for row in rows if row is not first_of_gpu[row.gpu]]
    assert all(not headline.UNSTEADY & set(row.flags) for row in rest)
    assert len({(row.gpu, row.quant) for row in rest}) == len(rest)


def test_the_front_page_explains_the_columns_that_its_table_has():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (heads,) = re.findall(r"^\| GPU .*$", readme, re.MULTILINE)
    (terms,) = re.findall(r"How to read a row:\n\n((?:- .*\n)+)", readme)
    explained = re.findall(r"^- \*\*(.*?)\*\*", terms, re.MULTILINE)
    assert explained == ["r_floor", "p90 ≤", "flags"]
    assert all(term in heads for term in explained)
