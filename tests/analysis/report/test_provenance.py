"""The origin of each number: sessions, keys and runs of every row."""

import csv
import io
import json
from collections import Counter
from dataclasses import replace

import polars
import pytest

from analysis.report import derived, files, page, provenance
from analysis.report.provenance import Session
from tests.support.claimcells import sessions
from tests.support.hostconditions import conditioned
from tests.support.pages import Page, html_of, with_frame, with_rows
from tests.support.records import example_record
from tests.support.reports import COMMITTED


@pytest.mark.slow
def test_each_group_names_all_its_sessions_keys_and_environment(kinds, parsed):
    title, *rows = parsed.tables["table-origins"]
    assert title[:2] == ["row", "n"]
    line = next(row for row in rows if row[0] == "line of steps against launches, all cells")
    assert len(rows) == len(kinds.rows["floor"]) + len(kinds.rows["graphs"]) + 1
    assert int(line[1]) == kinds.rows["differences"][-1].sessions
    bf16 = next(row for row in rows if row[1] == "6")
    assert bf16[3] == "2025-10-09 to 2025-10-14"  # six sessions on six days
    assert bf16[2] == "6 sessions" + "".join(f"{number:016x} {number}.json" for number in range(6))
    group = next(row for row in kinds.rows["floor"] if row.sessions == 6)
    assert bf16[5:8] == [group.cell_key, group.code_key, group.env_key]
    environments = parsed.tables["table-environments"]
    assert environments[0][2:5] == ["python", "torch", "cuda"]
    assert environments[1][:4] == [group.env_key, "11", "3.11.7", "2.11.0+cu130"]


@pytest.mark.slow
def test_environments_differ_in_a_version_that_the_page_shows(committed_html):
    heads, *rows = Page(committed_html).tables["table-environments"]
    assert heads[2:] == ["python", "torch", "cuda", "transformers", "triton", "kernel package", "driver"]
    versions = [tuple(row[2:]) for row in rows]
    assert len(versions) == len(set(versions)) == 6


@pytest.mark.slow
def test_an_ab_of_a_store_names_its_own_run(committed):
    (first, *_) = committed.reading.compared
    of_store = with_frame(committed, ab_runs={first.manifest.id: "f" * 32})
    named = [each[0] for each in Page(html_of(of_store)).tables["table-origins"] if "f" * 32 in each[0]]
    assert named == [f"A/B {first.manifest.id}: {first.manifest.title} (run {'f' * 32})"]


def lines_of(found):
    return list(csv.DictReader(io.StringIO(files.files(found)[files.SESSIONS])))


@pytest.mark.slow
def test_a_file_beside_the_page_names_every_session_of_every_row_with_its_record(committed, committed_html):
    lines = lines_of(committed)
    of_rows = Counter(line["row"] for line in lines)
    counted = {row.anchor: row.sessions for row in committed.rows["floor"]}
    counted |= {row.anchor: 2 * row.sessions for row in committed.rows["graphs"]}  # of each arm so many
    others = {
        anchor: len(sessions)
        for row in derived.traced_rows(committed.rows)
        for anchor, sessions in row.origins.items()
        if anchor not in counted
    }
    assert all(anchor.startswith(("set-", "ab-")) for anchor in others)
    assert of_rows == counted | others
    ids = {found["id"] for _, found in Page(committed_html).tags if "id" in found}
    assert of_rows.keys() <= ids
    for line in lines:
        record = json.loads((COMMITTED / line["record"]).read_text())
        assert record["session"]["id"] == line["session"]
        assert {key: line[key] for key in ("cell_key", "code_key", "env_key", "host_id")}.items() <= record[
            "keys"
        ].items()
        assert (line["status"], line["valid"]) == (record["outcome"]["status"], str(record["valid"]).lower())
        assert int(line["started_ms"]) == record["session"]["started_ms"]


@pytest.mark.medium
def test_sessions_under_a_condition_of_the_host_are_named_by_the_rows_that_have_them(made_of):
    usual, pinned = sessions("h100", [20.0, 40.0])
    lines = lines_of(found := made_of([usual, conditioned("pinned:1", pinned)]))
    row = next(row for row in found.rows["differences"] if getattr(row, "condition", None) == "pinned:1")
    ids = next(iter(row.origins.values()))
    assert [line["session"] for line in lines if line["row"] == row.anchor] == ids == ["0" * 15 + "1"]
    assert [line["record"] for line in lines if line["row"] == row.anchor] == ["1.json"]


@pytest.mark.slow
def test_the_file_has_sessions_without_a_code_key_and_those_of_a_store_with_their_runs(kinds, html):
    (failed,) = [line for line in lines_of(kinds) if line["status"] == "oom"]
    assert (failed["code_key"], failed["valid"], failed["record"]) == ("", "false", "11.json")
    runs = kinds.frame.sessions.with_columns(run_id=polars.lit("run-") + polars.col("session").str.slice(12))
    of_store = with_frame(kinds, sessions=runs, record_files={})
    for line in lines_of(of_store):
        assert (line["run_id"], line["record"]) == (f"run-{line['session'][12:]}", "")
    shown = html_of(of_store)
    assert "<div>0000000000000000 run-0000</div>" in shown
    assert ("the file of its record below" in shown, "the file of its record below" in html) == (False, True)


@pytest.mark.medium
def test_the_page_of_a_hundred_thousand_sessions_names_the_first_of_each_row_and_stays_small(made_of):
    found = made_of([example_record()])
    keys = [f"{number:012x}" for number in range(1000)]
    sessions = found.frame.sessions.drop("cell_key", "session").join(polars.DataFrame({"cell_key": keys}), how="cross")
    sessions = sessions.join(polars.DataFrame({"session": [f"{number:016x}" for number in range(100)]}), how="cross")
    tables = {
        name: [replace(row, cell_key=key, model=f"model-{key}") for row in found.rows[name] for key in keys]
        for name in ("floor", "budget")
    }
    large = with_rows(with_frame(found, sessions=sessions), **tables, claims=[], differences=[])
    shown = page.html(large, {one.name: b"" for one in large.figures})
    assert len(shown) < 4_000_000
    assert shown.count("and 95 more, in sessions.csv") == 1000
    assert "this page lists the first 5 of each row" in shown
    assert provenance.csv(large.sessions).count("\n") == 1 + 100_000


def test_a_session_is_labelled_with_its_run_or_file_and_a_file_that_has_the_id_stands_alone():
    assert Session("0123", None).label == "0123"
    assert Session("0123", "run-7").label == "0123 run-7"
    assert Session("0123", "inner/cell-0123.json").label == "inner/cell-0123.json"


def test_a_day_is_that_of_utc():
    # 86 400 000 ms are a day
    assert [provenance.day(ms) for ms in (0, 86_399_999, 86_400_000)] == ["1970-01-01", "1970-01-01", "1970-01-02"]
