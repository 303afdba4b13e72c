"""An A/B's sessions: their order, what is measured again and what not, and what may not be compared."""

from __future__ import annotations

import copy
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.ab import arms, check, cooling, manifest, pairseries
from runner.ab.manifest import Manifest
from runner.ab.pairseries import PairSeries
from runner.cell.jsonform import to_json
from runner.errors import BadPair, BadValue, Interrupted, InvalidSession, OutOfMemory, StoreUnreachable
from runner.job import ContainerInfo
from runner.launch.series import OnSession, Series, TimeLimit, measure_all
from runner.launch.session import Finished, Settings
from runner.machine import host
from runner.plan.request import Request
from runner.record import record
from runner.record.sessionrecord import SessionRecord
from runner.store import EntryRun
from tests.support.derive import file_name, typed
from tests.support.displays import Seen
from tests.support.records import failed_record
from tests.support.standins import Worker

REQUEST = Request(gpu="cpu", model="tiny", ctx="64")
IMAGE = {"engine": "podman", "image": "decode-floor:cpu", "digest": "sha256:0123", "tree_key": "0123456789ab"}
Run = Callable[..., Path]


def measured(series: PairSeries, on_session: OnSession = lambda _series, _finished: None) -> Path:
    """Measures the A/B as the command `ab` does. Returns its folder."""
    ended = measure_all([series], TimeLimit(), on_session)
    if ended.first_error is not None:
        raise ended.first_error
    return series.folder


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    stand_in = Worker()
    monkeypatch.setattr(pairseries, "run_session", stand_in)
    return stand_in


@pytest.fixture
def run(tmp_path: Path, worker: Worker) -> Run:  # noqa: ARG001 (the worker has to stand in for the real one)
    settings = Settings(tmp_path, None, None, False, 60.0, Seen())

    def call(sessions: int = 3, field: str = "cache", **changes: Any) -> Path:
        values = ("dynamic", "static") if field == "cache" else ("auto", "auto")
        pair = arms.pair(replace(REQUEST, **changes), field, *values, ())
        return measured(PairSeries(pair, sessions, 0, settings))

    return call


def read(folder: Path) -> Manifest:
    return manifest.read(folder / "ab.json")


def order(folder: Path) -> list[str]:
    return ["".join(entry.arm for entry in block.sessions) for block in read(folder).blocks]


@pytest.mark.medium
def test_both_arms_take_turns_in_balanced_blocks(worker: Worker, run: Run) -> None:
    folder = run(sessions=5)
    assert order(folder) == ["abba", "baab", "ab"]
    assert Counter("".join(order(folder))) == {"a": 5, "b": 5}
    assert worker.count == 10
    assert [entry.index for entry in read(folder).sessions] == list(range(10))


@pytest.mark.medium
def test_after_each_session_it_is_told_which_it_was_and_how_long_the_rest_will_take(
    worker: Worker, tmp_path: Path
) -> None:
    def lasting(seconds: float) -> Callable[[dict[str, Any]], None]:
        return lambda found: found["cost_s"].update(total=seconds)

    worker.fates = {0: lasting(10.0), 1: lasting(40.0), 2: lasting(60.0), 3: lasting(20.0)}
    told: list[tuple[str, dict[str, int], float | None, float]] = []
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    settings = Settings(tmp_path, None, None, False, 60.0, Seen())
    series = PairSeries(pair, 2, 0, settings)

    def tell(_series: Series, finished: Finished) -> None:
        cost_s = finished.record.cost_s.total  # type: ignore[attr-defined]  # every session here is measured
        told.append((series.measured_arm.name, series.remaining_by_arm(), series.remaining_s(), cost_s))

    measured(series, tell)
    # 1 · 10 + 2 · 10, since nothing of b is known yet; 1 · 10 + 1 · 40; one more of a; none
    assert told == [
        ("a", {"a": 1, "b": 2}, 30.0, 10.0),
        ("b", {"a": 1, "b": 1}, 50.0, 40.0),
        ("b", {"a": 1, "b": 0}, 10.0, 60.0),
        ("a", {"a": 0, "b": 0}, 0.0, 20.0),
    ]


