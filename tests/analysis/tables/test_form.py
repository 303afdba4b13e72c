"""Rows as text."""

import csv
import io
import json

from analysis.tables import form
from analysis.tables.form import Column


def test_an_optional_column_without_a_value_is_left_out():
    columns = [Column("a", "a", "d"), Column("b", "b", ".1f", optional=True)]
    assert form.markdown_table([{"a": 1, "b": None}], columns) == ["| a |", "|---|", "| 1 |"]
    assert form.markdown_table([{"a": 1, "b": None}, {"a": 2, "b": 3}], columns)[2:] == ["| 1 | – |", "| 2 | 3.0 |"]


def test_a_number_is_scaled_before_it_is_shown():
    assert Column("GB", "bytes", ".2f", scale=1e9).text({"bytes": 15_740_343_808}) == "15.74"


def test_csv_keeps_every_field_of_every_row():
    rows = [{"a": 1, "flags": ["x", "y"]}, {"a": None, "flags": [], "terms": [{"ms": 1.5}], "valid": True}]
    first, second = csv.DictReader(io.StringIO(form.csv_text(rows)))
    assert first == {"a": "1", "flags": "x; y", "terms": "", "valid": ""}
    assert second == {"a": "", "flags": "", "terms": json.dumps([{"ms": 1.5}]), "valid": "true"}


def test_groups_that_were_not_measured_say_why():
    words = {"gpu": "l4", "options": "", "flags": [], "reasons": ["r"]}
    row = {"status": "oom", "sessions": 2, "superseded": 1, "older_code": False, **words}
    assert form.sentences_of_invalid([row], ("gpu", "options")) == [
        "- Not measured (oom), 2 sessions (1 more of older code): l4: r"
    ]


def test_a_bar_in_a_name_ends_no_cell():
    assert form.markdown_table([{"a": "x|y"}], [Column("a", "a")])[2] == "| x\\|y |"
