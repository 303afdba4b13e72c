"""The gap budget: terms that add up to the step, in the order of the clocks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.sources.records import Folder
from analysis.tables import budget
from tests.frames import frame_of
from tests.records import cpu_record, example_record, failed_record

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def committed():
    return [row for row in budget.rows(Folder(ROOT / "experiments" / "records").frame(budget.METRICS)) if row["valid"]]


def clocks(**changes):
    """A group's row with only what the budget needs, in ms: floor 3, achieved 3.5, busy 8, span 20, wall 21."""
    return {
        "runtime": "eager",
        "options": "",
        "floor_ms": 3.0,
        "floor_achievable_ms": 3.5,
        "step_busy_ms": 8.0,
        "kernel_sum_ms": 8.0,
        "step_span_ms": 20.0,
        "step_wall_revisit_ms": None,
        "step_wall_ms": 21.0,
        **changes,
    }


def terms(**changes):
    return {term.name: term.ms for term in budget.terms_of(clocks(**changes))}


def test_each_term_lies_between_two_clocks():
    # 3.5 − 3 = 0.5; 8 − 3.5 = 4.5; 20 − 8 = 12; 21 − 20 = 1
    assert terms() == {"floor": 3.0, "achieved": 0.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}
    of = {term.name: term.of for term in budget.terms_of(clocks())}
    assert of["gaps"] == "busy, span"
    assert of["host"] == "span, wall"


def cells(text):
    """The rows of a Markdown table, by title."""
    titles, _, *rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def test_the_table_tells_the_passes_of_every_term_where_rows_differ_in_each_row():
    static, growing = example_record(), example_record(cell={"cache": "dynamic"})
    alike = budget.markdown(budget.rows(frame_of([static])))
    told = "`kernels` read probe, busy; `gaps` busy, span; `host` span, wall."
    assert f"`floor` bytes and datasheet; `achieved` bytes and read probe; {told}" in alike
    assert "host from" not in cells(alike)[0]
    mixed = budget.markdown(budget.rows(frame_of([static, growing])))
    assert "`host` as its column says; `first visit` revisit, wall." in mixed
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
    assert row["kernel_sum_ms"] == pytest.approx(sum(kernel["us"] for kernel in profile) / 1000)


def test_a_cpu_has_two_terms():
    (row,) = budget.rows(frame_of([cpu_record()]))
    assert [term["name"] for term in row["terms"]] == ["floor", "rest"]
    assert row["largest"] == "rest"


def test_a_gpu_that_is_not_in_the_catalogue_starts_at_what_it_achieves():
    assert terms(floor_ms=None) == {"floor": 3.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}


TIMES = st.floats(0.1, 100.0)


@given(st.tuples(*[TIMES] * 7), st.booleans())
def test_whatever_the_clocks_say_the_terms_add_up_to_the_step(times, dynamic):
    names = ("floor_ms", "floor_achievable_ms", "step_busy_ms", "kernel_sum_ms", "step_span_ms", "step_wall_ms")
    changes = dict(zip(names, times, strict=False)) | {"step_wall_revisit_ms": times[-1] if dynamic else None}
    assert sum(terms(**changes).values()) == pytest.approx(changes["step_wall_ms"], abs=1e-9)


def test_the_committed_cells_add_up(committed):
    assert len(committed) >= 20
    for row in committed:
        assert sum(term["ms"] for term in row["terms"]) == pytest.approx(row["step_wall_ms"], abs=1e-9)


def test_a_negative_term_is_told_and_not_clipped(committed):
    (row,) = budget.rows(frame_of([example_record(latency={})]))
    assert [term["note"] for term in row["terms"] if term["ms"] >= 0] == [None] * len(row["terms"])
    negative = [term for row in committed for term in row["terms"] if term["ms"] < 0]
    assert negative  # the committed host was slower in some span passes
    text = budget.markdown(committed)
    assert all(f"{term['ms']:.2f} ms: {term['note']}." in text for term in negative)


def note(name, **changes):
    (found,) = [term.note for term in budget.terms_of(clocks(**changes)) if term.name == name]
    return found