@pytest.mark.medium
def test_a_session_of_an_ab_lies_in_its_folder_and_is_not_the_run_that_mlflow_made(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, Settings]] = []

    def run_session(request: Request, index: int, started_ms: int, settings: Settings) -> Finished:
        given.append((index, settings))
        assert abs(started_ms / 1000 - time.time()) < 60
        return worker(request, index, started_ms, settings)

    monkeypatch.setattr(pairseries, "run_session", run_session)
    monkeypatch.setattr(cooling, "cool_down", lambda *_: 2.5)
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    settings = Settings(tmp_path, None, EntryRun("of-mlflow"), False, 60.0, Seen())
    folder = measured(PairSeries(pair, 1, 4, settings))
    assert [(index, one.spool, one.run) for index, one in given] == [(0, folder, None), (1, folder, None)]
    found = read(folder)
    assert [(entry.index, entry.file, entry.valid, entry.cooled_s) for entry in found.sessions] == [
        (index, file_name(json.loads((folder / entry.file).read_text())), True, 2.5)
        for index, entry in enumerate(found.sessions)
    ]
    assert (found.declared.sessions, found.declared.extension) == (1, 4)


@pytest.mark.medium
def test_every_number_that_was_asked_for_is_kept_once(run: Run) -> None:
    assert [read(run(sessions=count)).asked for count in (1, 3, 3, 2)] == [(1,), (1, 3), (1, 3), (1, 3, 2)]


@pytest.mark.medium
def test_a_session_that_fails_is_told_and_has_no_place_in_the_ab(worker: Worker, run: Run) -> None:
    def fail(found: dict[str, Any]) -> None:
        session = {name: value for name, value in found["session"].items() if name != "finished_ms"}
        failed = failed_record("oom", session=session, cell=found["cell"])
        found.clear()
        found.update(failed)

    worker.fates = {1: fail}
    with pytest.raises(OutOfMemory):
        run(sessions=1)
    worker.fates = {}
    assert order(run(sessions=1)) == ["ab"]
    assert worker.count == 3


@pytest.mark.medium
def test_what_is_measured_is_not_measured_again_and_more_go_on(worker: Worker, run: Run) -> None:
    folder = run(sessions=2)
    run(sessions=2)
    assert worker.count == 4
    run(sessions=3)
    assert (worker.count, order(folder), read(folder).asked) == (6, ["abba", "ba"], (2, 3))
    assert not read(folder).as_declared


@pytest.mark.medium
def test_an_a_a_runs_one_cell_in_both_arms(run: Run) -> None:
    folder = run(sessions=2, field="none")
    found = read(folder)
    assert found.arms["a"].cell_key == found.arms["b"].cell_key
    assert order(folder) == ["abba"]


@pytest.mark.medium
def test_an_interrupted_ab_goes_on_in_its_block(worker: Worker, run: Run, tmp_path: Path) -> None:
    worker.fates[2] = Interrupted("stopped by Ctrl-C")
    with pytest.raises(Interrupted):
        run(sessions=2)
    (folder,) = tmp_path.glob("ab-*")
    assert order(folder) == ["ab"]
    run(sessions=2)
    assert (order(folder), worker.count) == (["abba"], 5)


