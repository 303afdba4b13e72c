"""Commands that run sessions, with the session itself replaced by records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.ab import arms
from runner.ab.pairseries import PairSeries
from runner.commands import measuring
from runner.launch import session
from runner.plan.request import Request
from tests.support.derive import typed
from tests.support.displays import Seen
from tests.support.fakesession import fake_session, measured
from tests.support.processes import Main
from tests.support.records import failed_record


def test_without_mlflow_the_spool_is_offered_before_anything_is_measured(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(measuring, "run_session", lambda *_: pytest.fail("measured"))
    code, _, err = main("cell")
    assert code == 25
    assert "use --spool DIR" in err


@pytest.mark.parametrize("command", [("cell",), ("ab", "--field", "cache", "--a", "dynamic", "--b", "static")])
def test_energy_of_a_cpu_is_refused_before_anything_is_launched(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(session, "_measured", lambda *_: pytest.fail("launched"))
    code, out, err = main(*command, "--gpu", "cpu", "--model", "tiny", "--energy", "--spool", str(tmp_path))
    assert (code, out) == (13, "")
    assert err.startswith("error: energy=on needs a GPU, whose energy NVML counts, and this cell is on the CPU: leave")
    assert err.count("\n") == 1
    assert not [*tmp_path.rglob("*.json")]


def test_the_summary_says_what_was_found(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_session(monkeypatch, measured())
    code, out, _ = main("cell", "--spool", "s")
    assert code == 0
    for part in (
        "tiny 64 bf16 eager dynamic cpu (session 0123)",
        "2.000 ms, 500.0 tokens/s",
        "p90       ",
        "50.0 % of the floor (1.000 ms at the bandwidth measured here; r_floor_achievable 0.500)",
        "valid     yes: logit error 1.00e-02, bound 3.00e-02",
        "GB/s",
        "drifting: the last third of the steps differs",
        "/spool/r.json",
    ):
        assert part in out


def test_a_card_that_the_catalogue_lacks_gets_its_entry_printed(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"key": "nvidia-x1", "name": "NVIDIA X1", "catalogued": False, "compute_capability": "13.0"}
    fake_session(monkeypatch, measured(**gpu))
    out = main("cell", "--spool", "s")[1]
    assert "nvidia-x1:\n  name: NVIDIA X1\n  nvml: NVIDIA X1\n  compute_capability: '13.0'" in out


def test_an_invalid_session_keeps_the_rest_from_nothing_and_ends_with_23(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_session(monkeypatch, measured(valid=False), measured())
    code, _, err = main("cell", "--spool", "s", "--sessions", "2")
    assert (code, len(calls)) == (23, 2)
    assert "logit error 1 exceeds the bound" in err
    assert [call[1] for call in calls] == [0, 1]


@pytest.mark.parametrize(
    ("reason", "code"),
    [("oom", 18), ("infeasible", 17), ("worker-failed", 19), ("worker-timeout", 20), ("mismatch", 26)],
)
def test_a_failed_session_ends_with_its_own_code_and_stops_the_rest(
    main: Main, monkeypatch: pytest.MonkeyPatch, reason: str, code: int
) -> None:
    example = typed(failed_record(reason if reason in ("oom", "infeasible") else "failed"))
    outcome = replace(example.outcome, status="failed", reason=reason, message="what was")
    failed = replace(example, outcome=outcome, reasons=("what was",))
    calls = fake_session(monkeypatch, failed, measured())
    found, out, err = main("cell", "--spool", "s", "--sessions", "2")
    assert (found, len(calls), err) == (code, 1, "error: what was\n")
    assert "status    failed" in out
    assert "what was" not in out  # the error says it, once


@pytest.mark.parametrize(
    ("is_entry", "said"), [(True, "run 0a1b"), (False, "run cpu eager bf16 64 tiny dynamic #0 (0a1b)")]
)
def test_the_run_is_named_unless_the_user_named_it(
    capsys: pytest.CaptureFixture[str], is_entry: bool, said: str
) -> None:
    measuring._show(session.Finished(measured(), Path("/spool/r.json"), run="0a1b"), is_entry)
    assert f"  MLflow    {said}; view it with `make ui`\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(24.0, "3 sessions left, about 24 s"), (200.0, "3 sessions left, about 3 min 20 s"), (None, "3 sessions left  ")],
)
def test_an_ab_says_after_each_session_how_long_the_rest_takes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float | None,
    said: str,
) -> None:
    pair = arms.pair(Request(gpu="cpu", model="tiny"), "cache", "dynamic", "static", ())
    series = PairSeries(pair, 2, 0, session.Settings(tmp_path, None, None, False, 60.0, Seen()))
    monkeypatch.setattr(PairSeries, "remaining_by_arm", lambda _: {"a": 1, "b": 2})
    monkeypatch.setattr(PairSeries, "remaining_s", lambda _: seconds)
    series.measured_arm = pair.a
    measuring._show_ab(series, session.Finished(measured(), Path("/spool/r.json")))
    shown = capsys.readouterr().out
    assert shown.startswith("a 1/2  dynamic  ")
    assert said in shown
