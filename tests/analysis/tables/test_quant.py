"""The quantisation table from records: its rows, its columns and what is said of them."""

import json
import re
from dataclasses import replace

import pytest

from analysis.tables import quant
from runner.record.verify import recompute
from tests.support.commands import command
from tests.support.derive import judge
from tests.support.energies import with_energy
from tests.support.frames import frame_of
from tests.support.quants import by_quant, fp16_baseline, rows_by, rows_of
from tests.support.records import STARTED_MS, as_session, packed_record


@pytest.mark.slow
def test_every_declared_cell_of_the_quantisation_study_has_three_sessions_of_one_card():
    """Seven ways to store and multiply Qwen2.5-7B, eager and in a graph, the engine, and four in two other models."""
    rows = json.loads(command("quant", "--records", "experiments/records", "--format", "json").stdout)
    ours = [row for row in rows if row["source"] == "measured" and row["valid"] and row["gpu"] == "h100"]
    assert {row["sessions"] for row in ours} == {3}
    cells = [(row["model"], row["quant"], row["kernel"], row["dtype"], row["runtime"]) for row in ours]
    ways = [
        ("bf16", "cublas", "bf16"),
        ("bf16", "cublas", "fp16"),
        ("bnb-nf4", "bitsandbytes", "bf16"),
        *(("awq", kernel, "fp16") for kernel in ("marlin", "autoawq-triton")),
        *(("gptq", kernel, "fp16") for kernel in ("exllamav2", "marlin")),
    ]
    expected = {("qwen2.5-7b", *way, runtime) for way in ways for runtime in ("eager", "graph")}
    expected |= {("qwen2.5-7b", "gptq", "exllamav2", "fp16", "exllamav2")}
    in_all_models = [ways[0], ways[2], ways[3], ways[5]]
    expected |= {(model, *way, "graph") for model in ("mistral-7b", "llama-3.1-8b") for way in in_all_models}
    assert sorted(cells) == sorted(expected)


@pytest.mark.medium
def test_the_example_is_a_record_that_verify_accepts():
    for found in (
        packed_record(),
        packed_record("bnb-nf4", "bitsandbytes", "bf16"),
        packed_record(runtime="exllamav2"),
        fp16_baseline(),
    ):
        assert recompute.differences(found) == []


def verdicts_of(sessions):
    ours = [packed_record(step_ms=18.0 + number / 100) for number in range(sessions)]
    eager = [fp16_baseline(step_ms=36.0 + number / 100) for number in range(sessions)]
    return quant.TABLE.markdown(rows_of([*ours, *eager]))


@pytest.mark.medium
def test_below_five_sessions_there_is_no_verdict_and_at_five_the_interval_says_what_it_covers():
    few, five, six = (verdicts_of(sessions) for sessions in (4, 5, 6))
    assert "; no verdict, all have fewer than 5 sessions" in few
    assert "(93.75 %)" not in few
    for word in ("faster and", "slower and", "pays", "gains", "loses", "FASTER"):
        assert not re.search(rf"\b{word}\b", few)
    assert "; 1 faster" in five
    assert "(93.75 %) | eager fp16" in five
    assert "| 93.75 % |" in five
    assert "(95 %) | eager fp16" in six
    assert "93.75 %" not in six


@pytest.mark.medium
def test_tokens_cost_the_step_at_the_price_per_hour():
    frame = frame_of([packed_record(), fp16_baseline()])
    for row in quant.measured_rows(quant.rows(frame, prices={row.gpu: 3.6 for row in quant.rows(frame)})):
        assert row.usd_per_mtok == pytest.approx(row.step_wall_ms)  # 10⁶ · 1 ms · 3.60 $/h / 3.6e6 ms = 1 $
    paper_row = quant.rows(frame, prices={"l4": 0.36})[-1]
    assert paper_row.usd_per_mtok == pytest.approx(paper_row.step_wall_ms / 10)


def test_memory_and_error_are_the_worst_sessions():
    first, second = packed_record(), packed_record()
    second["memory"]["peak_bytes"] = first["memory"]["peak_bytes"] + 1
    second["gate"]["error"] = 2 * first["gate"]["error"]
    for pair in ([first, second], [second, first]):
        row = by_quant(rows_of(pair))["gptq", "fp16"]
        assert row.peak_bytes == second["memory"]["peak_bytes"]
        assert row.logit_error == second["gate"]["error"]


