"""The quantisation table: bytes, baselines and savings from records, and the paper's rows beside them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.tables import quant
from analysis.tables._quantpaper import paper_rows
from runner.record.verify import recompute
from tests.support.derive import judge
from tests.support.frames import frame_of
from tests.support.records import STARTED_MS, as_session, example_record, fp16_gate, packed_record

ROOT = Path(__file__).parents[3]


def rows_of(records):
    return quant.rows(frame_of(records))


def fp16_baseline(step_ms=36.0, **changes):
    gate = fp16_gate()
    return example_record(step_ms=step_ms, cell={"dtype": "fp16", **changes}, gate=gate)


def test_the_readmes_table_is_what_the_command_prints():
    command = [sys.executable, "-m", "analysis", "quant", "--records", "experiments/records"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in (ROOT / "README.md").read_text()


def test_every_declared_cell_of_the_quantisation_study_has_three_sessions_of_one_card():
    """Seven ways to store and multiply Qwen2.5-7B, eager and in a graph, the engine, and four in two other models."""
    command = [sys.executable, "-m", "analysis", "quant", "--records", "experiments/records", "--format", "json"]
    rows = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    ours = [row for row in rows if row["source"] == "measured" and row["valid"]]
    assert {(row["gpu"], row["sessions"]) for row in ours} == {("h100", 3)}
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


def by_quant(table):
    return {(row.quant, row.dtype): row for row in table if row.source == "measured"}


def test_the_example_is_a_record_that_verify_accepts():
    for found in (
        packed_record(),
        packed_record("bnb-nf4", "bitsandbytes", "bf16"),
        packed_record(runtime="exllamav2"),
        fp16_baseline(),
    ):
        assert recompute.differences(found) == []


def graph_of(found):
    """The same session as if its step had been captured."""
    found["cell"]["runtime"] = "graph"
    found["actual"] |= {"runtime": "graph", "graph_mode": "whole-step"}
    found["keys"]["cell_key"] = f"graph-{found['cell']['dtype']}"
    return found


def on_host(found, host):
    found["keys"]["host_id"] = host * 12
    return found


def rows_by(table):
    return {(row.quant, row.runtime, row.dtype): row for row in table if row.source == "measured"}


def test_savings_are_against_the_fastest_unquantised_cell_with_eager_beside_it():
    table = rows_by(rows_of([packed_record(), fp16_baseline(), graph_of(example_record(step_ms=9.0))]))
    row, eager, graph = table["gptq", "eager", "fp16"], table["bf16", "eager", "fp16"], table["bf16", "graph", "bf16"]
    # streamed: 15.231 − 1.090 + 0.117 = 14.258 GB unquantised; packed: the linears' 13.051 GB shrink to
    # (4 + 16/128 + 4/128) / 16 of it = 3.390 GB, so 14.258 − 13.051 + 3.390 = 4.60 GB: 3.10 times less
    assert row.bytes_streamed / 1e9 == pytest.approx(4.60, abs=0.005)
    assert row.ideal == pytest.approx(3.10, abs=0.005)
    # 9 / 18 against the graph, 36 / 18 against eager
    assert (row.against, graph.against, eager.against) == ("graph bf16",) * 3
    assert row.realised == pytest.approx(0.5, rel=0.01)
    assert row.over_eager == pytest.approx(2.0, rel=0.01)
    assert (graph.ideal, graph.realised, eager.over_eager) == (1.0, 1.0, 1.0)
    assert eager.realised == pytest.approx(0.25, rel=0.01)


def test_nf4_is_held_against_bf16():
    table = by_quant(rows_of([packed_record("bnb-nf4", "bitsandbytes", "bf16"), example_record()]))
    assert table.keys() == {("bnb-nf4", "bf16"), ("bf16", "bf16")}
    assert table["bnb-nf4", "bf16"].ideal == pytest.approx(3.12, abs=0.01)


def test_the_faster_16_bit_dtype_is_the_baseline_whatever_the_rows_own():
    table = by_quant(rows_of([packed_record(), example_record()]))
    assert table["gptq", "fp16"].against == "eager bf16"
    assert table["gptq", "fp16"].ideal == pytest.approx(3.10, abs=0.005)
    table = by_quant(rows_of([packed_record(), example_record(step_ms=36.0), fp16_baseline(step_ms=37.0)]))
    assert table["gptq", "fp16"].against == "eager bf16"
    table = by_quant(rows_of([packed_record(), example_record(step_ms=38.0), fp16_baseline(step_ms=37.0)]))
    assert table["gptq", "fp16"].against == "eager fp16"


def test_without_a_baseline_there_is_no_saving():
    (row,) = by_quant(rows_of([packed_record()])).values()
    assert (row.against, row.ideal, row.realised, row.over_eager) == (None,) * 4
    assert row.r_floor == pytest.approx(row.floor_ms / row.step_wall_ms)


@pytest.mark.parametrize(
    "other",
    [
        example_record(protocol={"name": "tail", "steps": 300}, cell={"dtype": "fp16"}),
        example_record(cell={"dtype": "fp32"}),
        fp16_baseline(ctx=4096),
        fp16_baseline(model="mistral-7b"),
    ],
    ids=["protocol", "dtype", "ctx", "model"],
)
def test_a_cell_of_another_place_or_protocol_is_no_baseline(other):
    (row,) = [row for row in rows_of([packed_record(), other]) if row.quant == "gptq" and row.source == "measured"]
    assert row.against is None


def test_what_the_runtime_was_asked_for_is_told():
    ours = packed_record()
    ours["cell"]["options"] = {"sdpa": "math", "sym": "true"}
    table = by_quant(rows_of([ours, fp16_baseline()]))
    assert table["gptq", "fp16"].marks == ["sdpa:math"]


def test_savings_are_estimated_within_each_host_and_put_together():
    # host a: 26.01 over the median of 6.66 and 7.19; host b: the median of 30.56 and 22.62 over 8.74
    ours = [on_host(packed_record(step_ms=ms), host) for host, ms in (("a", 6.66), ("a", 7.19), ("b", 8.74))]
    eager = [on_host(fp16_baseline(step_ms=ms), host) for host, ms in (("a", 26.01), ("b", 30.56), ("b", 22.62))]
    row = rows_by(rows_of([*ours, *eager]))["gptq", "eager", "fp16"]
    # 3.756 and 3.043, each of 1 · 2 / 3 sessions: their geometric mean; pooled it would be 26.01 / 7.19 = 3.62
    assert row.realised == pytest.approx((26.01 / 6.925 * 26.59 / 8.74) ** 0.5, rel=2e-3)
    assert row.realised_low == pytest.approx(22.62 / 8.74, rel=2e-3)
    assert row.realised_high == pytest.approx(26.01 / 6.66, rel=2e-3)
    assert (row.realised_interval, row.realised_hosts) == ("range", 2)
    assert "| 3.38 [2.59–3.91] | eager fp16 | 3.38 [2.59–3.91] | 2 |" in quant.TABLE.markdown([row])


def test_a_host_on_which_only_one_of_both_ran_says_nothing():
    records = [on_host(packed_record(step_ms=18.0), "a"), on_host(fp16_baseline(step_ms=36.0), "a")]
    alone = [on_host(packed_record(step_ms=1000.0), "b"), on_host(fp16_baseline(step_ms=5.0), "c")]
    row = rows_by(rows_of([*records, *alone]))["gptq", "eager", "fp16"]
    assert (row.realised, row.realised_hosts) == (pytest.approx(2.0, rel=0.01), 1)


def test_of_a_cell_measured_twice_the_newer_sessions_count():
    newer = fp16_baseline(step_ms=54.0)
    newer["session"]["started_ms"] += 1000
    newer["keys"]["env_key"] = "f" * 12
    table = by_quant(rows_of([packed_record(), newer, fp16_baseline()]))
    assert table["gptq", "fp16"].realised == pytest.approx(3.0, rel=0.01)


def verdicts_of(sessions):
    ours = [packed_record(step_ms=18.0 + number / 100) for number in range(sessions)]
    eager = [fp16_baseline(step_ms=36.0 + number / 100) for number in range(sessions)]
    return quant.TABLE.markdown(rows_of([*ours, *eager]))


def test_below_five_sessions_there_is_no_verdict_and_at_five_the_interval_says_what_it_covers():
    few, five, six = (verdicts_of(sessions) for sessions in (4, 5, 6))
    assert "no verdict: 1 have fewer than 5 sessions" in few
    assert "(93.75 %)" not in few
    for word in ("faster and", "slower and", "pays", "gains", "loses", "FASTER"):
        assert not re.search(rf"\b{word}\b", few)
    assert "1 have a verdict, 1 faster and 0 slower by the whole interval" in five
    assert "(93.75 %) | eager fp16" in five
    assert "| 93.75 % |" in five
    assert "(95 %) | eager fp16" in six
    assert "93.75 %" not in six


def test_a_baseline_of_other_versions_is_marked():
    other = fp16_baseline()
    other["environment"]["torch"] = "2.6.0"
    other["keys"]["env_key"] = "f" * 12
    table = by_quant(rows_of([packed_record(), other]))
    assert table["gptq", "fp16"].flags == ["other-env"]
    kernels = packed_record()
    kernels["environment"]["kernel_package"] = "exllamav2 0.3.2"
    kernels["keys"]["env_key"] = "e" * 12
    assert by_quant(rows_of([kernels, fp16_baseline()]))["gptq", "fp16"].flags == []


def test_memory_and_error_are_the_worst_sessions():
    first, second = packed_record(), packed_record()
    second["memory"]["peak_bytes"] = first["memory"]["peak_bytes"] + 1
    second["gate"]["error"] = 2 * first["gate"]["error"]
    for pair in ([first, second], [second, first]):
        row = by_quant(rows_of(pair))["gptq", "fp16"]
        assert row.peak_bytes == second["memory"]["peak_bytes"]
        assert row.logit_error == second["gate"]["error"]


def test_another_packing_and_a_checkpoint_are_told():
    ours = packed_record()
    ours["cell"]["weights_id"] = "content-0123456789abcdef"
    ours["model"]["scheme"] |= {"desc_act": True, "sym": False}
    (row,) = by_quant(rows_of([ours])).values()
    assert row.marks == ["sym:False", "desc_act:True", "content-0123456789abcdef"]
    (row,) = by_quant(rows_of([packed_record()])).values()
    assert row.marks == []


def test_an_engine_is_held_against_the_fastest_too():
    table = rows_by(rows_of([packed_record(runtime="exllamav2"), fp16_baseline(), graph_of(fp16_baseline(9.0))]))
    row = table["gptq", "exllamav2", "fp16"]
    assert row.against == "graph fp16"
    assert row.over_eager == pytest.approx(2.0, rel=0.01)


def test_where_all_baselines_ran_elsewhere_no_saving_is_estimated():
    table = by_quant(rows_of([packed_record(), on_host(fp16_baseline(), "f")]))
    row = table["gptq", "fp16"]
    assert row.flags == ["other-host"]
    assert (row.against, row.realised, row.over_eager) == (None, None, None)
    assert table["bf16", "fp16"].flags == []


def test_invalid_sessions_stand_below_the_table():
    bad = packed_record(session={"id": "b" * 16, "started_ms": STARTED_MS})
    bad["valid"], bad["reasons"] = False, ["gate short: logit error 0.5 exceeds the bound 0.02"]
    text = quant.TABLE.markdown(rows_of([packed_record(), bad, fp16_baseline()]))
    assert "- Invalid, 1 sessions: h200 qwen2.5-7b 2048 gptq exllamav2 eager static fp16 sym:true: gate short" in text
    assert by_quant(rows_of([packed_record(), fp16_baseline()]))["gptq", "fp16"].sessions == 1


def test_a_saving_beyond_the_ideal_says_what_that_means():
    text = quant.TABLE.markdown(rows_of([packed_record(step_ms=6.0), fp16_baseline()]))
    assert "6.00× where the bytes allow 3.10×: its baseline is further from its floor than this row" in text


def test_the_papers_rows_stand_beside_ours():
    rows = paper_rows()
    assert [(row.quant, row.step_wall_ms) for row in rows] == [
        ("bf16", 62.32),
        ("bnb-nf4", 59.36),
        ("awq", 45.24),
        ("gptq", 17.36),
    ]
    # 62.32 / 17.36 = 3.59; an L4's floor for 14.258 GB is 14.258 / 0.3 = 47.5 ms
    assert rows[-1].realised == pytest.approx(3.59, abs=0.005)
    assert rows[0].floor_ms == pytest.approx(47.5, abs=0.05)
    assert all(row.valid and row.source == "paper" for row in rows)


def test_a_cell_of_the_paper_has_one_r_floor():
    """Its own, 0.810 (in streamed bytes 0.752, in the paper check), is of another step than the 62.32 ms beside it."""
    rows = paper_rows()
    assert [row.r_floor is None for row in rows] == [True, False, False, False]
    text = quant.TABLE.markdown(rows)
    # 15.349 GB at 300 GB/s are 51.16 ms
    said = "The paper's R_floor of l4 qwen2.5-7b 2048, 0.810 of 15.35 GB, means 63.16 ms a step; the unquantised step"
    assert f"- {said} beside its quantised ones takes 62.32 ms" in text


def test_the_command_prints_json_and_draws(tmp_path):
    for number, found in enumerate((packed_record(), fp16_baseline())):
        (tmp_path / f"{number}.json").write_text(json.dumps(as_session(found, number)))
    whole = [sys.executable, "-m", "analysis", "quant", "--records", str(tmp_path), "--format", "json"]
    done = subprocess.run([*whole, "--figure", str(tmp_path / "q.png")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row["quant"] for row in json.loads(done.stdout)] == ["bf16", "gptq", "bf16", "bnb-nf4", "awq", "gptq"]
    assert (tmp_path / "q.png").read_bytes().startswith(b"\x89PNG")


def test_a_session_that_others_disturbed_enters_no_saving():
    disturbed = fp16_baseline(step_ms=900.0)
    disturbed["passes"]["wall"]["other_cpu_cores"] = 4.0
    judge(disturbed)
    row = rows_by(rows_of([packed_record(), fp16_baseline(), disturbed]))["gptq", "eager", "fp16"]
    assert row.realised == pytest.approx(2.0, rel=0.01)
    alone = rows_by(rows_of([packed_record(), disturbed]))["gptq", "eager", "fp16"]
    assert alone.realised == pytest.approx(50.0, rel=0.01)
