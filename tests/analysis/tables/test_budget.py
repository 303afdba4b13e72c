"""The gap budget: terms that add up to the step, in the order of the clocks."""

import json
from dataclasses import replace

import pytest

from analysis.tables import budget
from tests.support.commands import command
from tests.support.derive import derive
from tests.support.frames import frame_of
from tests.support.fusedrecords import fused_record
from tests.support.records import cpu_record, example_record, failed_record


def cells(text):
    """The rows of a Markdown table, by title."""
    titles, _, *rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(titles, row, strict=True)) for row in rows]


@pytest.mark.medium
def test_the_table_tells_the_passes_of_every_term_where_rows_differ_in_each_row():
    static, growing = example_record(), example_record(cell={"cache": "dynamic"})
    alike = budget.TABLE.markdown(budget.rows(frame_of([static])))
    told = "`kernels` read probe, busy; `gaps` busy, span; `host` span, wall."
    assert f"`floor` bytes and datasheet; `achieved` bytes and read probe; {told}" in alike
    assert "host from" not in cells(alike)[0]
    mixed = budget.TABLE.markdown(budget.rows(frame_of([static, growing])))
    assert "`host` see its column; `new length` revisit, wall." in mixed
    assert {row["cache"]: row["host from"] for row in cells(mixed)} == {
        "static": "span, wall",
        "dynamic": "span, revisit",
    }


@pytest.mark.medium
def test_the_sum_of_kernels_comes_from_the_profile():
    profile = example_record()["kernels"]
    (row,) = budget.rows(frame_of([example_record()]))
    assert row.kernel_sum_ms == pytest.approx(sum(kernel["us"] for kernel in profile) / 1000)


@pytest.mark.medium
def test_the_kernels_of_a_step_that_is_one_kernel_are_divided_among_its_phases():
    found = fused_record()
    (row,) = budget.rows(frame_of([found]))
    busy_ms, read_ms = found["latency"]["step_busy_ms"], found["floor"]["floor_achievable_ms"]
    assert sum(term.ms for term in row.phases) == pytest.approx(busy_ms - read_ms)
    # a tenth of the clocks, and almost no bytes
    assert row.phases[0].name == "exchanges"
    assert row.phases[0].ms == pytest.approx(busy_ms / 10, rel=0.01)
    parts = ", ".join(f"{term.name} {term.ms:.2f}" for term in row.phases)
    (sentence,) = budget.remedies([row])
    assert sentence.endswith(f"; `kernels` by phase, beyond reading its bytes: {parts} ms.")
    (text,) = (line for line in budget.TABLE.markdown([row]).splitlines() if "by phase" in line)
    assert sentence in text
    less = [replace(term, ms=-0.001) for term in row.phases]
    (sentence,) = budget.remedies([replace(row, phases=less)])
    assert "exchanges 0.00" in sentence


@pytest.mark.medium
def test_other_steps_have_no_phases():
    (row,) = budget.rows(frame_of([example_record()]))
    assert row.phases == []
    assert "by phase" not in budget.TABLE.markdown([row])


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
        "passes apart": "0.1 %",  # (36 − 35.95) / 36
        "kernels a step": "841",
        "launch µs": "4.30",
    }


@pytest.mark.medium
def test_sessions_of_older_code_have_rows_where_they_are_asked_for():
    older, newer = example_record(), example_record()
    older["keys"]["code_key"] = "0" * 12
    newer["session"]["started_ms"] += 10**9
    newer["session"]["finished_ms"] += 10**9
    (row,) = budget.rows(frame_of([older, newer]))
    assert row.code_key == newer["keys"]["code_key"]
    assert len(budget.rows(frame_of([older, newer]), every_code=True)) == 2


@pytest.mark.slow
def test_the_committed_cells_add_up(committed):
    assert len(committed) >= 20
    for row in committed:
        ms = [term.ms for term in row.terms]
        assert sum(ms) == pytest.approx(row.step_wall_ms, rel=1e-12)
        assert all(0 <= each <= row.step_wall_ms for each in ms)
        gaps = sum(term.ms for term in row.terms if term.name in ("gaps", "not attributed"))
        assert row.step_busy_ms + gaps <= row.step_wall_ms * (1 + 1e-9)


@pytest.mark.medium
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


def test_what_was_not_measured_stands_below():
    text = budget.TABLE.markdown(budget.rows(frame_of([example_record(), failed_record("oom")])))
    assert "- Not measured (oom), 1 session: h200 qwen2.5-7b 2048 bf16 cublas eager static bf16" in text


@pytest.mark.medium
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
@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_the_command_prints_each_form(form):
    done = command("budget", "--records", "experiments/records", "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    if form == "json":
        assert all(row["terms"] for row in json.loads(done.stdout) if row["valid"])
    else:
        assert done.stdout.startswith("| gpu |" if form == "md" else "gpu,model,ctx,")
