"""Records that arrive are in the spool and in the store once, also if the driver is killed in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import BadRecord, StoreUnreachable
from runner.fleet import arrivals
from runner.fleet.onnode import measure
from runner.fleet.orders import SessionOrder, Terms
from runner.launch.session import Finished, Settings
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import codekey
from runner.study import studystate
from tests.support import standins

pytestmark = pytest.mark.medium


@pytest.fixture
def records(worker: standins.Worker) -> tuple[str, ...]:
    assert worker.count == 0
    terms, request = Terms(codekey.tree_key(), False, 60.0), Request(gpu="cpu", model="tiny", ctx="64")
    key = resolve(request, ()).cell.key
    return tuple(text for index in (1, 0) for text in measure(SessionOrder(request, index, key), terms).records)


class Store:
    """Collects what is committed. `errors` are raised by the commits of the same numbers."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.errors: dict[int, BaseException] = {}
        self.count = 0

    def __call__(self, record: Any, _run: str | None, path: Path) -> str:
        number, self.count = self.count, self.count + 1
        if number in self.errors:
            raise self.errors[number]
        assert path.exists()
        if record.session.id not in self.sessions:  # as the real one
            self.sessions.append(record.session.id)
        return f"run-{number}"


def kept(settings: Settings) -> list[Path]:
    return list((settings.spool / studystate.FOLDER / arrivals.FOLDER).glob("*"))


def test_records_are_written_unchanged_in_their_order_and_committed(records: Any, settings: Settings) -> None:
    store = Store()
    found = list(arrivals.taken(arrivals.arrival("", records, None), replace(settings, commit=store)))
    assert [each.record.session.index for each in found] == [0, 1]
    assert [each.path.read_text() for each in found] == list(reversed(records))
    assert (len(store.sessions), [each.run for each in found], kept(settings)) == (2, ["run-0", "run-1"], [])


def test_a_driver_that_is_killed_between_loses_and_doubles_nothing(records: Any, settings: Settings) -> None:
    store = Store()
    stored = replace(settings, commit=store)

    class Killed(BaseException):
        pass

    store.errors = {1: Killed()}
    with pytest.raises(Killed):
        list(arrivals.taken(arrivals.arrival("", records, None), stored))
    assert len(kept(settings)) == 1
    found: list[Finished] = list(arrivals.left(stored))
    assert (len(found), len(store.sessions), kept(settings)) == (2, 2, [])
    assert list(arrivals.left(stored)) == []
    assert len(list(settings.spool.glob("*.json"))) == 2


def test_a_store_that_does_not_answer_is_asked_again_by_the_next_command(records: Any, settings: Settings) -> None:
    store = Store()
    store.errors = {0: StoreUnreachable("away")}
    stored = replace(settings, commit=store)
    first = list(arrivals.taken(arrivals.arrival("", records, None), stored))
    assert [each.store_error is None for each in first] == [False, True]
    assert len(kept(settings)) == 1
    list(arrivals.left(stored))
    assert (len(store.sessions), kept(settings)) == (2, [])


def test_an_abs_folder_gets_its_manifest(records: Any, settings: Settings) -> None:
    list(arrivals.taken(arrivals.arrival("ab-x", records, "{}"), settings))
    assert (settings.spool / "ab-x" / "ab.json").read_text() == "{}"
    assert len(list((settings.spool / "ab-x").glob("tiny*.json"))) == 2


def test_a_damaged_record_is_refused(records: Any) -> None:
    with pytest.raises(BadRecord, match="a record of a node: not a complete JSON file"):
        arrivals.arrival("", (records[0][:-20],), None)


def test_a_damaged_file_of_arrivals_is_named(settings: Settings) -> None:
    folder = settings.spool / studystate.FOLDER / arrivals.FOLDER
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{")
    with pytest.raises(BadRecord, match=r"x\.json: records of a node that cannot be read .* remove the file"):
        list(arrivals.left(settings))
