"""The choose table in a report: its place, its texts, and the data of its page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from analysis.choose.limits import Limits
from analysis.reading import Reading
from analysis.sources.records import Folder
from analysis.tables import choose
from tests.support.candidates import measured, predicted, published, row_of, tail_of
from tests.support.records import example_record
from tests.support.reports import write_records

ROWS = [row_of(measured(tail_of(), usd_per_mtok=3.0)), row_of(predicted(10.0, None)), row_of(published(62.32))]


@pytest.mark.medium
def test_the_report_answers_for_the_place_with_the_most_sessions(tmp_path) -> None:
    records = [example_record(cell={"ctx": 4096}), example_record(cell={"ctx": 4096}), example_record()]
    source = Folder(write_records(tmp_path / "records", records))
    rows = choose.rows(Reading(source.frame(choose.TABLE.metrics), source))
    assert {(row.model, row.ctx, row.deadline_ms) for row in rows} == {("qwen2.5-7b", 4096, 50.0)}
    assert [row.sessions for row in rows if row.sessions] == [2]


def test_the_texts_say_how_many_rows_meet_the_limits() -> None:
    text = choose.markdown(ROWS, Limits(), prefill=False)
    assert "- qwen2.5-7b at ctx 2048: 1 of 3 rows meet 50 ms: 1 with a bounded tail.\n" in text
    assert "worst session, on its host" in text
    assert "(batch 1)" in text
    assert "first token ms" not in text
    assert "first token ms" in choose.markdown(ROWS, Limits(), prefill=True)
    assert "(batch 1)" not in choose.markdown(ROWS[1:], Limits(), prefill=False)
    assert choose.sentences([]) == []
    assert "newest" not in text
    assert "newest 20" in choose.markdown([replace(ROWS[0], sessions=21)], Limits(), prefill=False)


def test_the_ways_to_meet_a_deadline_are_counted_apart() -> None:
    rows = [row_of(published(10.0)), row_of(published(11.0)), row_of(predicted(1.0, 2.0)), row_of(published(60.0))]
    said = "3 of 4 rows meet it: none with a bounded tail, 2 by their medians only, 1 as predicted"
    assert choose.said(rows, "it") == said
    assert choose.said(rows[3:], "it") == "0 of 1 rows meet it"


def test_only_what_the_rows_need_is_explained() -> None:
    text = " ".join(choose.sentences([row_of(predicted(1.0, 2.0))]))
    assert "worst session" not in text
    assert "`median only`" not in text
    assert "`median only`" in " ".join(choose.sentences([row_of(published(90.0))]))


@pytest.mark.parametrize(("tokens", "protocol"), [(1, "tail-long"), (8, "tail-long --windows 17")])
def test_the_protocol_that_bounds_p99_depends_on_the_tokens(tokens: int, protocol: str) -> None:
    text = " ".join(choose.sentences([row_of(published(90.0), tokens=tokens)]))
    cell = f"`python -m runner cell --protocol {protocol}`"
    assert f"To bound it, measure at least 3 sessions of a cell with {cell}" in text


def test_the_price_per_hour_is_named() -> None:
    row = row_of(measured(tail_of(), usd_per_mtok=8.0, step_ms=8.0))  # 10⁶ steps of 8 ms are 2.22 h: 8 $ / 2.22 h
    assert "(batch 1), in $ per hour: h200 3.6 (`choose --price` changes it)" in " ".join(choose.sentences([row]))


def test_a_number_that_nobody_has_is_said_with_its_remedy() -> None:
    text = " ".join(choose.sentences([row_of(predicted(1.0, 2.0))]))
    assert "No row has J/token: `python -m runner cell --energy`" in text
    assert "No price is known of h200: `choose --price h200=DOLLARS`" in text
    known = [row_of(measured(tail_of(), usd_per_mtok=1.0, joules_per_token=2.0))]
    assert "No " not in " ".join(choose.sentences(known))
    assert choose.part(known).first[-3:] == ("miss_words", "usd_per_mtok", "flags")
    assert "joules_words" in choose.part(known).by_number  # sorted by value, not as text
    assert choose.part(ROWS).first[-2:] == ("usd_per_mtok", "flags")


def test_the_page_gets_what_it_needs_to_judge_a_row_again() -> None:
    typed = choose.part(ROWS).typed
    assert typed is not None
    assert (typed.value, typed.said) == (50.0, "1 of 3 rows meet it: 1 with a bounded tail")
    first, second, third = (json.loads(typed.data(row)) for row in ROWS)
    assert (first["word"], first["slow"], first["meets"]) == ("yes", ROWS[0].p99_ms, ROWS[0].p99_ms)
    assert first["bounds"][-1] == [ROWS[0].miss_bounds[-1].from_ms, 0, round(ROWS[0].miss_bounds[-1].upper, 6)]
    assert (second["slow"], second["meets"], second["bounds"]) == (10.0, None, [])
    assert [first["place"], third["place"], second["place"]] == [0, 1, 2]  # measured, published, predicted
    assert choose.part([]).typed is None


def test_a_bar_is_in_the_data_whatever_the_deadline() -> None:
    row = row_of(predicted(10.0, 20.0, memory_left_bytes=-1.0), deadline_ms=5.0)
    typed = choose.part([row]).typed
    assert typed is not None
    data = json.loads(typed.data(row))
    assert (data["fails"], data["lacks"]) == ("does not fit", "")
