"""The line of an answer as text."""

from __future__ import annotations

from analysis.question import Line, flagged


def test_the_words_of_a_line_have_its_number_and_its_caveat() -> None:
    assert Line("no row is valid").words == "no row is valid."
    assert Line("of the floor", "20 %").words == "20 %: of the floor."
    assert Line("of the floor", "20 %", None, "Flags: drifting").words == "20 %: of the floor. Flags: drifting."


def test_a_caveat_names_each_flag() -> None:
    assert flagged([]) == ""
    assert flagged(["drifting", "gate-1"]) == "Flags: drifting, gate-1"
