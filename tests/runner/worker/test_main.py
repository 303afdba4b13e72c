"""The worker's program in this process: what it sets before torch is imported, and what it tells the parent."""

import json
import logging
import os
import sys
import time
from dataclasses import replace

import pytest

from runner.bench.assignment import Assignment
from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import to_json
from runner.errors import BadValue, MissingPackage
from runner.runtimes import _compilecache
from runner.worker import __main__ as program
from runner.worker import bench, session

TF32 = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What the program sets for the rest of its life is gone after the test."""
    for name in (*TF32, "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", *VARIABLES):
        monkeypatch.setenv(name, "1")
    for name in program.UNWANTED:
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name))
    monkeypatch.setattr(logging.getLogger(program.HUB_KERNEL_LOGGER), "filters", [])
    for name in ("die_with_parent", "die_with_input"):
        monkeypatch.setattr(program, name, lambda: None)


VARIABLES = (_compilecache.INDUCTOR_VARIABLE, _compilecache.TRITON_VARIABLE)


def test_no_setting_of_the_callers_turns_tf32_on():
    program._prepare_import()
    assert [os.environ[name] for name in TF32] == ["0", "0"]


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_the_hub_is_not_asked_unless_the_caller_wants_it(monkeypatch, before, after):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if before is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", before)
    program._prepare_import()
    assert os.environ["HF_HUB_OFFLINE"] == after


@pytest.fixture
def written(tiny_job, tmp_path):
    """A function that writes the job, its command begun so many seconds ago; returns its path."""

    def write(ago=0.0, **cell):
        job = replace(
            tiny_job,
            started_s=time.monotonic() - ago,
            cell=replace(tiny_job.cell, **cell),
        )
        (tmp_path / "job.json").write_text(json.dumps(to_json(job)))
        return str(tmp_path / "job.json")

    return write


def test_a_session_is_run_with_its_job_and_the_seconds_until_here(written, monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(session, "run", lambda job, clock, _: seen.update(job=job, seconds=dict(clock.seconds)))
    assert program.main([written(ago=3)]) == 0
    assert seen["job"].cell.model == "tiny"
    assert 3 <= seen["seconds"]["start"] < 60
    assert seen["seconds"].keys() == {"start", "import"}
    assert os.environ[_compilecache.INDUCTOR_VARIABLE] == str(tmp_path / "compile-cache")


def test_a_clock_that_was_set_back_meanwhile_makes_no_negative_time(written, monkeypatch):
    seen = {}
    monkeypatch.setattr(session, "run", lambda _job, clock, _: seen.update(clock.seconds))
    program.main([written(ago=-100)])
    assert seen["start"] == 0.0


def told(capsys):
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("@error ")]
    return json.loads(line.removeprefix("@error "))


def test_an_error_of_the_family_is_told_with_its_reason_and_code(written, monkeypatch, capsys):
    def fail(*_):
        raise MissingPackage("no such thing")

    monkeypatch.setattr(session, "run", fail)
    assert program.main([written()]) == MissingPackage.exit_code
    assert told(capsys) == {
        "reason": MissingPackage.reason,
        "exit_code": MissingPackage.exit_code,
        "message": "no such thing",
    }


def test_a_job_that_cannot_be_read_is_told_too(tmp_path, capsys):
    assert program.main([str(tmp_path / "none.json")]) == BadValue.exit_code
    assert "cannot be read" in told(capsys)["message"]


@pytest.fixture
def bench_file(tiny_job, tmp_path):
    """The file of a bench's assignment of one job, and the assignment."""
    order = Assignment((tiny_job,), (), 5, "/somewhere/found.json")
    (tmp_path / "job.json").write_text(json.dumps(to_json(order)))
    return order, str(tmp_path / "job.json")


def test_a_bench_is_run_with_its_assignment(bench_file, monkeypatch, tmp_path):
    order, path = bench_file
    seen = {}
    monkeypatch.setattr(bench, "run", lambda order, clock: seen.update(order=order, seconds=dict(clock.seconds)))
    assert program.main(["--bench", path]) == 0
    assert seen["order"] == order
    assert seen["seconds"].keys() == {"start", "import"}
    assert os.environ[_compilecache.INDUCTOR_VARIABLE] == str(tmp_path / "compile-cache")


def test_a_bench_is_no_job(bench_file, capsys):
    assert program.main([bench_file[1]]) == BadValue.exit_code
    assert "is not a job of this version" in told(capsys)["message"]


def test_a_session_without_a_condition_of_the_host_observes_none(written, monkeypatch):
    seen = []
    monkeypatch.setattr(session, "run", lambda _job, _clock, observe: seen.append(observe()))
    assert program.main([written(ago=1)]) == 0
    assert seen == [ABSENT]
