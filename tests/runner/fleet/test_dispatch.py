"""Orders are given to a cluster, deliveries taken, and each way in which a command ends stops what still runs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import DiskFull, GpuNotFound, Interrupted, WorkerFailed
from runner.fleet import dispatch, fleetseries
from runner.fleet.dispatch import Dispatch
from runner.fleet.nodes import Nodes
from runner.fleet.onnode import measure
from runner.fleet.orders import Delivery, Fault, Terms
from runner.launch.series import Ended, TimeLimit
from runner.launch.session import Finished, Settings
from runner.record import codekey, spool
from runner.study import prepared
from runner.study.declared import Arms, Entry
from tests.support import standins
from tests.support.fleets import Fleet
from tests.support.studies import entry, study

pytestmark = pytest.mark.medium
TERMS = Terms(codekey.tree_key(), False, 60.0)
DIFFERING = Arms("cache", "dynamic", "static")


class Run:
    """A command over a fleet: what it has shown, and its series."""

    def __init__(self, fleet: Fleet, settings: Settings, *entries: Entry, limit: TimeLimit | None = None) -> None:
        machines = Nodes(fleet.accelerators or ())
        found = prepared.prepare(study(*entries), settings.spool, machines, redo=False, retry=False)
        self.series = [each for each, _ in fleetseries.missing_series(found, settings)]
        self.shown: list[Finished] = []
        self._dispatch = Dispatch(fleet, TERMS, limit or TimeLimit(), self._show, settings.display)  # type: ignore[arg-type]

    def _show(self, _series: Any, finished: Finished) -> None:
        self.shown.append(finished)

    def run(self) -> Ended:
        return self._dispatch.run(self.series)


def test_all_series_are_measured(worker: standins.Worker, settings: Settings) -> None:
    fleet = Fleet()
    command = Run(fleet, settings, entry(), entry(ctx="65"), entry(DIFFERING, ctx="66"))
    ended = command.run()
    assert (ended.errors, ended.at_limit) == ([], False)
    assert (worker.count, len(command.shown), [each.remaining() for each in command.series]) == (12, 12, [0, 0, 0])
    assert len(list(spool.record_files(settings.spool))) == 12
    # six sessions, and two blocks of which the second follows the first
    assert [task.order.count for task in fleet.tasks] == [1, 1, 1, 1, 1, 1, 4, 2]
    assert {task.accelerator for task in fleet.tasks} == {None}


def test_a_gpu_is_asked_for_by_rays_name(worker: standins.Worker, settings: Settings) -> None:
    fleet = Fleet(frozenset({"RTX-PRO-6000"}))
    ended = Run(fleet, settings, entry(gpu="rtx-pro-6000", model="qwen2.5-7b", ctx="2048")).run()
    assert fleet.tasks[0].accelerator == "RTX-PRO-6000"
    ((_, error),) = ended.errors  # this machine is no such node
    assert isinstance(error, GpuNotFound)
    assert worker.count == 0 or "n1" in str(error)


def test_a_series_ends_with_its_first_error_and_the_others_go_on(worker: standins.Worker, settings: Settings) -> None:
    worker.fates = {0: GpuNotFound("the card was lost")}
    fleet = Fleet()
    command = Run(fleet, settings, entry(), entry(ctx="65"))
    ended = command.run()
    ((series, error),) = ended.errors
    assert series is command.series[0]
    assert str(error).endswith(" n1: the card was lost")
    assert [task.is_stopped for task in fleet.tasks] == [False, True, True, False, False, False]
    assert len(command.shown) == 3


def test_a_session_that_ends_although_it_was_stopped_counts(worker: standins.Worker, settings: Settings) -> None:
    worker.fates = {0: GpuNotFound("the card was lost")}
    fleet = Fleet()
    fleet.stop = lambda _tasks: None  # type: ignore[method-assign]
    command = Run(fleet, settings, entry())
    ended = command.run()
    assert (len(ended.errors), len(command.shown), len(fleet.tasks)) == (1, 2, 3)


def test_an_order_that_ray_gave_up_ends_its_series(worker: standins.Worker, settings: Settings) -> None:
    def lost(*_: Any) -> Delivery:
        raise WorkerFailed("the node was lost")

    ended = Run(Fleet(carry_out=lost), settings, entry()).run()
    assert [type(error) for _, error in ended.errors] == [WorkerFailed]
    assert worker.count == 0


def test_a_full_disk_of_a_node_ends_a_series_and_one_of_the_driver_the_command(
    worker: standins.Worker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Delivery("n1", fault=Fault(DiskFull.reason, "no space"))
    ended = Run(Fleet(carry_out=lambda *_: full), settings, entry()).run()
    assert [type(error) for _, error in ended.errors] == [DiskFull]

    def fail(*_: Any) -> None:
        raise DiskFull("no space in the spool")

    monkeypatch.setattr(fleetseries.arrivals, "write_text_durably", fail)
    fleet = Fleet()
    with pytest.raises(DiskFull, match="in the spool"):
        Run(fleet, settings, entry()).run()
    assert [task.is_stopped for task in fleet.tasks] == [False, True, True]
    assert worker.count == 1


def test_a_request_to_stop_stops_what_still_runs(worker: standins.Worker, settings: Settings) -> None:
    fleet = Fleet()

    def interrupted(*_: Any) -> Delivery:
        raise Interrupted("stopped by Ctrl-C")

    fleet.carry_out = interrupted
    with pytest.raises(Interrupted):
        Run(fleet, settings, entry(), entry(DIFFERING, ctx="65")).run()
    assert [task.is_stopped for task in fleet.tasks] == [False, True, True, True]
    assert worker.count == 0


def test_a_node_that_comes_too_late_ends_at_the_limit(worker: standins.Worker, settings: Settings) -> None:
    fleet = Fleet()
    command = Run(fleet, settings, entry(), limit=TimeLimit(time.monotonic() + 30.0))
    ended = command.run()
    assert fleet.tasks[0].terms.end_ms == pytest.approx(1000 * (time.time() + 30.0), abs=5000)
    assert (ended.at_limit, worker.count) == (False, 3)
    late = Fleet(carry_out=lambda order, terms: measure(order, replace(terms, end_ms=0), "n1"))
    ended = Run(late, settings, entry(ctx="65"), entry(DIFFERING, ctx="66")).run()
    assert (ended.at_limit, ended.errors, worker.count) == (True, [], 3)


def test_the_notes_of_a_node_name_it(worker: standins.Worker, settings: Settings) -> None:
    noted = Delivery("n1", notes=("the card is shared",))
    Run(Fleet(carry_out=lambda *_: noted), settings, entry()).run()
    assert settings.display.notes == ["node n1: the card is shared"] * 3  # type: ignore[attr-defined]
    assert worker.count == 0


def test_the_wait_of_a_node_is_told_once(worker: standins.Worker, settings: Settings) -> None:
    """As a command on that node does, though each session may wait for another process."""
    waits = (Delivery(f"n{number % 2}", waited=f"waiting for pid {number}") for number in range(6))
    Run(Fleet(carry_out=lambda *_: next(waits)), settings, entry(), entry(ctx="65")).run()
    told = settings.display.notes  # type: ignore[attr-defined]
    assert told == ["node n0: waiting for pid 0", "node n1: waiting for pid 1"]
    assert worker.count == 0


def test_orders_that_no_node_can_take_any_more_are_given_up(
    worker: standins.Worker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LOOK_S", 0.0)
    monkeypatch.setattr(dispatch, "PATIENCE_S", 0.05)
    fleet = Fleet(frozenset({"H100"}), is_stuck=True)
    command = Run(fleet, settings, entry(gpu="h100", model="qwen2.5-7b", ctx="2048"))
    fleet.accelerators = frozenset({"L4"})
    ended = command.run()
    assert [str(error) for _, error in ended.errors] == [
        "the last node of the fleet that could measure on h100 was lost"
    ]
    fleet = Fleet(is_stuck=True)
    command = Run(fleet, settings, entry())
    fleet.accelerators = None
    assert "on cpu was lost" in str(command.run().errors[0][1])
    assert worker.count == 0


def test_an_abs_folder_is_held_and_released(worker: standins.Worker, settings: Settings) -> None:
    command = Run(Fleet(), settings, entry(DIFFERING), entry(DIFFERING, ctx="65"))
    first, second = command.series
    with first.opened():
        ended = command.run()
    ((failed, error),) = ended.errors
    assert failed is first
    assert "another process is measuring this A/B" in str(error)
    assert second.is_complete
    with first.opened(), second.opened():
        pass
    assert worker.count == 6


def test_the_spool_of_a_finished_study_has_no_arrivals(worker: standins.Worker, settings: Settings) -> None:
    Run(Fleet(), settings, entry()).run()
    assert worker.count == 3
    assert list(Path(settings.spool).rglob("arrived/*")) == []
