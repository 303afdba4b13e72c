"""Lines about a record: short, on one line, and each begins with the place of a field."""

from __future__ import annotations

import pytest

from runner.record import line


def test_a_long_value_is_cut_in_its_middle() -> None:
    shown = line.short_repr("a" * 50 + "b" * 50)
    assert len(shown) == 60
    assert (shown[:5], shown[-5:]) == ("'aaaa", "bbbb'")
    assert "..." in shown


def test_a_control_character_does_not_reach_the_terminal() -> None:
    assert line.short_repr("a\x1b[31m\nb") == r"'a\x1b[31m\nb'"


@pytest.mark.parametrize(
    ("name", "section", "place"),
    [
        ("steps", "", "steps"),
        ("steps", "protocol", "protocol.steps"),
        ("double-quant", "cell.options", "cell.options.double-quant"),
        ("two\nlines", "cell", r"cell.'two\nlines'"),
        ("", "cell", "cell.''"),
        ("a" * 60, "", "a" * 60),
    ],
)
def test_a_place_is_the_names_down_to_the_field(name: str, section: str, place: str) -> None:
    assert line.place_of(name, section) == place


def test_a_name_longer_than_any_field_is_cut() -> None:
    assert len(line.place_of("a" * 61, "")) == 60


def test_two_values_that_should_be_one_are_both_named() -> None:
    assert [*line.unequal("cell.gpu", "l4", "gpu.key", "l4")] == []
    assert [*line.unequal("cell.gpu", "l4", "gpu.key", "h200")] == ["cell.gpu: 'l4', but gpu.key is 'h200'"]
    assert [*line.unequal("cell.ctx", 0, "request.ctx", None)] == ["cell.ctx: 0, but request.ctx is None"]


def test_a_limit_itself_is_within_it() -> None:
    assert [*line.too_small("peak", 10.0, 10, "weights")] == [*line.too_large("peak", 10.0, 10, "the device has")] == []
    assert [*line.too_small("peak", 9.5, 10, "weights")] == ["peak: 9.5, less than weights (10)"]
    assert [*line.too_large("peak", 2e9, 1e9, "the device has")] == ["peak: 2e+09, more than the device has (1e+09)"]


def test_a_value_or_a_limit_that_nobody_knows_is_not_compared() -> None:
    assert [*line.too_small("peak", None, 10, "weights")] == [*line.too_small("peak", 1.0, None, "weights")] == []
    assert [*line.too_large("peak", None, 10, "the device has")] == []
