"""The fields of a row, and their words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from analysis import form
from tests.support.candidates import CONFIGURATION, measured, predicted, published, row_of, tail_of


def test_a_measured_row_has_its_group_its_tail_and_its_link() -> None:
    row = row_of(measured(tail_of(slow=3), ["drifting"]), deadline_ms=20.0)
    assert (row.sessions, row.hosts, row.flags) == (3, 1, ["drifting"])
    assert row.anchor is not None
    assert (row.missed, row.chunks, row.miss_probability) == (3, 300, 0.01)
    assert row.miss_upper is not None
    assert row.miss_words == f"1 % (≤ {100 * row.miss_upper:.3g} %)"
    assert row.sample_words == f"300 / {row.tau:.1f} = {row.n_eff:.0f}"
    assert row.tokens_per_s == pytest.approx(1000 / row.step_wall_ms)


def test_a_range_may_have_no_upper_end() -> None:
    found, endless = row_of(predicted(10.0, 20.0)), row_of(predicted(10.0, None))
    assert (found.step_words, found.short_step_words) == ("11.00 [10–20]", "10–20")
    assert (endless.step_words, endless.meets_from_ms, endless.meets) == ("11.00 [10–]", None, "uncertain")
    assert (row_of(published(1.0)).step_words, row_of(published(1.0)).short_step_words) == ("1.00", "1.00")


def test_an_untested_prediction_says_so() -> None:
    assert row_of(predicted(1.0, 2.0, untested=True)).evidence == "predicted, untested"
    assert row_of(predicted(1.0, 2.0)).evidence == "predicted"


def test_energy_has_its_range_from_three_sessions_on() -> None:
    one = row_of(measured(tail_of(), joules_per_token=1.0))
    three = row_of(measured(tail_of(), joules_per_token=1.0, joules_low=0.95, joules_high=1.05))
    assert (one.joules_words, three.joules_words) == ("1.000", "1.000 [0.950–1.050]")
    assert row_of(published(1.0)).joules_words is None


def test_a_name_has_each_word_once() -> None:
    fused = replace(published(1.0), configuration=replace(CONFIGURATION, kernel="fused", runtime="fused"))
    assert row_of(fused).title == "h200 bf16 fused"


def test_every_row_is_json() -> None:
    rows = [row_of(measured(tail_of())), row_of(published(1.0)), row_of(predicted(1.0, None))]

    def refused(constant: str) -> None:
        raise AssertionError(constant)  # Infinity and NaN are not JSON

    first, *_ = json.loads(form.json_text(rows), parse_constant=refused)
    assert first["miss_bounds"][-1].keys() == {"from_ms", "share", "upper"}
    assert form.csv_text(rows).count("\n") == 4


def test_the_bound_on_p99_is_beside_what_the_deadline_is_for() -> None:
    step = row_of(measured(tail_of()))
    assert step.step_words == f"{step.step_wall_ms:.2f} (≤ {step.p99_ms:.2f})"
    chunk = row_of(measured(tail_of(count=3000, tokens=8), step_ms=8.0), tokens=8, deadline_ms=400.0)
    assert chunk.p99_ms is not None
    assert (chunk.step_words, chunk.chunk_words) == ("8.00", f"{chunk.chunk_ms:.2f} (≤ {chunk.p99_ms:.2f})")


def test_several_tokens_have_the_range_of_a_prediction() -> None:
    chunk = row_of(predicted(10.0, 20.0, chunk_ms=88.0), tokens=8, deadline_ms=400.0)
    assert (chunk.chunk_words, chunk.short_chunk_words) == ("88.00 [80–160]", "80–160")
    assert row_of(published(10.0, chunk_ms=80.0), tokens=8).short_chunk_words == "80.00"