@pytest.mark.medium
def test_a_session_written_just_before_a_kill_is_taken_up(
    worker: Worker, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        add, left = PairSeries._add, 2

        def killed(self: Any, *arguments: Any, **named: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            add(self, *arguments, **named)

        patched.setattr(PairSeries, "_add", killed)
        with pytest.raises(KeyboardInterrupt):
            run(sessions=2)
    (folder,) = tmp_path.glob("ab-*")
    assert (order(folder), worker.count) == (["ab"], 3)
    committed: list[str] = []
    monkeypatch.setattr(PairSeries, "_commit", lambda _self, found, _path: committed.append(found.session.id))
    run(sessions=2)
    assert (order(folder), worker.count) == (["abba"], 4)
    assert committed == [f"{2:016x}"]  # the one whose record the killed command had not stored


@pytest.mark.medium
def test_another_host_begins_a_new_block_and_the_incomplete_one_is_kept(
    worker: Worker, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.fates[1] = Interrupted("stopped")
    with pytest.raises(Interrupted):
        run(sessions=2)
    here = host.host_id(None)
    monkeypatch.setattr(host, "host_id", lambda _uuid: "f" * 12)
    run(sessions=2)
    (folder,) = tmp_path.glob("ab-*")
    found = read(folder)
    assert [(block.host_id, block.is_complete) for block in found.blocks] == [(here, False), ("f" * 12, True)]
    assert order(folder) == ["a", "baab"]
    assert found.done == 2


@pytest.mark.medium
def test_a_session_written_just_before_a_kill_is_taken_up_from_another_host_too(
    worker: Worker, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.fates[1] = Interrupted("stopped")
    with pytest.raises(Interrupted):
        run(sessions=1)
    (folder,) = tmp_path.glob("ab-*")
    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    orphan = worker._record(pair.b.request, 1, 9)  # of the first host, and not yet in the manifest
    record.write(orphan, folder / file_name(orphan))
    monkeypatch.setattr(host, "host_id", lambda _uuid: "f" * 12)
    run(sessions=1)
    assert (order(folder), worker.count) == (["ab"], 2)


@pytest.mark.medium
def test_a_session_that_is_not_valid_ends_it_and_its_block_is_not_used(
    worker: Worker, run: Run, tmp_path: Path
) -> None:
    def spoil(found: dict[str, Any]) -> None:
        found["valid"], found["reasons"] = False, ["gate ctx: logit error 1 exceeds the bound 0.1"]

    worker.fates[1] = spoil
    with pytest.raises(InvalidSession, match="gate ctx"):
        run(sessions=2)
    (folder,) = tmp_path.glob("ab-*")
    run(sessions=2)
    assert order(folder) == ["ab", "baab"]
    assert [block.is_complete for block in read(folder).blocks] == [False, True]
    assert len(list(folder.glob("tiny-*.json"))) == 6  # all are kept


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["environment"].update(torch="9.9"), "torch is 9.9, and was"),
        (
            lambda found: found.update(container=IMAGE),
            "it was measured in podman's image sha256:0123, the earlier sessions in the runner's own interpreter",
        ),
        (lambda found: found["keys"].update(code_key="0" * 12), "code has changed"),
        (lambda found: found["keys"].update(cell_key="0" * 12), "another cell than declared"),
        (lambda found: found["environment"].update(kernel_package="other 1"), "kernel_package is other 1, and was"),
        (lambda found: found["environment"].update(driver_major="1"), "driver_major is 1, and was"),
    ],
)
def test_what_may_not_be_compared_ends_it(worker: Worker, run: Run, change: Any, said: str) -> None:
    worker.fates[3] = lambda found: change(found)
    with pytest.raises(BadPair, match=said):
        run(sessions=2)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["environment"].update(torch="9.9"), "torch is 9.9, and was"),
        (lambda found: found["environment"].update(kernel_package="other 1"), "kernel_package is other 1, and was"),
        (lambda found: found.update(container=IMAGE), "it was measured in podman's image sha256:0123"),
    ],
)
def test_the_first_session_of_the_other_arm_is_compared_too(worker: Worker, run: Run, change: Any, said: str) -> None:
    worker.fates[1] = lambda found: change(found)  # the first of arm b
    with pytest.raises(BadPair, match=said):
        run(sessions=2)


