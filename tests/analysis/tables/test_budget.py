"""The gap budget: terms that add up to the step, in the order of the clocks."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.sources.records import Folder
from analysis.tables import _clocks, _remedies, budget
from runner.record import metrics, record, spool
from tests.support.derive import derive, typed
from tests.support.frames import GROUP, frame_of
from tests.support.records import cpu_record, example_record, failed_record

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def committed():
    return [row for row in budget.rows(Folder(ROOT / "experiments" / "records").frame(budget.METRICS)) if row.valid]


def clocks(**changes):
    """A group with only what the budget needs, in ms: floor 3, achieved 3.5, busy 8, span 20, wall 21."""
    ms = {
        "floor_ms": 3.0,
        "floor_achievable_ms": 3.5,
        "profiled_span_ms": 28.0,
        "step_busy_ms": 8.0,
        "kernel_sum_ms": 8.0,
        "step_span_ms": 20.0,
        "step_wall_revisit_ms": None,
        "step_wall_ms": 21.0,
    }
    return replace(GROUP, **{**ms, **changes})


def terms(**changes):
    return {term.name: term.ms for term in _clocks.terms_of(clocks(**changes))}


def test_each_term_lies_between_two_clocks():
    # 3.5 − 3 = 0.5; 8 − 3.5 = 4.5; 20 − 8 = 12; 21 − 20 = 1
    assert terms() == {"floor": 3.0, "achieved": 0.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}
    of = {term.name: term.of for term in _clocks.terms_of(clocks())}
    assert of["gaps"] == "busy, span"
    assert of["host"] == "span, wall"


def cells(text):
    """The rows of a Markdown table, by title."""
    titles, _, *rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def test_the_table_tells_the_passes_of_every_term_where_rows_differ_in_each_row():
    static, growing = example_record(), example_record(cell={"cache": "dynamic"})
    alike = budget.TABLE.markdown(budget.rows(frame_of([static])))
    told = "`kernels` read probe, busy; `gaps` busy, span; `host` span, wall."
    assert f"`floor` bytes and datasheet; `achieved` bytes and read probe; {told}" in alike
    assert "host from" not in cells(alike)[0]
    mixed = budget.TABLE.markdown(budget.rows(frame_of([static, growing])))
    assert "`host` see its column; `first visit` revisit, wall." in mixed
    assert {row["cache"]: row["host from"] for row in cells(mixed)} == {
        "static": "span, wall",
        "dynamic": "span, revisit",
    }


def test_a_growing_cache_has_its_first_visits_apart():
    # the revisit takes 22, the first visit 60: 22 − 20 = 2 for the host, 60 − 22 = 38 for the visit
    found = terms(step_wall_revisit_ms=22.0, step_wall_ms=60.0)
    assert (found["host"], found["first visit"]) == (2.0, 38.0)


def test_kernels_that_overlap_are_one_term_with_their_gaps():
    assert terms(kernel_sum_ms=8.0 * 1.005).keys() == {"floor", "achieved", "kernels", "gaps", "host"}
    found = terms(kernel_sum_ms=8.0 * 1.02)
    assert found.keys() == {"floor", "achieved", "kernels and gaps", "host"}
    assert found["kernels and gaps"] == 16.5  # 20 − 3.5


def test_the_sum_of_kernels_comes_from_the_profile():
    profile = example_record()["kernels"]
    (row,) = budget.rows(frame_of([example_record()]))
    assert row.kernel_sum_ms == pytest.approx(sum(kernel["us"] for kernel in profile) / 1000)


def test_a_cpu_has_two_terms():
    (row,) = budget.rows(frame_of([cpu_record()]))
    assert [term.name for term in row.terms] == ["floor", "rest"]
    assert row.largest == "rest"


def test_a_column_that_no_row_has_anything_for_is_left_out():
    told = {"passes apart", "cut (ms)", "kernels a step", "launch µs"}
    assert not told & {*cells(budget.TABLE.markdown(budget.rows(frame_of([cpu_record()]))))[0]}
    (shown,) = cells(budget.TABLE.markdown(budget.rows(frame_of([example_record()]))))
    assert {name: shown[name] for name in ("n", "ms/step", "passes apart", "kernels a step", "launch µs")} == {
        "n": "1",
        "ms/step": "36.00",
        "passes apart": "0.1%",  # (36 − 35.95) / 36
        "kernels a step": "841",
        "launch µs": "4.30",
    }


def test_sessions_of_older_code_have_rows_where_they_are_asked_for():
    older, newer = example_record(), example_record()
    older["keys"]["code_key"] = "0" * 12
    newer["session"]["started_ms"] += 10**9
    newer["session"]["finished_ms"] += 10**9
    (row,) = budget.rows(frame_of([older, newer]))
    assert row.code_key == newer["keys"]["code_key"]
    assert len(budget.rows(frame_of([older, newer]), every_code=True)) == 2


def test_a_gpu_that_is_not_in_the_catalogue_starts_at_what_it_achieves():
    assert terms(floor_ms=None) == {"floor": 3.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}


TIMES = st.floats(0.001, 1000.0)
CLOCKS = st.fixed_dictionaries(
    {
        "floor_ms": st.none() | TIMES,
        "floor_achievable_ms": TIMES,
        "step_busy_ms": st.none() | TIMES,
        "kernel_sum_ms": st.none() | TIMES,
        "step_span_ms": st.none() | TIMES,
        "profiled_span_ms": st.none() | TIMES,
        "step_wall_revisit_ms": st.none() | TIMES,
        "step_wall_ms": TIMES,
    }
)


@given(CLOCKS)
def test_whatever_the_clocks_say_each_term_is_in_the_step_and_they_add_up_to_it(found):
    ms = [term.ms for term in _clocks.terms_of(clocks(**found))]
    assert all(0 <= each <= found["step_wall_ms"] for each in ms)
    assert sum(ms) == pytest.approx(found["step_wall_ms"], rel=1e-12)


def judged(**changes):
    """The table's row of these clocks."""
    return budget.budget_row(clocks(**changes))