@pytest.mark.medium
def test_invalid_sessions_stand_below_the_table():
    bad = packed_record(session={"id": "b" * 16, "started_ms": STARTED_MS})
    bad["valid"], bad["reasons"] = False, ["gate short: logit error 0.5 exceeds the bound 0.02"]
    text = quant.TABLE.markdown(rows_of([packed_record(), bad, fp16_baseline()]))
    assert "- Invalid, 1 session: h200 qwen2.5-7b 2048 gptq exllamav2 eager static fp16 sym:true: gate short" in text
    assert by_quant(rows_of([packed_record(), fp16_baseline()]))["gptq", "fp16"].sessions == 1


@pytest.mark.medium
def test_a_saving_beyond_the_ideal_says_what_that_means():
    text = quant.TABLE.markdown(rows_of([packed_record(step_ms=6.0), fp16_baseline()]))
    assert "6.00× where the bytes allow 3.10×: its baseline is further from its floor than this row" in text


@pytest.mark.slow
def test_the_command_prints_json_and_draws(tmp_path):
    for number, found in enumerate((packed_record(), fp16_baseline())):
        (tmp_path / f"{number}.json").write_text(json.dumps(as_session(found, number)))
    done = command("quant", "--records", str(tmp_path), "--format", "json", "--figure", str(tmp_path / "q.svg"))
    assert done.returncode == 0, done.stderr
    assert [row["quant"] for row in json.loads(done.stdout)] == ["bf16", "gptq", "bf16", "bnb-nf4", "awq", "gptq"]
    assert (tmp_path / "q.svg").read_bytes().startswith(b"<svg ")


@pytest.mark.medium
def test_a_session_that_others_disturbed_enters_no_saving():
    disturbed = fp16_baseline(step_ms=900.0)
    disturbed["passes"]["wall"]["other_cpu_cores"] = 4.0
    judge(disturbed)
    row = rows_by(rows_of([packed_record(), fp16_baseline(), disturbed]))["gptq", "eager", "fp16"]
    assert row.realised == pytest.approx(2.0, rel=0.01)
    alone = rows_by(rows_of([packed_record(), disturbed]))["gptq", "eager", "fp16"]
    assert alone.realised == pytest.approx(50.0, rel=0.01)


@pytest.mark.medium
def test_the_summary_counts_savings_above_below_and_around_1():
    (row,) = [row for row in quant.measured_rows(rows_of([packed_record(), fp16_baseline()])) if row.quant == "gptq"]
    ends = [(1.9, 2.1), (0.8, 0.9), (0.9, 1.1), (1.2, 1.4)]
    decided = [replace(row, realised_interval="ci95", realised_low=low, realised_high=high) for low, high in ends]
    said = quant.summary([*decided, row])
    assert said.startswith("5 quantised cells against the fastest unquantised cell on the same hosts: 2.00")
    assert said.endswith("; 2 faster, 1 slower, 1 undecided, 1 with fewer than 5 sessions")
    assert quant.summary([row]).startswith("1 quantised cell against ")
    assert quant.summary([]) is None


@pytest.mark.medium
def test_p99_has_a_column_only_where_the_steps_are_enough():
    found = packed_record(protocol={"name": "tail-long", "steps": 300, "windows": 10})
    (tail,) = (row for row in rows_of([found]) if row.source == "measured")
    assert "| p99 ≤ |" in quant.TABLE.markdown([tail])
    assert tail.p99_ms > tail.step_wall_ms
    assert "p99" not in quant.TABLE.markdown(rows_of([packed_record()]))


@pytest.mark.medium
def test_joules_have_columns_only_where_they_were_measured():
    found = [with_energy(packed_record(step_ms=18.0 + number / 10)) for number in range(3)]
    (row,) = (row for row in rows_of(found) if row.source == "measured")
    # 480 W · 18.1 ms = 8.69 J
    assert row.joules_per_token == pytest.approx(8.688, rel=0.001)
    assert row.joules_per_token_low < row.joules_per_token < row.joules_per_token_high
    assert "| J/token | J low | J high | J/token above idle |" in quant.TABLE.markdown([row])
    assert "J/token" not in quant.TABLE.markdown(rows_of([packed_record()]))
