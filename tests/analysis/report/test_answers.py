"""The three answers follow from the rows: other rows, other words."""

from dataclasses import replace

import pytest

from analysis.report import answers
from analysis.tables import budget, floor, quant
from tests.support.frames import AB_ROW, frame_of
from tests.support.records import cpu_record, example_record, failed_record, fp16_gate, packed_record


def floors_of(*records):
    return floor.rows(frame_of(records))


def ab_row(ratio, verdict, arms=("eager", "graph"), **changes):
    ends = {"ratio_low": ratio * 0.9, "ratio_high": ratio * 1.1}
    return replace(
        AB_ROW, **{"arm_a": arms[0], "arm_b": arms[1], "ratio": ratio, **ends, "verdict": verdict, **changes}
    )


def quant_rows(*records):
    gate = fp16_gate()
    return quant.rows(frame_of([*records, example_record(cell={"dtype": "fp16"}, gate=gate), example_record()]))


@pytest.mark.medium
def test_the_nearest_and_the_farthest_cell_change_places_with_their_steps():
    quick, slow = ({"ctx": 2048}, 30.0), ({"ctx": 4096}, 60.0)
    said = answers.floor_answer(floors_of(*(example_record(step_ms=ms, cell=cell) for cell, ms in (quick, slow))))
    # floors of 2.97 and 3.00 ms: 2.97 / 30 = 9.9 %, 3.00 / 60 = 5.0 %, halfway 7.4 %; 30 / 2.97 = 10.1
    assert said == (
        "2 cells reach 5.0 % to 9.9 % of their memory floor (median 7.4 %). The nearest is h200 qwen2.5-7b "
        "2048 eager static, where a step takes 10.1 times as long as reading its bytes; the farthest is h200 "
        "qwen2.5-7b 4096 eager static."
    )
    turned = answers.floor_answer(
        floors_of(example_record(step_ms=60.0), example_record(step_ms=30.0, cell={"ctx": 4096}))
    )
    assert "nearest is h200 qwen2.5-7b 4096" in turned
    assert "farthest is h200 qwen2.5-7b 2048" in turned


def test_a_cpu_is_held_against_what_its_memory_was_seen_to_read():
    said = answers.floor_answer(floors_of(cpu_record()))
    assert said.startswith("The one cell here, cpu qwen2.5-7b 2048 eager static, reaches 86 % of its measured read")


def test_without_a_valid_session_nothing_is_claimed():
    assert answers.floor_answer(floors_of(failed_record("oom"))) == "There is no valid session."
    assert answers.budget_answer([]) == ""


def test_the_largest_terms_are_counted():
    (row, invalid) = budget.rows(frame_of([example_record(), failed_record("oom")]))
    rows = [replace(row, largest=name) for name in ("gaps", "kernels", "kernels")]
    said = answers.budget_answer([*rows, invalid])
    assert said == "Beyond the floor, the largest term of a step is kernels in 2 of 3 cells, gaps in 1."
    untold = replace(row, largest=None)
    assert answers.budget_answer([*rows, untold]) == (
        "Beyond the floor, the largest term of a step is kernels in 2 of 4 cells, gaps in 1. "
        "In 1 of 4 cells the clocks do not determine the largest term beyond the floor."
    )
    assert answers.budget_answer([untold]).startswith("In 1 of 1 cells the clocks do not determine")


def test_what_the_graph_buys_is_the_ratio_whichever_arm_came_first():
    said = answers.graphs_answer([ab_row(2.0, "FASTER")])
    assert said == "With the graph a step is 2.00 [1.80, 2.20] times as fast on h200 qwen2.5-7b 2048: FASTER."
    # graph over eager 0.5 is eager over graph 2; its ends 0.45 and 0.55 become 1 / 0.55 and 1 / 0.45
    said = answers.graphs_answer([ab_row(0.5, "SLOWER", ("graph", "eager"))])
    assert said == "With the graph a step is 2.00 [1.82, 2.22] times as fast on h200 qwen2.5-7b 2048: FASTER."
    said = answers.graphs_answer([ab_row(0.8, "SLOWER")])
    assert "0.80 [0.72, 0.88] times as fast on h200 qwen2.5-7b 2048: SLOWER" in said