@given(CLOCKS)
def test_a_cause_is_named_only_where_the_passes_agree(found):
    row = judged(**found)
    base = found["step_wall_revisit_ms"] or found["step_wall_ms"]
    span = found["step_span_ms"]
    if span is not None and abs(span - base) > _clocks.LIMIT * base:
        assert (row.is_attributed, row.largest) == (False, None)
        assert row.sentence.startswith("attribution is not possible: passes over the same lengths differ")
        assert not {"gaps", "kernels and gaps", "host", "first visit"} & {term.name for term in row.terms}
    told = (("floor_ms", "step_busy_ms"), ("step_busy_ms", "step_span_ms"), ("step_span_ms", "step_wall_ms"))
    if span is not None and any(found[low] and found[high] and found[low] > found[high] for low, high in told):
        assert row.cuts or row.step_busy_ms is None or "kernels" not in {term.name for term in row.terms}


@pytest.mark.slow
def test_the_committed_cells_add_up(committed):
    assert len(committed) >= 20
    for row in committed:
        ms = [term.ms for term in row.terms]
        assert sum(ms) == pytest.approx(row.step_wall_ms, rel=1e-12)
        assert all(0 <= each <= row.step_wall_ms for each in ms)
        gaps = sum(term.ms for term in row.terms if term.name in ("gaps", "not attributed"))
        assert row.step_busy_ms + gaps <= row.step_wall_ms * (1 + 1e-9)


def test_a_clock_that_is_longer_than_the_one_above_is_cut_to_it_and_the_row_says_so():
    # span 21.5 is above wall 21: 0.5 ms, 2.4 %, are cut; the gaps end at 21
    row = judged(step_span_ms=21.5)
    assert {term.name: term.ms for term in row.terms} == {
        "floor": 3.0,
        "achieved": 0.5,
        "kernels": 4.5,
        "gaps": 13.0,
        "host": 0.0,
    }
    assert (row.cuts, row.is_attributed) == (["span by 0.500"], True)
    assert "span by 0.500" in budget.TABLE.markdown([row])
    assert judged().cuts == []


