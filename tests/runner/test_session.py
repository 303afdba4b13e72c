"""A session: first the spool, then the store; nothing that was measured is lost."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner import launch, session, store
from runner.checkpoints import checkpoint
from runner.containers import place as places
from runner.containers.engine import Engine, Image
from runner.containers.place import Container, Place
from runner.containers.user import User
from runner.errors import BadValue, DiskFull, GpuNotFound, Interrupted, InvalidSession, OutOfMemory, StoreUnreachable
from runner.machine import host, hostlock, nvml
from runner.machine.nvml import InstalledGpu
from runner.records import record, spool
from runner.request import Request
from runner.session import Finished, Settings
from runner.store import EntryRun
from runner.worker.job import Job, record_head
from tests.fakes.pynvml_fake import Card, Driver, module

TINY = Request(gpu="cpu", model="tiny", ctx="64")
MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    def make(**changes: Any) -> Settings:
        quiet = {"on_progress": lambda *_: None, "timeout_s": 60.0, "share_host": False, "run": None}
        return Settings(**{"spool": tmp_path / "spool", "commit": None, **quiet, **changes})

    return make


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Replaces the worker by a record written at once; collects the jobs it was given."""
    seen: list[Job] = []

    def run_worker(job: Job, *_: object) -> dict[str, Any]:
        seen.append(job)
        written = {**record_head(job), "outcome": {"status": "failed", "reason": "worker-failed", "message": "m"}}
        record.write(written, Path(job.record_path))
        return written

    monkeypatch.setattr(launch, "run_worker", run_worker)
    return seen


def run(settings: Settings, request: Request = TINY, index: int = 0) -> Finished:
    return session.run_session(request, index, 1_000, settings)


def test_the_record_lies_in_the_spool_before_it_is_committed(settings: MakeSettings, jobs: list[Job]) -> None:
    def commit(found: dict[str, Any], run_id: str | None, path: Path) -> str:
        assert record.read(path) == found
        assert run_id is None
        return "run-1"

    finished = run(settings(commit=commit), index=2)
    assert finished.run == "run-1"
    assert finished.path.name == f"tiny-64-bf16-eager-dynamic-2-{jobs[0].session.id}.json"
    assert finished.path.is_absolute()


def test_the_job_says_what_was_resolved(settings: MakeSettings, jobs: list[Job]) -> None:
    run(settings(share_host=True), Request(gpu="cpu", model="tiny", ctx="64", seed="5", study="s"))
    job = jobs[0]
    assert (job.session.seed, job.session.study, job.model_name) == (5, "s", "tiny")
    assert len(job.session.id) == session.SESSION_ID_LENGTH
    assert job.session.started_ms >= 1_000
    assert (job.given_flags, job.request["model"]) == (("shared-host",), "tiny")


def test_without_a_store_the_record_only_lies_in_the_spool(settings: MakeSettings, jobs: list[Job]) -> None:
    finished = run(settings())
    assert (finished.run, len(jobs)) == (None, 1)
    assert finished.path.is_file()


def test_the_run_that_mlflow_made_is_remembered_and_closed_by_the_commit(
    settings: MakeSettings, jobs: list[Job], tmp_path: Path
) -> None:
    run_of_mlflow = EntryRun("abc123")
    run_of_mlflow.mark(tmp_path / "spool")
    finished = run(settings(run=run_of_mlflow, commit=lambda _found, run_id, _path: str(run_id)))
    assert finished.run == "abc123"
    assert store.remembered_run(finished.path) == "abc123"
    assert list((tmp_path / "spool" / ".runs").iterdir()) == []
    assert jobs


def test_a_store_that_is_away_loses_nothing(settings: MakeSettings, jobs: list[Job]) -> None:
    def commit(*_: object) -> str:
        raise StoreUnreachable("the server does not answer")

    finished = run(settings(commit=commit))
    assert isinstance(finished.store_error, StoreUnreachable)
    folder = finished.path.parent
    assert str(finished.store_error) == (
        f"the server does not answer; the record is kept at {finished.path}; "
        f"import it with: python -m runner import {folder}"
    )
    assert record.read(finished.path) == finished.record
    assert jobs