@pytest.fixture
def now_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The place that the runner would choose: the image, with these changes, or (None) this interpreter."""

    def put(changes: dict[str, str] | None) -> None:
        info = None if changes is None else ContainerInfo(**IMAGE | changes)
        monkeypatch.setattr(pairseries.places, "choose", lambda *_: SimpleNamespace(info=info))

    return put


def in_image(**changes: str) -> Callable[[Any], None]:
    return lambda found: found.update(container=IMAGE | changes)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"digest": "sha256:4567"},
            "in podman's image sha256:4567, the earlier sessions were in podman's image sha256:0123",
        ),
        (
            {"engine": "docker"},
            "in docker's image sha256:0123, the earlier sessions were in podman's image sha256:0123",
        ),
        ({"image": "decode-floor:cpu-of-another-name"}, None),
    ],
)
def test_an_ab_goes_on_in_the_image_it_began_in(
    worker: Worker, run: Run, now_in: Callable[..., None], change: dict[str, str], said: str | None
) -> None:
    now_in({})
    worker.fates = {number: in_image() for number in range(2)}
    run(sessions=1)
    now_in(change)
    worker.fates = {number: in_image(**change) for number in range(2, 6)}
    if said is None:
        run(sessions=2)
    else:
        with pytest.raises(BadPair, match=f"^the next session would be measured {said}: choose where=here"):
            run(sessions=2)
    assert worker.count == (4 if said is None else 2)


@pytest.mark.medium
def test_nor_does_it_leave_an_image_for_this_interpreter(worker: Worker, run: Run, now_in: Callable[..., None]) -> None:
    now_in({})
    worker.fates = {number: in_image() for number in range(2)}
    run(sessions=1)
    now_in(None)
    with pytest.raises(
        BadPair, match="would be measured in the runner's own interpreter, the earlier sessions were in podman"
    ):
        run(sessions=2)


@pytest.mark.medium
def test_nor_after_its_very_first_session(worker: Worker, run: Run, now_in: Callable[..., None]) -> None:
    now_in({})
    worker.fates = {0: in_image(), 1: Interrupted("stopped by Ctrl-C")}
    with pytest.raises(Interrupted):
        run(sessions=1)
    now_in(None)
    with pytest.raises(BadPair, match="the next session would be measured in the runner's own interpreter"):
        run(sessions=1)
    assert worker.count == 2


@pytest.mark.medium
def test_an_image_that_changed_since_it_was_chosen_is_noticed_by_the_record(
    worker: Worker, run: Run, now_in: Callable[..., None]
) -> None:
    now_in({})
    worker.fates = {number: in_image() for number in range(2)} | {2: in_image(digest="sha256:4567")}
    with pytest.raises(BadPair, match="cannot be compared: it was measured in podman's image sha256:4567"):
        run(sessions=2)


@pytest.mark.medium
def test_a_store_that_is_away_keeps_nothing_from_being_measured(worker: Worker, run: Run) -> None:
    worker.fates[0] = lambda _found: StoreUnreachable("the store is away")
    with pytest.raises(StoreUnreachable):
        run(sessions=2)
    assert worker.count == 4


@pytest.mark.medium
def test_a_store_that_is_away_when_a_session_is_taken_up_is_told_at_the_end(worker: Worker, tmp_path: Path) -> None:
    def away(*_: Any) -> str:
        raise StoreUnreachable("the store is away")

    pair = arms.pair(REQUEST, "cache", "dynamic", "static", ())
    settings = Settings(tmp_path, None, None, False, 60.0, Seen())
    worker.fates[1] = Interrupted("stopped by Ctrl-C")
    with pytest.raises(Interrupted):
        measured(PairSeries(pair, 1, 0, settings))
    (folder,) = tmp_path.glob("ab-*")
    found = worker._record(pair.b.request, 1, 9)  # written, not yet in the manifest
    record.write(found, folder / file_name(found))
    with pytest.raises(StoreUnreachable):
        measured(PairSeries(pair, 1, 0, replace(settings, commit=away)))
    assert order(folder) == ["ab"]


@pytest.mark.medium
def test_two_processes_do_not_measure_one_ab(run: Run) -> None:
    folder = run(sessions=1)
    with manifest.exclusive(folder), pytest.raises(BadValue, match="another process is measuring this A/B"):
        run(sessions=2)


@pytest.mark.medium
def test_another_seed_study_or_protocol_is_another_ab(run: Run) -> None:
    folders = {run(sessions=1), run(sessions=1, seed="1"), run(sessions=1, study="x"), run(sessions=1, steps="40")}
    assert len(folders) == 4


def of_type(records: dict[str, Any]) -> dict[str, SessionRecord]:
    return {session: typed(each) for session, each in records.items()}


@pytest.mark.medium
def test_the_manifest_of_a_complete_ab_fits_its_records(run: Run) -> None:
    folder = run(sessions=3)
    records = {path.stem[-16:]: json.loads(path.read_text()) for path in folder.glob("tiny-*.json")}
    assert list(check.differences(read(folder), of_type(records))) == []
    other = copy.deepcopy(records)
    next(iter(other.values()))["protocol"]["steps"] = 31
    assert len(list(check.differences(read(folder), of_type(other)))) == 1


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["environment"].update(torch="9.9"), "torch is 9.9, and was"),
        (
            lambda found: found.update(container=IMAGE),
            "it was measured in podman's image sha256:0123, the earlier sessions in the runner's own interpreter",
        ),
        (lambda found: found["keys"].update(code_key="0" * 12), "code has changed"),
    ],
)
def test_a_check_asks_what_measuring_asked(run: Run, change: Any, said: str) -> None:
    folder = run(sessions=3)
    records = {path.stem[-16:]: json.loads(path.read_text()) for path in folder.glob("tiny-*.json")}
    last = read(folder).complete[-1].sessions[-1]
    change(records[last.session])
    (line,) = check.differences(read(folder), of_type(records))
    assert line.startswith(f"session {last.session} of arm {last.arm}: ")
    assert said in line


@pytest.mark.medium
def test_the_path_in_an_older_manifest_goes_no_further(run: Run) -> None:
    """Its id is that of the cells: it is the same A/B still."""
    folder = run(sessions=1)
    told = json.loads((folder / "ab.json").read_text())
    told["field"] = "weights"
    for name, arm in told["arms"].items():
        arm |= {"value": f"/home/me/{name}", "cell": arm["cell"] | {"weights_id": f"headers-{name * 16}"}}
    found = manifest.parse(json.dumps(told), "ab.json")
    assert [arm.value for arm in found.arms.values()] == [f"headers-{name * 16}" for name in "ab"]
    assert found.title.startswith("aaaaaaaa/bbbbbbbb tiny 64")
    assert "/home/me" not in json.dumps(to_json(found))
