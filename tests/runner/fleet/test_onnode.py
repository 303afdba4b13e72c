"""The node's side: sessions and blocks are measured there, and their records returned whole."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from runner.ab import arms, manifest
from runner.errors import GpuNotFound
from runner.fleet import onnode
from runner.fleet.onnode import measure
from runner.fleet.orders import BlockOrder, SessionOrder, Terms
from runner.launch.session import Finished, Settings
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import codekey
from runner.study.declared import Arms
from tests.support import standins

pytestmark = pytest.mark.medium
TERMS = Terms(codekey.tree_key(), False, 60.0)
REQUEST = Request(gpu="cpu", model="tiny", ctx="64")
KEY = resolve(REQUEST, ()).cell.key
DIFFERING = Arms("cache", "dynamic", "static")


def block(
    sessions: int = 3, done: manifest.Manifest | None = None, records: dict[str, str] | None = None
) -> BlockOrder:
    pair = arms.pair(REQUEST, DIFFERING.field, DIFFERING.a, DIFFERING.b, ())
    text = (done or manifest.declare(pair, sessions, 0)).text
    return BlockOrder(REQUEST, DIFFERING, sessions, 0, text, records or {}, 4)


def test_a_session_returns_its_record_and_leaves_nothing(worker: standins.Worker, tmp_path: Path) -> None:
    delivery = measure(SessionOrder(REQUEST, 7, KEY), TERMS, "n1")
    (text,) = delivery.records
    assert json.loads(text)["session"]["index"] == 7
    assert (worker.count, delivery.fault, delivery.manifest) == (1, None, None)
    assert delivery.node.endswith(" n1")
    assert list(tmp_path.iterdir()) == []


def test_what_a_node_waited_for_first_is_apart_from_its_notes(
    worker: standins.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(request: Request, index: int, started_ms: int, settings: Settings) -> Finished:
        settings.display.note("the card is shared")
        for number in (1, 2):
            settings.display.wait(f"waiting for pid {number}")
        return worker(request, index, started_ms, settings)

    monkeypatch.setattr(onnode, "run_session", waits)
    delivery = measure(SessionOrder(REQUEST, 0, KEY), TERMS)
    assert (delivery.notes, delivery.waited) == (("the card is shared",), "waiting for pid 1")


def test_other_code_is_refused_by_the_name_of_the_node(worker: standins.Worker) -> None:
    delivery = measure(SessionOrder(REQUEST, 0, KEY), Terms("0" * 12, False, 60.0), "n1")
    assert delivery.fault is not None
    assert (delivery.fault.reason, worker.count) == ("mismatch", 0)
    assert f"it has other code (tree_key {codekey.tree_key()}, the driver's is 000000000000)" in delivery.fault.message


def test_no_session_begins_that_would_end_after_the_limit(worker: standins.Worker) -> None:
    end_ms = int(1000 * (time.time() + 60))

    def is_late(order: SessionOrder | BlockOrder, expected_s: float | None) -> bool:
        return measure(order, Terms(TERMS.tree_key, False, 60.0, end_ms, expected_s)).is_late

    assert is_late(SessionOrder(REQUEST, 0, KEY), 61.0)
    assert is_late(block(), 20.0)  # four sessions of 20 s
    assert worker.count == 0
    assert not is_late(SessionOrder(REQUEST, 0, KEY), 20.0)
    assert not is_late(SessionOrder(REQUEST, 0, KEY), None)


def test_a_block_is_measured_whole_and_continues_the_manifest(worker: standins.Worker) -> None:
    first = measure(block(), TERMS)
    assert first.manifest is not None
    grown = manifest.parse(first.manifest, "m")
    assert [len(each.sessions) for each in grown.blocks] == [4]
    assert (len(first.records), worker.count, first.fault) == (4, 4, None)
    files = {json.loads(text)["session"]["id"]: text for text in first.records}
    shipped = {entry.file: files[entry.session] for entry in grown.sessions}
    second = measure(block(done=grown, records=shipped), TERMS)
    assert second.manifest is not None
    assert [len(each.sessions) for each in manifest.parse(second.manifest, "m").blocks] == [4, 2]
    assert len(second.records) == 2  # only the new ones travel back


def test_the_error_of_a_node_is_returned_with_its_reason(worker: standins.Worker) -> None:
    worker.fates = {0: GpuNotFound("this machine has no H100")}
    fault = measure(SessionOrder(REQUEST, 0, KEY), TERMS).fault
    assert fault is not None
    assert (fault.reason, fault.message) == ("gpu-not-found", "this machine has no H100")


def test_the_error_of_a_block_comes_with_the_sessions_before_it(worker: standins.Worker) -> None:
    worker.fates = {2: GpuNotFound("the card was lost")}
    delivery = measure(block(), TERMS)
    assert delivery.fault is not None
    assert (delivery.fault.reason, len(delivery.records)) == ("gpu-not-found", 2)


def test_a_cell_of_other_weights_is_refused_before_it_is_measured(worker: standins.Worker) -> None:
    """Its records would never count, and each repeated command would measure them again."""
    delivery = measure(SessionOrder(REQUEST, 0, "0" * 12), TERMS)
    assert delivery.fault is not None
    assert (delivery.fault.reason, worker.count, delivery.records) == ("mismatch", 0, ())
    assert "the files of the weights there differ from the driver's" in delivery.fault.message


def test_an_ab_of_other_weights_is_refused(worker: standins.Worker) -> None:
    other = arms.pair(Request(gpu="cpu", model="tiny", ctx="65"), "cache", "dynamic", "static", ())
    delivery = measure(block(done=manifest.declare(other, 3, 0)), TERMS)
    assert delivery.fault is not None
    assert (delivery.fault.reason, worker.count) == ("bad-pair", 0)


def test_a_session_does_not_inherit_the_low_priority_of_rays_workers(
    worker: standins.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    niceness = {0: 15, os.getppid(): 3}
    monkeypatch.setattr(os, "getpriority", lambda _kind, pid: niceness[pid])
    monkeypatch.setattr(os, "setpriority", lambda _kind, pid, value: niceness.update({pid: value}))
    assert measure(SessionOrder(REQUEST, 0, KEY), TERMS).fault is None
    assert niceness[0] == 3

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    niceness[0] = 15
    fault = measure(SessionOrder(REQUEST, 0, KEY), TERMS).fault
    assert fault is not None
    assert "with niceness 15, which would slow a session down: set RAY_worker_niceness=0" in fault.message
    assert (fault.reason, worker.count) == ("not-available", 1)


def test_what_ray_set_does_not_reach_a_session(
    worker: standins.Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.count == 0
    began = tmp_path / "environ"
    monkeypatch.setattr(onnode, "ENVIRONMENT_FILE", began)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    seen: list[tuple[str | None, str | None]] = []

    def run_session(*_: object) -> None:
        seen.append((os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")))
        raise GpuNotFound("x")

    monkeypatch.setattr(onnode, "run_session", run_session)
    for before in (b"PATH=/bin\0", b"PATH=/bin\0OMP_NUM_THREADS=1\0"):
        began.write_bytes(before)
        measure(SessionOrder(REQUEST, 0, KEY), TERMS)
    assert seen == [(None, "3"), ("1", "3")]
    assert os.environ["OMP_NUM_THREADS"] == "1"
