"""The job crosses as JSON and comes back the same; a record begins with what it says."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner import job as jobs
from runner.cell.jsonform import to_json
from runner.cell.scheme import Scheme
from runner.errors import BadValue
from runner.job import ContainerInfo, Device, Job
from runner.record.sections.head import Outcome

FAILED = Outcome("failed", "worker-failed", "m", exit_code=None, signal=None, last_output=())


@pytest.fixture
def whole(tiny_job):
    """A job with nothing left to a default."""
    return replace(
        tiny_job,
        session=replace(tiny_job.session, study="a-study", index=3, seed=5),
        scheme=Scheme(64, double_quant=True),
        checkpoint="/models/own",
        device=Device("cuda", "GPU-1", "h200", "NVIDIA H200", 4800.0, True, "580.95.05"),
        given_flags=("unpinned", "shared-host"),
        container=ContainerInfo("docker", "an-image", "sha256:1", "tree"),
        explain=True,
        energy=True,
    )


def test_a_job_is_the_same_after_its_file(whole, tiny_job, tmp_path):
    for job in (whole, tiny_job):
        path = tmp_path / "job.json"
        path.write_text(json.dumps(to_json(job)))
        assert jobs.read(Job, path) == job


@pytest.mark.parametrize(("ago_s", "expected_s"), [(3.0, 47.0), (-3.0, 50.0)])
def test_a_moment_of_the_hosts_clock_is_found_on_the_monotonic_one(monkeypatch, ago_s, expected_s):
    """A moment of the future is taken to be now."""
    fake = SimpleNamespace(time=lambda: 1_700_000_000.0, monotonic=lambda: 50.0)
    monkeypatch.setattr(jobs, "time", fake)
    assert jobs.monotonic_s(int((1_700_000_000.0 - ago_s) * 1000)) == expected_s


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"session": 1}'])
def test_what_is_no_job_is_one_line(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(BadValue, match="is not a job of this version of the worker"):
        jobs.read(Job, tmp_path / "job.json")
    with pytest.raises(BadValue, match="cannot be read: No such file"):
        jobs.read(Job, tmp_path / "none.json")


def test_a_record_begins_with_all_that_the_job_says(whole):
    head = to_json(jobs.failed_record(whole, FAILED))
    assert head["session"] == {"id": "0123456789abcdef", "study": "a-study", "index": 3, "seed": 5, "started_ms": 1_000}
    assert head["request"] == whole.request
    assert head["cell"] == whole.cell.to_json()
    assert head["keys"] == {"cell_key": whole.cell.key}
    assert head["protocol"] == {"name": "paper", "warmup": 5, "steps": 30}
    assert (head["valid"], head["reasons"], head["flags"]) == (False, ["m"], [])
    assert head["given_flags"] == ["unpinned", "shared-host"]
    assert head["model"] == {"name": "tiny", "shape": whole.shape.to_json(), "scheme": whole.scheme.to_json()}
    assert head["gpu"] == {
        "key": "h200",
        "name": "NVIDIA H200",
        "bandwidth_gbs": 4800.0,
        "catalogued": True,
        "driver": "580.95.05",
    }
    assert head["container"] == {"engine": "docker", "image": "an-image", "digest": "sha256:1", "tree_key": "tree"}


def test_nothing_of_the_job_names_the_card_or_a_folder(whole):
    text = json.dumps(to_json(jobs.failed_record(whole, FAILED)))
    assert "GPU-1" not in text
    assert "/models/own" not in text


def test_what_a_job_lacks_its_record_lacks_too(tiny_job: Job):
    head = to_json(jobs.failed_record(tiny_job, FAILED))
    assert "container" not in head
    assert head["model"].keys() == {"name", "shape"}


def test_a_job_of_an_older_version_measures_no_energy(tiny_job, tmp_path):
    older = to_json(tiny_job)
    del older["energy"]
    (tmp_path / "job.json").write_text(json.dumps(older))
    assert jobs.read(Job, tmp_path / "job.json") == tiny_job
