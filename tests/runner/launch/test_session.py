"""A session: first the spool, then the store; nothing that was measured is lost."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.cell.jsonform import to_json
from runner.checkpoints import checkpoint
from runner.errors import (
    BadValue,
    DiskFull,
    GpuNotFound,
    Interrupted,
    InvalidSession,
    OutOfMemory,
    StoreUnreachable,
    WorkerFailed,
)
from runner.job import Job, failed_record
from runner.launch import process, session
from runner.launch.container import place as places
from runner.launch.container.engine import Engine, Image
from runner.launch.container.place import Container, Place
from runner.launch.container.user import User
from runner.launch.container.worker import ContainedWorker
from runner.launch.local import LocalWorker
from runner.launch.session import Finished, Settings
from runner.machine import host, hostlock, nvml
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request
from runner.record import record, sidecar, spool
from runner.record.sections.head import Outcome
from runner.record.sessionrecord import SessionRecord
from runner.record.written import read as read_written
from runner.store import EntryRun
from tests.fakes.pynvml_fake import Card, Driver, module
from tests.support.derive import typed
from tests.support.displays import Seen
from tests.support.records import example_record
from tests.support.records import failed_record as failed_example

TINY = Request(gpu="cpu", model="tiny", ctx="64")
MakeSettings = Callable[..., Settings]

FAILED = Outcome("failed", "worker-failed", "m", exit_code=None, signal=None, last_output=())


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    def make(**changes: Any) -> Settings:
        quiet = {"display": Seen(), "timeout_s": 60.0, "share_host": False, "run": None}
        return Settings(**{"spool": tmp_path / "spool", "commit": None, **quiet, **changes})

    return make


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Replaces the worker by a record written at once; collects the jobs it was given."""
    seen: list[Job] = []

    def run_worker(job: Job, *_: object) -> SessionRecord:
        seen.append(job)
        written = failed_record(job, FAILED)
        record.write(written, Path(job.record_path))
        return written

    monkeypatch.setattr(process, "run_worker", run_worker)
    return seen


def run(settings: Settings, request: Request = TINY, index: int = 0) -> Finished:
    return session.run_session(request, index, 1_000, settings)


def test_the_record_lies_in_the_spool_before_it_is_committed(settings: MakeSettings, jobs: list[Job]) -> None:
    def commit(found: SessionRecord, run_id: str | None, path: Path) -> str:
        assert read_written(path) == found
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
    assert sidecar.remembered_run(finished.path) == "abc123"
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
    assert read_written(finished.path) == finished.record
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
    assert finished.record.outcome.status == "infeasible"


def test_what_cannot_fit_is_refused_before_it_is_downloaded(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 10**9)
    monkeypatch.setattr(checkpoint, "on_hub", lambda *_: checkpoint.Checkpoint("c0ffee", None, "o/m", pinned=False))
    monkeypatch.setattr(checkpoint, "fetch", lambda _: pytest.fail("downloaded"))
    finished = run(settings(), Request(gpu="cpu", weights="hub"))
    assert finished.record.outcome.status == "infeasible"
    assert finished.record.given_flags == ("unpinned",)
    assert jobs == []