def test_of_several_abs_the_ends_and_the_verdicts_are_told():
    rows = [ab_row(2.0, "FASTER"), ab_row(1.0, "SAME", ctx=4096), ab_row(1.5, None, ctx=8192, ratio_low=None)]
    said = answers.graphs_answer([*rows, ab_row(9.0, "FASTER", ("eager", "compile"))])
    assert said == (
        "In 3 A/Bs of eager against graph a step is 1.00 [0.90, 1.10] (on h200 qwen2.5-7b 4096) to 2.00 [1.80, 2.20] "
        "(on h200 qwen2.5-7b 2048) times as fast with the graph. Verdicts: 1 FASTER, 1 SAME, 1 no verdict."
    )


def test_abs_that_differ_in_the_weights_are_told_apart():
    said = answers.graphs_answer([ab_row(2.0, "FASTER", quant="awq"), ab_row(3.0, "FASTER", quant="bf16")])
    assert "(on h200 qwen2.5-7b 2048 awq) to 3.00 [2.70, 3.30] (on h200 qwen2.5-7b 2048 bf16)" in said


def test_without_an_ab_the_papers_own_ratios_are_told():
    said = answers.graphs_answer([ab_row(9.0, "FASTER", ("eager", "compile"))])
    assert said.startswith("No A/B of eager against graph was measured here.")
    assert said.endswith("The paper measured 1.259 on the h100, 1.028 on the l4.")


@pytest.mark.medium
def test_the_least_and_the_greatest_saving_change_places_with_the_steps():
    def said(gptq_ms, nf4_ms):
        nf4 = packed_record("bnb-nf4", "bitsandbytes", "bf16", step_ms=nf4_ms)
        return answers.quant_answer(quant_rows(packed_record(step_ms=gptq_ms), nf4))

    # 36 / 18 = 2 and 36 / 72 = 0.5 over the eager step
    start = "2 quantised cells over the fastest unquantised one on the same hosts: 0.50× "
    nf4, gptq = "h200 qwen2.5-7b 2048 bnb-nf4 bitsandbytes eager", "h200 qwen2.5-7b 2048 gptq exllamav2 eager"
    first, turned = said(18.0, 72.0), said(72.0, 18.0)
    assert first.startswith(start)
    assert turned.startswith(start)
    assert first.index(nf4) < first.index(gptq)
    assert turned.index(gptq) < turned.index(nf4)
    assert first.endswith("where the bytes allow 3.10×); no verdict: 2 have fewer than 5 sessions.")


@pytest.mark.medium
def test_from_five_sessions_on_the_intervals_decide():
    def of(count, make, **changes):
        return [make(step_ms=(36.0 if make is example_record else 18.0) + n / 100, **changes) for n in range(count)]

    said = answers.quant_answer(quant.rows(frame_of([*of(5, packed_record), *of(5, example_record)])))
    assert said.startswith("1 quantised cells over the fastest unquantised one on the same hosts: 2.00 [")
    assert said.endswith(
        "; 1 have a verdict, 1 faster and 0 slower by the whole interval; 0 have fewer than 5 sessions and no verdict."
    )


@pytest.mark.medium
def test_without_a_quantised_cell_the_papers_savings_are_told():
    said = answers.quant_answer(quant.rows(frame_of([example_record()])))
    # 62.32 / 17.36 = 3.59, 62.32 / 59.36 = 1.05
    assert said.startswith("No quantised cell was measured here on a host with an unquantised one.")
    assert said.endswith("1.05 (bnb-nf4 bitsandbytes), 1.38 (awq AutoAWQ+Marlin), 3.59 (gptq ExLlamaV2).")


@pytest.mark.parametrize(("ratio", "text"), [(0.0333, "3.3 %"), (0.0999, "10.0 %"), (0.1, "10 %"), (0.454, "45 %")])
def test_small_percentages_have_a_decimal(ratio, text):
    assert answers.percent(ratio) == text
