"""Rows as text."""

import csv
import io
import json
from dataclasses import make_dataclass, replace

from analysis import form
from analysis.form import Column
from analysis.group import shared
from analysis.row import Row
from analysis.tables._budgetrow import GroupRow
from tests.support.frames import GROUP


def row(**values):
    """A row with these fields."""
    return make_dataclass("Some", values, bases=(Row,), frozen=True)(**values)


def test_an_optional_column_without_a_value_is_left_out():
    columns = [Column("a", "a", "d"), Column("b", "b", ".1f", optional=True)]
    assert form.markdown_table([row(a=1, b=None)], columns) == ["| a |", "|---|", "| 1 |"]
    assert form.markdown_table([row(a=1, b=None), row(a=2, b=3)], columns)[2:] == ["| 1 | – |", "| 2 | 3.0 |"]


def test_a_column_that_hides_zero_is_left_out_where_there_is_nothing_else():
    columns = [Column("a", "a", "d"), Column("b", "b", "d", optional=True, hides_zero=True)]
    assert form.markdown_table([row(a=0, b=0)], columns) == ["| a |", "|---|", "| 0 |"]
    assert form.markdown_table([row(a=0, b=0), row(a=1, b=2)], columns)[2:] == ["| 0 | – |", "| 1 | 2 |"]


def test_a_number_is_scaled_before_it_is_shown():
    assert Column("GB", "bytes", ".2f", scale=1e9).text(row(bytes=15_740_343_808)) == "15.74"


def test_a_short_range_has_three_digits_and_no_exponent():
    assert form.short_range(6.432, 69.561) == "6.43–69.6"
    assert form.short_range(40.01, 999.6) == "40–1000"  # 1e+03 with three digits
    assert form.short_range(122.6, 2010.4) == "123–2010"
    assert form.short_range(15.3, None) == "15.3–"


def test_csv_keeps_every_field_of_every_row():
    rows = [row(a=1, flags=["x", "y"]), row(a=None, flags=[], terms=[{"ms": 1.5}], valid=True)]
    first, second = csv.DictReader(io.StringIO(form.csv_text(rows)))
    assert first == {"a": "1", "flags": "x; y", "terms": "", "valid": ""}
    assert second == {"a": "", "flags": "", "terms": json.dumps([{"ms": 1.5}]), "valid": "true"}


def test_groups_that_were_not_measured_say_why():
    group = replace(GROUP, gpu="l4", status="oom", valid=False, sessions=2, superseded=1, reasons=["r"])
    assert form.sentences_of_invalid([GroupRow(**shared(group, GroupRow))], ("gpu", "options")) == [
        "- Not measured (oom), 2 sessions (1 more of older code): l4: r"
    ]


def test_a_bar_in_a_name_ends_no_cell():
    assert form.markdown_table([row(a="x|y")], [Column("a", "a")])[2] == "| x\\|y |"


def test_marks_have_letters_in_their_order():
    assert form.letters([["gate-1", "drifting"], [], ["gate-1"]]) == {"drifting": "a", "gate-1": "b"}