def test_a_probe_that_read_too_low_is_cut_and_beyond_the_limit_attributes_nothing():
    # 9 ms by the probe, 8 of kernels: 1 of 21 is cut, 4.8 %
    row = judged(floor_achievable_ms=9.0)
    assert (row.cuts, row.is_attributed) == (["bytes and read probe by 1.000"], True)
    # 12 by the probe: 4 of 21 are cut
    row = judged(floor_achievable_ms=12.0)
    assert (row.is_attributed, row.largest) == (False, None)
    assert row.sentence == (
        "attribution is not possible: the clock bytes and read probe is 12.00 ms, the one above it 8.00 ms"
    )
    # a floor above the step itself
    row = judged(floor_ms=30.0, floor_achievable_ms=33.0)
    assert [term.ms for term in row.terms] == [8.0, 0.0, 0.0, 13.0]
    assert row.is_attributed is False


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({}, 1 / 21),  # span 20, wall 21; the profiled 28 are the profiler's
        ({"step_span_ms": 27.3}, 0.3),
        ({"step_rate_ms": 27.3}, 7.3 / 21),
        ({"profiled_span_ms": 16.8}, 0.2),  # no profiler makes a step quicker
        ({"step_wall_revisit_ms": 25.0, "step_wall_ms": 100.0}, 0.2),
        ({"passes_apart": 0.4}, 0.4),  # the sessions' own passes lie further apart than their medians
        ({"step_span_ms": None}, None),
    ],
)
def test_the_uncertainty_is_how_far_passes_over_the_same_lengths_lie_apart(changes, apart):
    assert _clocks.uncertainty(clocks(**changes)) == pytest.approx(apart)


def test_a_sessions_own_passes_lie_as_far_apart_as_its_record_says():
    folder = Folder(ROOT / "experiments" / "records" / "h200")
    sessions = folder.frame(budget.METRICS).sessions.with_columns(_clocks.sessions_apart().alias("apart"))
    found = dict(zip(sessions["session"], sessions["apart"], strict=True))
    for path in spool.record_files(ROOT / "experiments" / "records" / "h200"):
        one = typed(record.read(path))
        assert found[one.session.id] == pytest.approx(metrics.passes_disagreement(one), rel=1e-12)


def test_of_the_sessions_the_passes_of_each_are_compared_and_not_their_medians_alone():
    # wall and span change places from session to session, so that their medians are equal
    records = []
    for wall, span in ((30.0, 40.0), (40.0, 30.0), (35.0, 35.0)):
        found = example_record(step_ms=wall)
        found["passes"]["span"]["steps_ms"] = [span] * 30
        found["passes"]["wall"]["steps_ms"] = [wall] * 30
        derive(found)
        records.append(found)
    (row,) = budget.rows(frame_of(records))
    assert (row.step_wall_ms, row.step_span_ms) == (35.0, 35.0)
    assert row.uncertainty == pytest.approx(0.25)  # 1/3, 1/4 and 0
    assert row.is_attributed is False


def test_where_two_terms_are_nearer_than_the_passes_neither_is_called_the_largest():
    # kernels 13 − 3.5 = 9.5, gaps 22 − 13 = 9; the passes lie 1 of 23 apart
    row = judged(step_busy_ms=13.0, kernel_sum_ms=13.0, step_span_ms=22.0, step_wall_ms=23.0)
    assert (row.is_attributed, row.largest) == (True, None)
    assert row.sentence == (
        "`kernels` 9.50 and `gaps` 9.00 of 23.00 ms are the largest terms; passes that differ by 4.3% cannot rank them"
    )
    assert "not attributed" not in {term.name for term in row.terms}


