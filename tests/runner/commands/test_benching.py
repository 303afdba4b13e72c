"""The command `bench`, for real on the CPU, and on a pretended GPU up to its worker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.bench import starting
from runner.bench.assignment import Assignment
from runner.bench.result import Bench
from runner.cell.jsonform import from_json
from runner.machine import nvml
from runner.machine.nvml import InstalledGpu
from tests.support.benches import example_bench
from tests.support.processes import ROOT, SMALL_CACHE, Main, runner

TINY = ("--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--steps", "8", "--rounds", "2")
TOYS = str(ROOT / "tests" / "onefile")


def read(path: Path) -> Bench:
    return from_json(Bench, json.loads(path.read_text()))


@pytest.mark.slow
def test_eager_alone_is_measured_and_its_file_has_the_steps(tmp_path: Path) -> None:
    found = runner(tmp_path, "bench", *TINY, "--runtimes", "eager", "--out", "a/found.json")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("tiny 64 bf16 static cpu: 2 rounds of 8 steps each, after 5 to warm up\n")
    assert found.stdout.endswith("result in a/found.json, which is no record\n")
    bench = read(tmp_path / "a" / "found.json")
    (eager,) = bench.entries
    assert eager.speed is not None
    assert [len(each.steps_ms) for each in eager.rounds] == [8, 8]
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("eager ")]
    assert line.split()[1] == f"{eager.speed.step_wall_ms:.3f}"
    assert (bench.turns, bench.ratios) == ((("eager",), ("eager",)), ())


@pytest.mark.slow
def test_two_runtimes_take_turns_and_the_refused_ones_have_a_line_each(tmp_path: Path) -> None:
    """The second runtime that a CPU runs is a toy's."""
    runtimes = ("--runtimes", "eager,graph,toy-step,fused")
    path = os.pathsep.join((TOYS, SMALL_CACHE))
    found = runner(tmp_path, "bench", *TINY, *runtimes, "--out", "found.json", PYTHONPATH=path)
    assert found.returncode == 23, found.stderr
    assert found.stderr.endswith("error: 2 of 4 runtimes have no speed: graph, fused\n")
    for runtime in ("graph", "fused"):
        assert f"{runtime} has no speed: runtime={runtime} needs a CUDA GPU" in found.stdout
    bench = read(tmp_path / "found.json")
    assert bench.turns == (("eager", "toy-step"), ("toy-step", "eager"))
    (ratio,) = bench.ratios
    assert (ratio.over, ratio.under) == ("eager", "toy-step")
    assert ratio.least <= ratio.ratio <= ratio.most
    assert f"eager / toy-step  {ratio.ratio:6.3f}" in found.stdout


@pytest.mark.gpu
@pytest.mark.slow
def test_all_four_runtimes_have_a_speed_on_a_gpu(tmp_path: Path) -> None:
    found = runner(tmp_path, "bench", "--model", "tiny", "--ctx", "2048", "--steps", "16", "--out", "found.json")
    assert found.returncode == 0, found.stdout + found.stderr
    bench = read(tmp_path / "found.json")
    assert [entry.runtime for entry in bench.entries] == ["eager", "graph", "compile", "fused"]
    assert len(bench.ratios) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--runtimes", "eager,fusd"), 10, "unknown runtime 'fusd'; did you mean fused?"),
        (("--runtimes", "eager,eager"), 11, "must name each runtime once"),
        (("--runtimes", "graph"), 13, "runtime=graph needs a CUDA GPU"),
        (("--steps", "2"), 11, "steps=2 is too few"),
        (("--rounds", "0"), 2, "--rounds"),
        (("--model", "tinny"), 10, "did you mean tiny?"),
        (("--out", "/"), 11, "/ exists: name another file with --out"),
    ],
)
def test_a_mistake_is_one_line(main: Main, arguments: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = main("bench", "--gpu", "cpu", *arguments)
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert said in err


@pytest.mark.medium
def test_on_a_gpu_the_worker_gets_all_four_and_the_table_is_printed(
    main: Main, monkeypatch: pytest.MonkeyPatch, card: Callable[..., InstalledGpu], tmp_path: Path
) -> None:
    orders: list[tuple[Assignment, Path]] = []
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA H200", memory_bytes=150 * 10**9),))
    monkeypatch.setattr(starting, "run", lambda order, path, *_: orders.append((order, path)) or example_bench())
    code, out, err = main("bench", "--ctx", "4096")
    ((order, path),) = orders
    assert (order.runtimes, order.rounds) == (("eager", "graph", "compile", "fused"), 5)
    assert path.parent == Path("bench")
    assert path.name.startswith("h200-qwen2.5-7b-4096-2")
    assert (tmp_path / "bench").is_dir()
    assert "eager / fused   5.000  5.000 to 6.000" in out
    assert (code, err.splitlines()[-1]) == (23, "error: 1 of 3 runtimes have no speed: compile")
