"""bench-overhead times the two loops in turns, over the same positions."""

import time

import pytest
import torch

from runner.cell.cell import Cell
from tests import bench_overhead


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_both_ways_take_as_many_steps_and_end_with_the_same_logits(cache, monkeypatch):
    monkeypatch.setattr(bench_overhead, "ROUND_STEPS", 4)
    cell = Cell("cpu", "tiny", 64, "bf16", "torch-cpu", "eager", "sdpa", cache, "bf16", "synthetic-v1")
    with torch.inference_mode():
        bare, step = bench_overhead.build(cell, torch.device("cpu"))
        began = time.perf_counter()
        found = bench_overhead.compare(bare, step, 64, rounds=3)
        most_ms = (time.perf_counter() - began) * 1e3
    assert len(found.bare) == len(found.harness) == 12
    assert min(found.bare + found.harness) > 0.01  # a step of two layers takes more than 10 µs
    assert sum(found.bare + found.harness) <= most_ms
    assert int(step.position) == 64 + bench_overhead.WARMUP + 4 == int(bare._position)


def test_the_ratio_is_harness_over_bare():
    figures = bench_overhead.Found(bare=[10.0] * 40, harness=[11.0] * 40).figures()
    lines = bench_overhead.lines({"model": "m", "ctx": 64, "cache": "static", "runtime": "eager", **figures})
    assert "ratio    1.1000, 95 % interval over steps 1.1000 to 1.1000" in lines
    assert any(line.startswith("pairs    1.1000") for line in lines)
    assert any(line.startswith("noise    1.0000") for line in lines)


@pytest.mark.parametrize("arguments", [["--model", "nope"], ["--rounds", "1"], ["--ctx", "0"]])
def test_bad_arguments_end_with_a_usage_line(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit):
        bench_overhead.main()
    assert "bench" in capsys.readouterr().err
