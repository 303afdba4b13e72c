"""The largest term of a step with its remedy, or why no term is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from analysis.tables import _clocks, _remedies
from tests.support.clocks import CLOCKS, clocks, judged
from tests.support.frames import GROUP

RECORDS = Path(__file__).parents[3] / "experiments" / "records"


@pytest.mark.medium
@given(CLOCKS)
def test_a_cause_is_named_only_where_the_passes_agree(found):
    row = judged(**found)
    base = found["step_wall_revisit_ms"] or found["step_wall_ms"]
    span = found["step_span_ms"]
    if span is not None and abs(span - base) > _clocks.LIMIT * base:
        assert (row.is_attributed, row.largest) == (False, None)
        assert row.sentence.startswith("attribution is not possible: passes over the same lengths differ")
        assert not {"gaps", "kernels and gaps", "host", "new length"} & {term.name for term in row.terms}
    told = (("floor_ms", "step_busy_ms"), ("step_busy_ms", "step_span_ms"), ("step_span_ms", "step_wall_ms"))
    if span is not None and any(found[low] and found[high] and found[low] > found[high] for low, high in told):
        assert row.cuts or row.step_busy_ms is None or "kernels" not in {term.name for term in row.terms}


def test_a_wall_pass_that_is_longer_than_the_others_is_not_attributed():
    row = judged(protocol="tail-long-5-10x300")
    assert (row.is_attributed, row.largest) == (False, None)
    assert row.sentence.startswith(
        "attribution is not possible: with a protocol for tails the wall pass has more steps"
    )
    assert judged().is_attributed


def test_where_two_terms_are_nearer_than_the_passes_neither_is_called_the_largest():
    # kernels 13 − 3.5 = 9.5, gaps 22 − 13 = 9; the passes lie 1 of 23 apart
    row = judged(step_busy_ms=13.0, kernel_sum_ms=13.0, step_span_ms=22.0, step_wall_ms=23.0)
    assert (row.is_attributed, row.largest) == (True, None)
    assert row.sentence == (
        "`kernels` 9.50 and `gaps` 9.00 of 23.00 ms are the largest terms; passes that differ by 4.3 % cannot rank them"
    )
    assert "not attributed" not in {term.name for term in row.terms}


@pytest.mark.slow
def test_the_largest_term_is_named_with_what_removes_it(committed):
    fields = ("gpu", "model", "ctx", "runtime", "cache", "options")
    usual = [row for row in committed if row.protocol == "paper-5-30"]
    rows = {tuple(row.value(name) for name in fields): row for row in usual}
    assert rows["h200", "qwen2.5-7b", 2048, "graph", "static", ""].largest == "kernels"
    eager = judged()
    assert eager.largest == "gaps"
    assert "launch" not in eager.sentence  # launching the kernels need not take as long as the gaps do
    assert "one CUDA graph per step (runtime=graph)" in eager.sentence
    first = judged(step_wall_revisit_ms=21.0, step_wall_ms=60.0)
    assert first.largest == "new length"
    assert "a static cache (cache=static)" in first.sentence
    assert first.sentence.endswith("or `python -m runner cell --options sdpa:flash` if cuDNN is the attention backend")


@pytest.mark.slow
def test_no_cause_is_named_where_the_passes_of_one_session_disagree(committed):
    flagged = [row for row in committed if row.valid and "passes-disagree" in row.flags]
    assert any(row.uncertainty < _clocks.LIMIT for row in flagged)
    for row in flagged:
        assert (row.is_attributed, row.largest) == (False, None)
        assert row.sentence.startswith("attribution is not possible: ")


def test_a_cell_that_chose_its_attention_backend_is_not_told_to_choose_one():
    row = judged(options="sdpa:flash", step_wall_revisit_ms=21.0, step_wall_ms=60.0)
    assert row.largest == "new length"
    assert row.sentence.endswith("; remedy: a static cache (cache=static), which has a single length")


@pytest.mark.parametrize(
    ("runtime", "options", "remedy"),
    [
        ("eager", "sdpa:flash", "one CUDA graph per step (runtime=graph)"),
        ("graph", "", _remedies.FEWER_KERNELS),
        ("compile", "mode:default", "one CUDA graph per step (mode:reduce-overhead)"),
        ("compile", "compile-cache:warm,mode:reduce-overhead", _remedies.FEWER_KERNELS),
        ("exllamav2", "sdpa:flash,sym:true", _remedies.FEWER_KERNELS),  # some of its kernels are in graphs
        ("of-a-newer-version", "", _remedies.FEWER_KERNELS),
    ],
)
def test_what_removes_a_gap_depends_on_whether_the_step_is_in_a_graph(runtime, options, remedy):
    row = replace(clocks(), runtime=runtime, options=options, kernels_per_step=1542.0, launch_us=4.2)
    gaps = _clocks.Term(_clocks.GAPS, 12.0, "")
    assert _remedies.sentence(row, [gaps], gaps).endswith(f"; remedy: {remedy}")


def test_of_kernels_whose_time_was_not_measured_no_overlap_is_claimed():
    def sentence(**changes):
        row = replace(clocks(**changes), kernels_per_step=1542.0, launch_us=4.2)
        (largest,) = [term for term in _clocks.terms_of(row) if term.name == "kernels and gaps"]
        return _remedies.sentence(row, [largest], largest)

    unmeasured = sentence(step_busy_ms=None)
    assert "overlap" not in unmeasured
    assert "the busy time of kernels was not measured" in unmeasured
    assert unmeasured.endswith("; remedy: unknown until it is measured")
    overlapping = sentence(kernel_sum_ms=8.0 * 1.02)
    assert "one term because kernels overlap" in overlapping
    assert overlapping.endswith("one CUDA graph per step (runtime=graph)")


@pytest.mark.medium
def test_the_graph_mode_of_a_row_is_the_one_in_its_records():
    records = RECORDS.rglob("*.json")
    found = [json.loads(path.read_text()) for path in records if path.name != "ab.json"]
    modes = {one["actual"]["graph_mode"] for one in found}
    assert {"none", "whole-step"} <= modes
    for one in found:
        options = ",".join(f"{name}:{value}" for name, value in one["cell"]["options"].items())
        row = replace(GROUP, runtime=one["cell"]["runtime"], options=options)
        assert _remedies.graph_mode(row) == one["actual"]["graph_mode"]