def test_waiting_for_the_host_is_no_cost_of_the_session(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((9.0, 10.0, 12.5))
    monkeypatch.setattr("runner.launch.session.time.monotonic", lambda: next(times))
    monkeypatch.setattr("runner.job.time.time", lambda: 1_700_000_000.0)
    run(settings())
    # asked at 10.0 s, held at 12.5 s: the session began 2500 ms later, on both clocks
    assert jobs[0].session.started_ms == 1_000 + 2_500
    assert jobs[0].started_s == pytest.approx(9.0 - (1_700_000_000.0 - 1.0) + 2.5)


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


def test_that_it_waits_for_the_host_is_told_before_any_second_of_the_session(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def hold(_share: bool, on_wait: Callable[[str], None]) -> Iterator[None]:
        on_wait("waiting for another session")
        yield

    seen = Seen()
    monkeypatch.setattr(hostlock, "hold", hold)
    run(settings(display=seen))
    assert (seen.notes, len(jobs)) == (["waiting for another session"], 1)


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
        (
            {},
            ["warning: gpu 0 does not answer: NVML said 'GPU is lost'; another card is measured (device= chooses one)"],
        ),
        (
            {"gpu": "l4"},
            ["warning: gpu 0 does not answer: NVML said 'GPU is lost'; another card is measured (device= chooses one)"],
        ),
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
    seen = Seen()
    run(settings(display=seen), Request(model="tiny", ctx="64", **asked))
    assert [job.device.uuid for job in jobs] == [cards[1].uuid]
    assert [each for each in seen.notes if each.startswith("warning")] == told


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
    original = process.run_worker

    def run_worker(job: Job, *arguments: Any) -> dict[str, Any]:
        sizes.append(spool.reserve_path(Path(job.record_path)).stat().st_size)
        return original(job, *arguments)

    monkeypatch.setattr(process, "run_worker", run_worker)
    finished = run(settings(), Request(gpu="cpu", model="tiny", ctx="64", steps="300"))
    # 64 KiB and 224 bytes for each of 300 steps
    assert (sizes, len(jobs)) == ([65536 + 67200], 1)
    assert {entry.name for entry in finished.path.parent.iterdir()} == {finished.path.name}


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (example_record(), None),
        (example_record() | {"valid": False, "reasons": ["gate"]}, InvalidSession),
        (failed_example("oom"), OutOfMemory),
        (failed_example("interrupted"), Interrupted),
    ],
)
def test_a_record_tells_which_error_the_command_ends_with(record: dict[str, Any], kind: type | None) -> None:
    error = session.failure(typed(record))
    assert (type(error) if error else None) is kind


def test_the_error_of_a_record_says_all_that_the_record_says() -> None:
    invalid = replace(typed(example_record()), valid=False, reasons=("gate short", "weights"))
    assert str(session.failure(invalid)) == "the session is not valid: gate short; weights"
    for reason in ("of-a-newer-version", None):
        error = session.failure(replace(typed(failed_example()), outcome=replace(FAILED, reason=reason)))
        assert (type(error), str(error)) == (WorkerFailed, "m")


def test_a_session_that_failed_goes_before_a_store_that_was_away(tmp_path: Path) -> None:
    away = StoreUnreachable("away")
    failed, valid = typed(failed_example("oom")), typed(example_record())
    assert isinstance(Finished(failed, tmp_path, store_error=away).error, OutOfMemory)
    assert Finished(valid, tmp_path, store_error=away).error is away
    assert Finished(valid, tmp_path).error is None


@pytest.mark.parametrize(
    ("counts", "timeout_s"),
    [({}, 1800.0), ({"protocol": "tail-long"}, 1800.0), ({"protocol": "tail-long", "windows": "20"}, 3600.0)],
)
def test_a_worker_has_the_time_that_its_protocol_needs(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, counts: dict[str, str], timeout_s: float
) -> None:
    given: list[float] = []

    def run_worker(job: Job, seconds: float, *_: object) -> SessionRecord:
        given.append(seconds)
        return failed_record(job, FAILED)

    monkeypatch.setattr(process, "run_worker", run_worker)
    request = replace(TINY, cache="static", **counts)
    session.run_session(request, 0, 0, settings(timeout_s=None))
    session.run_session(request, 0, 0, settings(timeout_s=60.0))
    assert given == [timeout_s, 60.0]


def test_more_steps_than_a_record_can_have_are_refused_before_anything_starts(settings: MakeSettings) -> None:
    request = replace(TINY, cache="static", windows="99999999999")
    with pytest.raises(BadValue, match="too many for a record of at most 32 MiB: choose windows="):
        session.run_session(request, 0, 0, settings())


