"""The quantisation that pays: its baseline is the fastest unquantised runtime, and its tail stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from analysis.question import Line
from analysis.tables import _payoff, quant
from analysis.tables._quantrows import AnyRow
from tests.support.frames import frame_of
from tests.support.quants import fp16_baseline, graph_of, on_host, rows_of
from tests.support.records import example_record, fp16_gate, packed_record

Make = Callable[..., dict[str, Any]]


def rows(*records: dict[str, Any]) -> Sequence[AnyRow]:
    return quant.rows(frame_of([*records, example_record(cell={"dtype": "fp16"}, gate=fp16_gate()), example_record()]))


def line(*records: dict[str, Any]) -> Line:
    return _payoff.quant_line(rows(*records), "h200")


def nf4(step_ms: float) -> dict[str, Any]:
    return packed_record("bnb-nf4", "bitsandbytes", "bf16", step_ms=step_ms)


@pytest.mark.medium
def test_the_largest_saving_is_the_answer_and_changes_with_the_steps() -> None:
    # 36 / 18 = 2 and 36 / 72 = 0.5
    first, turned = line(packed_record(step_ms=18.0), nf4(72.0)), line(packed_record(step_ms=72.0), nf4(18.0))
    assert first.number == turned.number == "2.00×"
    assert first.text.startswith("gptq exllamav2 eager")
    assert turned.text.startswith("bnb-nf4 bitsandbytes eager")
    assert first.text.endswith("faster by the median in 1 of 2 rows")
    assert "No verdict with n = 1" in first.caveat
    row = first.row
    assert row is not None
    assert row.value("quant") == "gptq"


@pytest.mark.medium
def test_a_cell_that_was_measured_with_two_protocols_counts_once() -> None:
    table = rows(packed_record(step_ms=18.0))
    (row,) = _payoff.savings(table, "h200")
    tail = replace(row, protocol="tail-long-5-10x300", realised=9.0)
    assert _payoff.savings([tail, *table], "h200") == [row]
    assert quant.summary([tail, row]) == quant.summary([row])


@pytest.mark.medium
def test_the_baseline_is_the_fastest_unquantised_runtime_and_the_p90_is_given() -> None:
    table = rows_of([packed_record(step_ms=18.0), fp16_baseline(36.0), graph_of(fp16_baseline(27.0))])
    (row,) = _payoff.savings(table, "h200")
    found = _payoff.quant_line(table, "h200")
    assert found.number == "1.50×"  # 27 / 18 against the graph; 36 / 18 = 2 against eager
    step = f"step {row.step_wall_ms:.2f} ms, p90 {row.step_wall_p90_ms:.2f} ms (qwen2.5-7b, ctx 2048)"
    assert found.text == f"gptq exllamav2 eager over graph fp16: {step}; faster by the median in 1 of 1 row"


@pytest.mark.medium
@pytest.mark.parametrize(("elsewhere_ms", "told"), [(12.0, True), (24.0, False)])
def test_an_unquantised_step_on_other_hosts_that_is_faster_than_the_answer_is_told(
    elsewhere_ms: float, told: bool
) -> None:
    elsewhere = on_host(graph_of(fp16_baseline(elsewhere_ms)), "b")
    found = _payoff.quant_line(rows_of([packed_record(step_ms=18.0), fp16_baseline(36.0), elsewhere]), "h200")
    assert found.number == "2.00×"  # 36 / 18, on one host
    said = f"On other hosts unquantised graph fp16 takes {elsewhere_ms:.2f} ms, less than this step"
    assert (said in found.caveat) is told


@pytest.mark.medium
def test_if_no_quantised_row_is_faster_none_pays() -> None:
    found = line(packed_record(step_ms=72.0))
    assert found.number == "0.50×"
    assert found.text.startswith("no median is faster; the best is gptq exllamav2 eager")
    assert found.text.endswith("faster by the median in 0 of 1 row")


@pytest.mark.medium
def test_from_five_sessions_on_there_is_a_verdict() -> None:
    def of(make: Make, step_ms: float) -> list[dict[str, Any]]:
        return [make(step_ms=step_ms + n / 100) for n in range(5)]

    found = _payoff.quant_line(quant.rows(frame_of([*of(packed_record, 18.0), *of(example_record, 36.0)])), "h200")
    assert "No verdict" not in found.caveat
    assert " [2.00–2.00] over eager bf16: " in found.text


@pytest.mark.medium
def test_without_a_quantised_cell_on_the_gpu_the_papers_savings_are_given() -> None:
    table = rows()
    missing = "No quantised cell was measured on one host with an unquantised one"
    assert _payoff.quant_line(table, "h200").words == f"{missing}."
    # 62.32 / 17.36 = 3.59, 62.32 / 59.36 = 1.05
    known = "1.05× (bnb-nf4 bitsandbytes), 1.38× (awq AutoAWQ+Marlin), 3.59× (gptq ExLlamaV2)"
    assert _payoff.quant_line(table, "l4").words == f"{missing}; the paper's steps give {known}."