@pytest.mark.slow
def test_the_largest_term_is_named_with_what_removes_it(committed):
    fields = ("gpu", "model", "ctx", "runtime", "cache", "options")
    rows = {tuple(row.value(name) for name in fields): row for row in committed}
    assert rows["h200", "qwen2.5-7b", 2048, "graph", "static", ""].largest == "kernels"
    eager = judged()
    assert eager.largest == "gaps"
    assert "launch" not in eager.sentence  # launching the kernels need not take as long as the gaps do
    assert "one CUDA graph per step (runtime=graph)" in eager.sentence
    first = judged(step_wall_revisit_ms=21.0, step_wall_ms=60.0)
    assert first.largest == "first visit"
    assert "a static cache (cache=static)" in first.sentence
    assert first.sentence.endswith("or `--options sdpa:flash` if cuDNN is the attention backend")


@pytest.mark.slow
def test_no_cause_is_named_where_the_passes_of_one_session_disagree(committed):
    flagged = [row for row in committed if row.valid and "passes-disagree" in row.flags]
    assert any(row.uncertainty < _clocks.LIMIT for row in flagged)
    for row in flagged:
        assert (row.is_attributed, row.largest) == (False, None)
        assert row.sentence.startswith("attribution is not possible: ")


def test_a_cell_that_chose_its_attention_backend_is_not_told_to_choose_one():
    row = judged(options="sdpa:flash", step_wall_revisit_ms=21.0, step_wall_ms=60.0)
    assert row.largest == "first visit"
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


def test_the_graph_mode_of_a_row_is_the_one_in_its_records():
    records = Path(ROOT / "experiments" / "records").rglob("*.json")
    found = [json.loads(path.read_text()) for path in records if path.name != "ab.json"]
    modes = {one["actual"]["graph_mode"] for one in found}
    assert {"none", "whole-step"} <= modes
    for one in found:
        options = ",".join(f"{name}:{value}" for name, value in one["cell"]["options"].items())
        row = replace(GROUP, runtime=one["cell"]["runtime"], options=options)
        assert _remedies.graph_mode(row) == one["actual"]["graph_mode"]


def test_what_was_not_measured_stands_below():
    text = budget.TABLE.markdown(budget.rows(frame_of([example_record(), failed_record("oom")])))
    assert "- Not measured (oom), 1 sessions: h200 qwen2.5-7b 2048 bf16 cublas eager static bf16" in text


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("kernel", {"cell": {"kernel": "torch-cpu"}}),
        ("dtype", {"cell": {"dtype": "fp16"}}),
        ("options", {"cell": {"options": {"sdpa": "math"}}}),
        ("attention", {"cell": {"attention": "flash-attn"}}),
        ("weights_id", {"cell": {"weights_id": "content-0123456789abcdef"}}),
        ("protocol", {"protocol": {"name": "custom", "steps": 40}}),
        ("env_key", {"environment": {"torch": "9.9"}, "keys": {"env_key": "0123456789ab"}}),
    ],
)
def test_what_tells_two_rows_apart_is_a_column(field, change):
    alike = budget.rows(frame_of([example_record()]))
    assert field not in cells(budget.TABLE.markdown(alike))[0]
    apart = budget.rows(frame_of([example_record(), example_record(**change)]))
    shown = cells(budget.TABLE.markdown(apart))
    assert len({row[field] for row in shown}) == 2


@pytest.mark.slow
def test_the_readmes_budget_is_what_the_command_prints():
    records = ["--records", "experiments/records", "--gpu", "h200", "--model", "qwen2.5-7b"]
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "budget", *records], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| ")
    assert done.stdout in (ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_the_command_prints_each_form(form):
    command = [sys.executable, "-m", "analysis", "budget", "--records", "experiments/records", "--format", form]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if form == "json":
        assert all(row["terms"] for row in json.loads(done.stdout) if row["valid"])
    else:
        assert done.stdout.startswith("| gpu |" if form == "md" else "gpu,model,ctx,")
