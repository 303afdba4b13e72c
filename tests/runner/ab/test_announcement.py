"""The plan that `ab` prints before its first session."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.ab import announcement, arms, manifest
from runner.ab.manifest import Block, Manifest, SessionEntry
from runner.cell.jsonform import to_json
from runner.launch.series import Ended
from runner.machine import host
from runner.plan.request import Request
from runner.record import record
from tests.support.fakesession import fake_session, measured
from tests.support.processes import Main

REQUEST = Request(gpu="cpu", model="tiny", ctx="64")
PAIR = arms.pair(REQUEST, "cache", "dynamic", "static", ())
DECLARED = manifest.declare(PAIR, 10, 0)


def lines(spool: Path, current: Manifest = DECLARED, sessions: int = 10, pair: arms.Pair = PAIR) -> list[str]:
    return [*announcement.lines(pair, current, sessions, spool, 200)]


def put_record(folder: Path, arm: arms.Arm, total_s: float, energy_s: float = 0.0) -> None:
    """Writes what `expected_s` reads of a record."""
    folder.mkdir(exist_ok=True)
    found = {
        "keys": {"cell_key": arm.plan.cell.key},
        "protocol": to_json(arm.plan.protocol),
        "request": {"energy": "on"} if energy_s else {},
        "cost_s": {"total": total_s, "energy": energy_s} if energy_s else {"total": total_s},
    }
    (folder / f"{record.file_start(arm.plan.cell)}-0-0.json").write_text(json.dumps(found))


def test_the_arms_the_sessions_and_the_folder_are_named(tmp_path: Path) -> None:
    assert lines(tmp_path) == [
        "A/B dynamic/static tiny 64 bf16 eager cpu",
        "  arm a     cache=dynamic: tiny 64 bf16 eager dynamic cpu",
        "  arm b     cache=static: tiny 64 bf16 eager static cpu",
        "  sessions  10 of each arm, alternating, each in a fresh process",
        "  time      not known before the first session of each arm",
        f"  folder    {tmp_path / f'ab-tiny-64-dynamic-static-{DECLARED.id}'}",
    ]


def test_the_arms_of_an_a_a_are_one_cell(tmp_path: Path) -> None:
    pair = arms.pair(REQUEST, "none", "auto", "auto", ())
    first, second, *_ = lines(tmp_path, manifest.declare(pair, 10, 0), pair=pair)
    assert first == "A/A tiny 64 bf16 eager dynamic cpu"
    assert second == "  arms      both tiny 64 bf16 eager dynamic cpu: their ratio shows the noise of this host"


def test_what_the_field_implies_is_named(tmp_path: Path) -> None:
    pair = arms.pair(REQUEST, "quant", "bf16", "bnb-nf4", ())
    said = lines(tmp_path, manifest.declare(pair, 10, 0), pair=pair)
    assert "  implied   kernel: torch-cpu in a, bitsandbytes in b" in said
    assert "  implied   options: none in a, double-quant:on in b" in said


def test_the_time_is_that_of_earlier_sessions_of_both_cells(tmp_path: Path) -> None:
    put_record(tmp_path, PAIR.a, 20.0)
    assert "  time      not known before the first session of each arm" in lines(tmp_path)
    put_record(tmp_path, PAIR.b, 10.0)
    # 10 · 20 s + 10 · 10 s = 300 s
    assert "  time      about 5 min 0 s for 20 sessions, by the last sessions of these cells" in lines(tmp_path)
    # those of the A/B itself are nearer: 10 · 40 s + 10 · 10 s = 500 s
    put_record(manifest.folder_of(tmp_path, DECLARED), PAIR.a, 40.0)
    assert "  time      about 8 min 20 s for 20 sessions, by the last sessions of these cells" in lines(tmp_path)


def test_an_a_b_without_energy_takes_no_time_for_it(tmp_path: Path) -> None:
    for arm in PAIR.arms:
        put_record(tmp_path, arm, 60.0, energy_s=45.0)
    # 20 · (60 - 45) s
    assert "  time      about 5 min 0 s for 20 sessions, by the last sessions of these cells" in lines(tmp_path)


def test_an_interrupted_a_b_has_the_missing_sessions(tmp_path: Path) -> None:
    entry = SessionEntry(0, "a", "0", "0.json", True, 0.0)
    begun = replace(DECLARED, blocks=(Block(host.host_id(None), "abba", (entry,)),))
    put_record(tmp_path, PAIR.a, 1.0)
    put_record(tmp_path, PAIR.b, 2.0)
    said = lines(tmp_path, begun, sessions=2)
    assert "  sessions  2 of each arm, alternating, each in a fresh process; 3 of 4 are missing" in said
    # 1 · 1 s + 2 · 2 s
    assert "  time      about 5 s for 3 sessions, by the last sessions of these cells" in said
    whole = replace(begun, blocks=(Block(host.host_id(None), "ab", (entry, replace(entry, arm="b"))),))
    assert not any("time" in line for line in lines(tmp_path, whole, sessions=1))


@pytest.mark.parametrize(("sessions", "warned"), [("4", True), ("5", False)])
def test_the_command_announces_before_it_measures_and_warns_below_five_sessions(
    main: Main, monkeypatch: pytest.MonkeyPatch, sessions: str, warned: bool
) -> None:
    fake_session(monkeypatch, measured())
    monkeypatch.setattr("runner.commands.measuring.measure_all", lambda *_: print("measured") or Ended())
    code, out, err = main("ab", "--model", "tiny", "--ctx", "64", "--sessions", sessions, "--spool", "spool")
    assert code == 0
    assert out.index("A/A tiny 64") < out.index("measured")
    said = "will give no interval and no verdict: use --sessions 5 or more"
    assert (said in err) == warned