def test_the_note_on_a_negative_term_says_which_passes_differ_and_claims_no_more():
    # wall 19 − span 20 = −1
    assert note("host", step_wall_ms=19.0) == "the step took longer in the pass of span than in that of wall"
    # of a growing cache the host's term is revisit 19 − span 20 = −1, and the first visit wall 18 − revisit 19 = −1
    growing = {"step_wall_revisit_ms": 19.0, "step_wall_ms": 18.0}
    assert note("host", **growing) == "the step took longer in the pass of span than in that of revisit"
    assert note("first visit", **growing) == "the first visits, in the pass of wall, took no longer than the revisits"
    assert note("host") is None


def test_the_largest_term_is_named_with_what_removes_it(committed):
    rows = {(row["model"], row["ctx"], row["runtime"], row["cache"]): row for row in committed}
    eager = rows["qwen2.5-7b", 2048, "eager", "static"]
    assert eager["largest"] == "gaps"
    assert "1542 kernels a step" in eager["sentence"]
    assert "one CUDA graph a step (runtime=graph)" in eager["sentence"]
    assert rows["qwen2.5-7b", 2048, "graph", "static"]["largest"] == "kernels"
    assert "cache=static" in rows["qwen2.5-7b", 2048, "eager", "dynamic"]["sentence"]


@pytest.mark.parametrize(
    ("runtime", "options", "remedy"),
    [
        ("eager", "sdpa:flash", "one CUDA graph a step (runtime=graph)"),
        ("graph", "", budget.FEWER_KERNELS),
        ("compile", "mode:default", "one CUDA graph a step (mode:reduce-overhead)"),
        ("compile", "compile-cache:warm,mode:reduce-overhead", budget.FEWER_KERNELS),
        ("exllamav2", "sdpa:flash,sym:true", budget.FEWER_KERNELS),  # some of its kernels are in graphs
        ("of-a-newer-version", "", budget.FEWER_KERNELS),
    ],
)
def test_what_removes_a_gap_depends_on_whether_the_step_is_in_a_graph(runtime, options, remedy):
    row = {**clocks(), "runtime": runtime, "options": options, "kernels_per_step": 1542.0, "launch_us": 4.2}
    assert budget._sentence(row, budget.Term(budget.GAPS, 12.0, "")).endswith(f"would remove it: {remedy}")


def test_of_kernels_whose_time_was_not_measured_no_overlap_is_claimed():
    def sentence(**changes):
        row = {**clocks(**changes), "kernels_per_step": 1542.0, "launch_us": 4.2}
        (largest,) = [term for term in budget.terms_of(row) if term.name == "kernels and gaps"]
        return budget._sentence(row, largest)

    unmeasured = sentence(step_busy_ms=None)
    assert "overlap" not in unmeasured
    assert "the time in which kernels ran was not measured" in unmeasured
    assert unmeasured.endswith("what would remove it: not to be told before that is")
    overlapping = sentence(kernel_sum_ms=8.0 * 1.02)
    assert "which overlap and are one term" in overlapping
    assert overlapping.endswith("one CUDA graph a step (runtime=graph)")


def test_the_graph_mode_of_a_row_is_the_one_in_its_records():
    records = Path(ROOT / "experiments" / "records").rglob("*.json")
    found = [json.loads(path.read_text()) for path in records if path.name != "ab.json"]
    modes = {one["actual"]["graph_mode"] for one in found}
    assert {"none", "whole-step"} <= modes
    for one in found:
        options = ",".join(f"{name}:{value}" for name, value in one["cell"]["options"].items())
        row = {"runtime": one["cell"]["runtime"], "options": options}
        assert budget.graph_mode(row) == one["actual"]["graph_mode"]


def test_what_was_not_measured_stands_below():
    text = budget.markdown(budget.rows(frame_of([example_record(), failed_record("oom")])))
    assert "- Not measured (oom), 1 sessions: h200 qwen2.5-7b 2048" in text


def test_the_readmes_budget_is_what_the_command_prints():
    records = ["--records", "experiments/records", "--gpu", "h200", "--model", "qwen2.5-7b"]
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "budget", *records], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| ")
    assert done.stdout in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_the_command_prints_each_form(form):
    command = [sys.executable, "-m", "analysis", "budget", "--records", "experiments/records", "--format", form]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if form == "json":
        assert all(row["terms"] for row in json.loads(done.stdout) if row["valid"])
    else:
        assert done.stdout.startswith("| gpu |" if form == "md" else "gpu,model,ctx,")
