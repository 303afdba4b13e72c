"""Flags on the page, with what they mean."""

import pytest

from analysis.report import words
from runner.record.flags import FLAG_MEANINGS
from tests.support.pages import html_of
from tests.support.records import example_record, packed_record


@pytest.mark.slow
def test_flags_are_explained_those_of_the_tables_too(html, made_of):
    assert "faster than the bandwidth probe allows" in html  # the invalid session's flag
    assert "<dt>drifting</dt>" not in html
    elsewhere = example_record(cell={"dtype": "bf16"})
    elsewhere["keys"]["host_id"] = "f" * 12
    shown = html_of(made_of([packed_record(), elsewhere]))
    assert "<dt>other-host</dt>" in shown


def test_each_flag_is_explained_once_in_the_order_of_names_and_one_of_a_newer_version_too():
    found = words.explained(["throttled", "from-the-future", "drifting", "throttled"])
    assert list(found) == ["drifting", "from-the-future", "throttled"]
    assert found["from-the-future"] == "not known to this version"
    assert found["throttled"] == FLAG_MEANINGS["throttled"]


def test_tables_whose_rows_have_no_flags_have_none_to_explain(kinds):
    assert words.flags({"paper": kinds.rows["paper"]}) == {}
    assert words.flags({}) == {}
