"""The baseline of a quantised cell: the fastest unquantised one of the same place, on the same hosts."""

import pytest

from analysis.tables import quant
from tests.support.quants import by_quant, fp16_baseline, graph_of, on_host, rows_by, rows_of
from tests.support.records import example_record, packed_record


@pytest.mark.medium
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


@pytest.mark.medium
def test_nf4_is_held_against_bf16():
    table = by_quant(rows_of([packed_record("bnb-nf4", "bitsandbytes", "bf16"), example_record()]))
    assert table.keys() == {("bnb-nf4", "bf16"), ("bf16", "bf16")}
    assert table["bnb-nf4", "bf16"].ideal == pytest.approx(3.12, abs=0.01)


@pytest.mark.medium
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


@pytest.mark.medium
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


@pytest.mark.medium
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


@pytest.mark.medium
def test_a_host_on_which_only_one_of_both_ran_says_nothing():
    records = [on_host(packed_record(step_ms=18.0), "a"), on_host(fp16_baseline(step_ms=36.0), "a")]
    alone = [on_host(packed_record(step_ms=1000.0), "b"), on_host(fp16_baseline(step_ms=5.0), "c")]
    row = rows_by(rows_of([*records, *alone]))["gptq", "eager", "fp16"]
    assert (row.realised, row.realised_hosts) == (pytest.approx(2.0, rel=0.01), 1)


@pytest.mark.medium
def test_of_a_cell_measured_twice_the_newer_sessions_count():
    newer = fp16_baseline(step_ms=54.0)
    newer["session"]["started_ms"] += 1000
    newer["keys"]["env_key"] = "f" * 12
    table = by_quant(rows_of([packed_record(), newer, fp16_baseline()]))
    assert table["gptq", "fp16"].realised == pytest.approx(3.0, rel=0.01)


@pytest.mark.medium
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


@pytest.mark.medium
def test_an_engine_is_held_against_the_fastest_too():
    table = rows_by(rows_of([packed_record(runtime="exllamav2"), fp16_baseline(), graph_of(fp16_baseline(9.0))]))
    row = table["gptq", "exllamav2", "fp16"]
    assert row.against == "graph fp16"
    assert row.over_eager == pytest.approx(2.0, rel=0.01)


@pytest.mark.medium
def test_where_all_baselines_ran_elsewhere_no_saving_is_estimated():
    table = by_quant(rows_of([packed_record(), on_host(fp16_baseline(), "f")]))
    row = table["gptq", "fp16"]
    assert row.flags == ["other-host"]
    assert (row.against, row.realised, row.over_eager) == (None, None, None)
    assert table["bf16", "fp16"].flags == []
