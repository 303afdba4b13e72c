"""Labelled texts and aligned columns."""

from __future__ import annotations

import pytest

from runner import layout


def test_a_long_text_is_wrapped_below_its_label() -> None:
    assert [*layout.line("arm a", "one two three", 20)] == ["  arm a     one two", "            three"]


def test_each_column_is_as_wide_as_its_widest_text_and_numbers_end_at_the_right() -> None:
    rows = [("gpu", "memory", "name"), ("rtx-pro-6000", "96 GB", "long name"), ("l4", "1024 GB", "")]
    assert layout.aligned(rows, {"memory"}) == [
        "gpu            memory  name",
        "rtx-pro-6000    96 GB  long name",
        "l4            1024 GB",
    ]


def test_the_last_column_is_wrapped_below_itself() -> None:
    rows = [("gpu", "flags"), ("l4", "drifting, host-busy, in-cache")]
    assert layout.aligned(rows, (), 27, indent="  ") == [
        "  gpu  flags",
        "  l4   drifting, host-busy,",
        "       in-cache",
    ]


def test_where_too_little_is_left_the_last_column_is_below_its_row() -> None:
    rows = [("gpu", "ms", "flags"), ("l4", "1.5", "drifting, host-busy, in-cache"), ("h100", "0.5", "")]
    assert layout.aligned(rows, {"ms"}, 30, indent="  ") == [
        "  gpu    ms",
        "  l4    1.5",
        "    flags: drifting,",
        "           host-busy, in-cache",
        "  h100  0.5",
    ]


def test_a_line_is_at_most_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, expected in (("80", 80), ("200", 120)):
        monkeypatch.setenv("COLUMNS", columns)
        assert layout.width() == expected
