"""The table at a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.choose import choosetext
from tests.support.candidates import CONFIGURATION, measured, predicted, published, row_of, tail_of

ROWS = [
    row_of(measured(tail_of(), ["mixed-host"], usd_per_mtok=5.5, memory_left_bytes=70e9, joules_per_token=2.0)),
    row_of(replace(published(17.36), configuration=replace(CONFIGURATION, gpu="l4", quant="gptq"))),
    row_of(predicted(10.0, 20.0, untested=True)),
]


def lines(width: int = 120) -> list[str]:
    return choosetext.text(ROWS, ["A sentence."], False, width).splitlines()


def test_each_row_is_one_line_with_its_marks_explained() -> None:
    head, first, second, third, blank, *below = lines()
    assert head.split("  ")[0] == "meets"
    assert first.split() == [
        *("yes", "h200", "bf16", "cublas", "graph", f"{ROWS[0].step_wall_ms:.2f}", f"{ROWS[0].p99_ms:.2f}"),
        *(
            f"{100 * ROWS[0].miss_upper:.3g}",
            "%",
            f"{ROWS[0].tokens_per_s:.1f}",
            "2.000",
            "5.50",
            "70.0",
            "measured",
            "(3)",
            "!",
        ),
    ]
    assert "gptq cublas graph*" in second
    assert third.endswith("  untested")
    assert "10–20" in third
    assert blank == ""
    assert below == [
        "measured (n): here, in n sessions",
        "untested: predicted for an architecture without a record",
        "! suspect: mixed-host (docs/flags.md)",
        "* speed only: accuracy not measured",
        "A sentence.",
        choosetext.MORE,
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_narrow_terminal_has_fewer_columns(width: int) -> None:
    found = lines(width)
    assert max(map(len, found[:4])) <= width
    assert {"meets", "ms/step", "evidence"} <= set(found[0].split())
    assert ("GB left" in found[0]) == (width >= 120)


def test_a_column_without_a_value_is_left_out() -> None:
    head = choosetext.text(ROWS[2:], [], False, 120).splitlines()[0]
    assert head.split() == ["meets", "gpu", "configuration", "ms/step", "tokens/s", "evidence"]


def test_a_deadline_for_several_tokens_shows_their_time_beside_its_bound() -> None:
    rows = [
        row_of(measured(tail_of(count=3000, tokens=8), step_ms=8.0), tokens=8, deadline_ms=400.0),
        row_of(predicted(10.0, 20.0), tokens=8, deadline_ms=400.0),
    ]
    head, first, second, *_ = choosetext.text(rows, [], False).splitlines()
    assert head.split()[3:8] == ["ms/step", "chunk", "ms", "p99", "≤"]
    assert first.split()[5:8] == ["8.00", f"{rows[0].chunk_ms:.2f}", f"{rows[0].p99_ms:.2f}"]
    assert "80–160" in second
    assert "chunk ms" not in lines()[0]


def test_a_long_range_has_no_exponent() -> None:
    rows = [row_of(predicted(100.0, 251.2), tokens=8, deadline_ms=400.0)]
    assert "800–2010" in choosetext.text(rows, [], False)


def test_the_first_token_is_shown_on_request() -> None:
    row = replace(ROWS[0], prefill_ms=61.4)
    for width in (60, 120):
        head, first, *_ = choosetext.text([row], [], True, width).splitlines()
        assert "first token ms" in head
        assert "61" in first.split()
    assert "first token ms" not in choosetext.text([row], [], False)