def test_ctrl_c_while_committing_ends_the_command_and_says_where_the_record_is(
    settings: MakeSettings, jobs: list[Job]
) -> None:
    def commit(*_: object) -> str:
        raise Interrupted("stopped by Ctrl-C")

    with pytest.raises(Interrupted, match=r"stopped by Ctrl-C; the record is kept at .*: python -m runner import"):
        run(settings(commit=commit))
    assert jobs


def test_what_cannot_fit_leaves_a_record_and_starts_nothing(
    settings: MakeSettings, jobs: list[Job], card: Callable[..., InstalledGpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4", memory_bytes=24 * 10**9),))
    finished = run(settings(), Request(gpu="l4", model="llama-3.1-8b", ctx="100000"))
    assert jobs == []
    outcome = record.read(finished.path)["outcome"]
    assert (outcome["status"], outcome["reason"], outcome["exit_code"]) == ("infeasible", "infeasible", None)
    assert "needs about" in outcome["message"]


def test_what_can_never_fit_does_not_wait_for_the_host(
    settings: MakeSettings, card: Callable[..., InstalledGpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4", memory_bytes=24 * 10**9),))
    monkeypatch.setattr(hostlock, "hold", lambda *_: pytest.fail("waited"))
    finished = run(settings(), Request(gpu="l4", model="llama-3.1-8b", ctx="100000"))
    assert finished.record["outcome"]["status"] == "infeasible"


def test_what_cannot_fit_is_refused_before_it_is_downloaded(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 10**9)
    monkeypatch.setattr(checkpoint, "on_hub", lambda *_: checkpoint.Checkpoint("c0ffee", None, "o/m", pinned=False))
    monkeypatch.setattr(checkpoint, "fetch", lambda _: pytest.fail("downloaded"))
    finished = run(settings(), Request(gpu="cpu", weights="hub"))
    assert finished.record["outcome"]["status"] == "infeasible"
    assert finished.record["given_flags"] == ["unpinned"]
    assert jobs == []


def test_waiting_for_the_host_is_no_cost_of_the_session(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((10.0, 12.5))
    monkeypatch.setattr("runner.session.time.monotonic", lambda: next(times))
    run(settings())
    # asked at 10.0 s, held at 12.5 s: the session began 2500 ms later
    assert jobs[0].session.started_ms == 1_000 + 2_500


def test_the_host_is_held_while_measuring_and_storing_and_not_when_shared(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    @contextmanager
    def hold(share: bool, _on_wait: Callable[[str], None]) -> Iterator[None]:
        happened.append(f"hold, share {share}")
        yield
        happened.append("free")

    def commit(*_: object) -> str:
        happened.append(f"commit of session {len(jobs)}")
        return "run-1"

    monkeypatch.setattr(hostlock, "hold", hold)
    run(settings(commit=commit))
    run(settings(commit=commit, share_host=True))
    assert happened == [
        *("hold, share False", "commit of session 1", "free"),
        *("hold, share True", "commit of session 2", "free"),
    ]


def test_what_cannot_be_resolved_is_said_without_waiting_for_the_host(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostlock, "hold", lambda *_: pytest.fail("waited"))
    with pytest.raises(BadValue):
        run(settings(), Request(gpu="cpu", ctx="0"))


def test_the_cpu_needs_no_nvml(settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: pytest.fail("asked NVML"))
    run(settings())
    assert jobs


CONTAINED = Place(
    Container(Engine("podman", "podman"), Image("decode-floor:ada-modern", "sha256:0123", {}), User("0:0"))
)
NOT_ANSWERED = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")


@pytest.mark.parametrize(
    ("place", "changes", "flags"),
    [
        (CONTAINED, {"processes": (4_194_999,)}, ("shared-card",)),
        (CONTAINED, {}, ()),
        (CONTAINED, {"processes": (4_194_999,), "unsupported": NOT_ANSWERED}, ()),
        (Place(), {"processes": (4_194_999,)}, ()),  # the worker sees it, and says so itself
    ],
)
def test_who_is_on_the_card_is_asked_for_a_worker_in_a_container(
    settings: MakeSettings,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    place: Place,
    changes: dict[str, Any],
    flags: tuple[str, ...],
) -> None:
    uuid = "GPU-00000000-aaaa-bbbb-cccc-dddddddddddd"
    driver = Driver(cards=[Card(uuid, "NVIDIA L4", (8, 9), memory=(24 * 10**9, 0), **changes)])
    monkeypatch.setitem(sys.modules, "pynvml", module(driver))
    monkeypatch.setattr(places, "choose", lambda *_: place)
    run(settings(), Request(gpu="l4", model="tiny", ctx="64"))
    assert jobs[0].given_flags == flags


LOST_AND_L4 = (("", "NVML said 'GPU is lost'"), ("NVIDIA L4", None))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, ["warning: gpu 0 does not answer: NVML said 'GPU is lost'"]),
        ({"gpu": "l4"}, ["warning: gpu 0 does not answer: NVML said 'GPU is lost'"]),
        ({"device": "1"}, []),
    ],
)
def test_a_healthy_card_is_measured_and_a_dead_one_that_auto_passed_over_is_told(
    settings: MakeSettings,
    jobs: list[Job],
    card: Callable[..., InstalledGpu],
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, str],
    told: list[str],
) -> None:
    cards = tuple(card(name, index, fault=fault) for index, (name, fault) in enumerate(LOST_AND_L4))
    monkeypatch.setattr(nvml, "list_gpus", lambda: cards)
    said: list[str] = []
    run(settings(on_progress=lambda text, _: said.append(text)), Request(model="tiny", ctx="64", **asked))
    assert [job.device.uuid for job in jobs] == [cards[1].uuid]
    assert [text for text in said if text.startswith("warning")] == told


def test_a_request_that_cannot_be_resolved_writes_nothing(settings: MakeSettings, tmp_path: Path) -> None:
    with pytest.raises((GpuNotFound, BadValue)):
        run(settings(), Request(gpu="cpu", ctx="0"))
    assert not (tmp_path / "spool").exists()


def test_a_full_disk_is_said_before_measuring(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="no space left in the spool"):
        run(settings())
    assert jobs == []


def test_space_is_kept_for_the_record_while_it_is_measured(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = launch.run_worker

    def run_worker(job: Job, *arguments: Any) -> dict[str, Any]:
        sizes.append(spool.reserve_path(Path(job.record_path)).stat().st_size)
        return original(job, *arguments)

    monkeypatch.setattr(launch, "run_worker", run_worker)
    finished = run(settings(), Request(gpu="cpu", model="tiny", ctx="64", steps="300"))
    # 64 KiB and 128 bytes for each of 300 steps
    assert (sizes, len(jobs)) == ([65536 + 38400], 1)
    assert {entry.name for entry in finished.path.parent.iterdir()} == {finished.path.name}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"valid": True, "outcome": {"status": "measured"}}, None),
        ({"valid": False, "reasons": ["gate"], "outcome": {"status": "measured"}}, InvalidSession),
        ({"valid": False, "outcome": {"status": "oom", "reason": "oom", "message": "m"}}, OutOfMemory),
        (
            {"valid": False, "outcome": {"status": "interrupted", "reason": "interrupted", "message": "m"}},
            Interrupted,
        ),
    ],
)
def test_a_record_tells_which_error_the_command_ends_with(changes: dict[str, Any], kind: type | None) -> None:
    error = session.failure(changes)
    assert (type(error) if error else None) is kind


def test_a_local_path_is_not_in_the_record(settings: MakeSettings, jobs: list[Job], tmp_path: Path) -> None:
    folder = tmp_path / "secret-place"
    monkey = checkpoint.Checkpoint("headers-1", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "local", lambda *_: monkey)
        finished = run(settings(), Request(gpu="cpu", model="tiny", ctx="64", weights=str(folder)))
    assert jobs[0].checkpoint == str(folder)
    assert "secret-place" not in json.dumps(finished.record)
