"""Every figure of the paper beside ours, and the rule that tells why one differs."""

import pytest

from analysis.tables import paper, papercheck
from runner import metrics
from tests.frames import frame_of
from tests.records import example_record, packed_record

H100 = {
    "key": "h100",
    "name": "NVIDIA H100 80GB HBM3",
    "bandwidth_gbs": 3350.0,
    "memory_bytes": 85_520_809_984,
    "compute_capability": "9.0",
}
L4 = {"key": "l4", "name": "NVIDIA L4", "bandwidth_gbs": 300.0}
# W + K of Qwen2.5-7B at 2048 is 15.349 GB: 4.582 ms at 3350 GB/s, so R_floor .270 is 16.97 ms a step
FLOOR_PAPER_MS = 15.348673536 / 3.350


def on(gpu, step_ms, **changes):
    return example_record(step_ms=step_ms, gpu=gpu, cell={"gpu": gpu["key"], "cache": "dynamic"}, **changes)


def rows_of(records):
    return papercheck.rows(frame_of(records))


def checks(records, **wanted):
    found = rows_of(records)
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def h100_check(records):
    (row,) = checks(records, quantity="r_floor_paper", gpu="h100", model="qwen2.5-7b", ctx=2048)
    return row


def test_every_figure_that_the_project_quotes_is_checked():
    found = rows_of([example_record()])
    # 13 of Qwen, 4 of Llama; two of them in streamed bytes; low, high, median of four GPUs; the cells that fit, the one
    # named; 3 + 1 of the A/Bs; 4 quants
    assert len(found) == 17 + 2 + 12 + 2 + 4 + 4
    assert {row["verdict"] for row in found} == {"not measured", "fits here"}
    assert all(row["ours"] is None for row in found if row["verdict"] == "not measured")


def test_within_the_tolerance_it_reproduces():
    row = h100_check([on(H100, FLOOR_PAPER_MS / 0.27)] * 3)
    assert row["verdict"] == "reproduces"
    assert row["ours"] == pytest.approx(0.27, abs=0.005)
    assert row["reason"] is None


def test_beyond_it_differs_by_so_much():
    row = h100_check([on(H100, 2 * FLOOR_PAPER_MS / 0.27)] * 3)
    assert row["verdict"] == "differs"
    assert row["difference"] == pytest.approx(-0.5, abs=0.01)
    assert row["reason"]


def test_in_our_interval_it_reproduces_though_our_median_is_off():
    step = FLOOR_PAPER_MS / 0.27
    row = h100_check([on(H100, factor * step) for factor in (0.9, 1.2, 1.3)])
    assert row["verdict"] == "reproduces"
    assert row["ours_low"] < 0.27 < row["ours_high"]


def changed(found, path, value):
    """A record with one measured value flipped, derived again."""
    *parents, leaf = path.split(".")
    target = found
    for name in parents:
        target = target[name]
    target[leaf] = value
    metrics.derive(found)
    return found


def reason(found):
    row = h100_check([found])
    assert row["verdict"] == "differs"
    return row["reason"]


def slow(**changes):
    """A step three times the paper's, in which kernels are busy all the time and the memory is read at full speed."""
    found = on(H100, 3 * FLOOR_PAPER_MS / 0.27, **changes)
    found["passes"]["busy"]["steps_ms"] = [0.95 * ms for ms in found["passes"]["wall"]["steps_ms"]]
    return changed(found, "probes.read_samples_gbs", [3100.0] * 5)


def test_the_reason_follows_what_was_recorded():
    assert reason(slow()).startswith("other software: torch ")
    # one value flipped at a time
    host = slow()
    host["passes"]["busy"]["steps_ms"] = [0.3 * ms for ms in host["passes"]["wall"]["steps_ms"]]
    metrics.derive(host)
    assert reason(host).startswith("bound by this host: kernels run in 30% of the step")
    assert reason(changed(slow(), "probes.read_samples_gbs", [2010.0] * 5)).startswith(
        "this card's memory reads at 60% of the datasheet's peak"
    )
    static = slow()
    static["cell"]["cache"] = "static"
    assert reason(static).startswith("a static cache")
    throttled = slow()
    throttled["flags"] = ["throttled"]
    assert reason(throttled) == "the card was throttled (flag throttled)"
    # the flag goes before the host
    host["flags"] = ["throttled"]
    assert "throttled" in reason(host)


def test_without_a_recorded_cause_none_is_made_up():
    assert papercheck.likely_reason(None) == "no recorded value tells"


def test_the_headline_cells_stand_in_streamed_bytes_too():
    # 14.259 of 15.349 GB are streamed: .270 is .251, and .810 is .752
    shares = [row["paper"] for row in checks([example_record()], quantity="r_floor (the paper's, in streamed bytes)")]
    assert shares == [pytest.approx(0.251, abs=5e-4), pytest.approx(0.752, abs=5e-4)]


def test_all_of_its_cells_fit_here():
    row = checks([example_record()], quantity="cells that fit")[0]
    # 4 GPUs × 3 models × 4 contexts = 48, of which the paper has 44
    assert (row["paper"], row["ours"], row["verdict"]) == (44, 48, "fits here")
    assert "logits of the last token only" in row["reason"]
    (named,) = [one for one in checks([example_record()], gpu="l4", ctx=8192) if "memory" in one["quantity"]]
    assert (named["verdict"], named["ours"]) == ("not measured", None)
    measured = on(L4, 60.0)
    measured["cell"]["ctx"] = 8192
    (named,) = [one for one in checks([measured], gpu="l4", ctx=8192) if "memory" in one["quantity"]]
    assert named["verdict"] == "fits here"
    assert named["ours"] == pytest.approx(measured["memory"]["peak_bytes"] / 1e9)


def test_a_range_needs_all_cells_of_the_gpu():
    (row,) = checks([on(H100, 17.0)], quantity="r_floor_paper, median of 12 cells", gpu="h100")
    assert (row["verdict"], row["reason"]) == ("not measured", "1 of 12 cells measured")
    records = []
    for _, model, ctx in {(None, model, ctx) for _, model, ctx in paper.matrix()}:
        found = on(H100, 17.0)
        found["cell"] |= {"model": model, "ctx": ctx}
        found["keys"]["cell_key"] = f"{model}-{ctx}"
        records.append(found)
    (row,) = checks(records, quantity="r_floor_paper, median of 12 cells", gpu="h100")
    assert row["verdict"] in ("reproduces", "differs")
    assert row["ours"] == pytest.approx(FLOOR_PAPER_MS / 17.0, rel=0.02)


def test_a_quantised_step_stands_beside_the_same_kernels():
    ours = packed_record(step_ms=17.5)
    ours["cell"]["gpu"], ours["gpu"] = "l4", {**ours["gpu"], **L4}
    ours["keys"]["cell_key"] = "l4"
    (row,) = checks([ours], quantity="ms/step, gptq ExLlamaV2")
    assert (row["paper"], row["verdict"]) == (17.36, "reproduces")
    assert row["ours"] == pytest.approx(17.5, rel=0.02)
    (row,) = checks([ours], quantity="ms/step, awq AutoAWQ+Marlin")
    assert row["verdict"] == "not measured"