def test_the_worker_is_given_the_time_the_listener_and_the_place_that_were_chosen(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def run_worker(job: Job, timeout_s: float, on_phase: Any, worker: Any) -> SessionRecord:
        given.append((job.explain, timeout_s, on_phase, type(worker)))
        return failed_record(job, FAILED)

    seen = Seen()
    monkeypatch.setattr(process, "run_worker", run_worker)
    run(settings(timeout_s=7.0, display=seen, explain=True))
    contained = replace(CONTAINED, notice="in podman's image", flags=("stale-image",))
    monkeypatch.setattr(places, "choose", lambda *_: contained)
    monkeypatch.setattr(nvml, "snapshot", lambda _uuid: SimpleNamespace(other_processes=None))
    run(settings(display=seen))
    assert given == [(True, 7.0, seen.phase, LocalWorker), (False, 60.0, seen.phase, ContainedWorker)]
    assert seen.notes == ["in podman's image"]


def test_flags_known_before_are_those_of_the_plan_the_place_and_the_host(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "choose", lambda *_: Place(flags=("stale-image",)))
    monkeypatch.setattr(checkpoint, "on_hub", lambda *_: checkpoint.Checkpoint("c0ffee", None, "o/m", pinned=False))
    monkeypatch.setattr(checkpoint, "fetch", lambda _: "/weights")
    run(settings(share_host=True), Request(gpu="cpu", weights="hub", model="qwen2.5-0.5b", ctx="64"))
    assert jobs[0].given_flags == ("unpinned", "stale-image", "shared-host")


def test_weights_are_given_to_the_worker_by_their_real_path(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(checkpoint, "on_hub", lambda *_: checkpoint.Checkpoint("c0ffee", None, "o/m"))
    monkeypatch.setattr(checkpoint, "fetch", lambda _: tmp_path / "link")
    (tmp_path / "spool-link").symlink_to(tmp_path / "real")
    run(settings(spool=tmp_path / "spool-link"), Request(gpu="cpu", weights="hub", model="qwen2.5-0.5b", ctx="64"))
    assert jobs[0].checkpoint == str(tmp_path / "real")
    assert Path(jobs[0].record_path).parent == tmp_path / "real"


def test_each_session_has_an_id_of_its_own(settings: MakeSettings, jobs: list[Job]) -> None:
    for _ in range(3):
        run(settings())
    assert len({job.session.id for job in jobs}) == 3


def test_what_a_killed_session_kept_is_cleared_with_its_run(
    settings: MakeSettings, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[Any] = []
    monkeypatch.setattr(spool, "clear_abandoned", lambda folder: [folder / "of-a-killed-session.json"])
    monkeypatch.setattr(sidecar, "forget_runs", forgotten.extend)
    finished = run(settings())
    assert forgotten == [finished.path.parent / "of-a-killed-session.json"]
    assert jobs


def test_an_error_that_names_the_records_folder_is_left_as_it_is(settings: MakeSettings, jobs: list[Job]) -> None:
    def commit(_found: Any, _run: Any, path: Path) -> str:
        raise StoreUnreachable(f"away; import {path.parent} later")

    finished = run(settings(commit=commit))
    assert str(finished.store_error) == f"away; import {finished.path.parent} later"
    assert jobs


def test_a_folder_with_a_space_is_quoted_where_it_is_to_be_typed(
    settings: MakeSettings, jobs: list[Job], tmp_path: Path
) -> None:
    def commit(*_: object) -> str:
        raise StoreUnreachable("away")

    finished = run(settings(spool=tmp_path / "my spool", commit=commit))
    assert str(finished.store_error).endswith(f"python -m runner import '{tmp_path / 'my spool'}'")
    assert jobs


def test_the_run_that_mlflow_made_is_not_closed_where_the_store_was_away(
    settings: MakeSettings, jobs: list[Job], tmp_path: Path
) -> None:
    def commit(*_: object) -> str:
        raise StoreUnreachable("away")

    made = EntryRun("abc123")
    made.mark(tmp_path / "spool")
    finished = run(settings(run=made, commit=commit))
    assert [entry.name for entry in (tmp_path / "spool" / ".runs").iterdir()] != []
    assert (finished.run, sidecar.remembered_run(finished.path)) == (None, "abc123")
    assert jobs


def test_a_local_path_is_not_in_the_record(settings: MakeSettings, jobs: list[Job], tmp_path: Path) -> None:
    folder = tmp_path / "secret-place"
    monkey = checkpoint.Checkpoint("headers-1", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "local", lambda *_: monkey)
        finished = run(settings(), Request(gpu="cpu", model="tiny", ctx="64", weights=str(folder)))
    assert jobs[0].checkpoint == str(folder)
    assert "secret-place" not in json.dumps(to_json(finished.record))
