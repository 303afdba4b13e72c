"""Findings as JSON, as lines of 80 columns, and as an exit code."""

from __future__ import annotations

import json

from runner import __version__
from runner.doctor.finding import Report, failed, note, ok, problem
from runner.errors import BadValue, DiskFull, StoreUnreachable

LONG = "a finding of many words " * 10


def test_without_a_problem_a_measurement_would_be_valid() -> None:
    report = Report("auto", (ok("python", "3.11.7"), note("host", "busy", "wait")))
    assert report.exit_code == 0
    assert report.text(as_json=False).splitlines() == [
        "ok       python       3.11.7",
        "note     host         busy",
        "                      -> wait",
        "",
        "A measurement here would be valid.",
    ]


def test_the_exit_code_is_the_first_problems() -> None:
    report = Report(
        "l4",
        (
            note("host", "busy"),
            failed("store", StoreUnreachable("no such store: name another")),
            problem("disk", DiskFull, "1 GB free", "free some"),
        ),
    )
    assert report.exit_code == StoreUnreachable.exit_code
    assert report.text(as_json=False).splitlines()[1:] == [
        "PROBLEM  store        no such store: name another",
        "PROBLEM  disk         1 GB free",
        "                      -> free some",
        "",
        "A measurement here would not be valid (exit code 21): store, disk.",
    ]


def test_json_has_every_finding_with_the_same_fields() -> None:
    report = Report("l4", (ok("python", "3.11.7"), problem("spool", BadValue, "not writable", "choose another")))
    assert json.loads(report.text(as_json=True)) == {
        "version": __version__,
        "gpu": "l4",
        "valid": False,
        "exit_code": 11,
        "checks": [
            {"name": "python", "state": "ok", "finding": "3.11.7", "remedy": None, "exit_code": 0},
            {
                "name": "spool",
                "state": "problem",
                "finding": "not writable",
                "remedy": "choose another",
                "exit_code": 11,
            },
        ],
        "error": {"message": "spool: not writable: choose another", "exit_code": 11, "reason": "bad-value"},
    }


def test_without_a_problem_json_has_no_error() -> None:
    found = json.loads(Report("l4", (ok("python", "3.11.7"), note("host", "busy"))).text(as_json=True))
    assert (found["error"], found["valid"], found["exit_code"]) == (None, True, 0)


def test_lines_fit_into_a_terminal() -> None:
    lines = Report("auto", (problem("gpu", BadValue, LONG, LONG),)).text(as_json=False).splitlines()
    assert len(lines) > 8
    assert max(map(len, lines)) <= 80


def test_checks_with_the_same_finding_share_a_line() -> None:
    alike = tuple(note(name, "examined later") for name in ("store", "spool", "cell"))
    lines = Report("auto", (*alike, ok("disk", "free"))).text(as_json=False).splitlines()
    assert lines[:3] == [
        "note     store, spool, cell",
        "                      examined later",
        "ok       disk         free",
    ]
    assert len(json.loads(Report("auto", alike).text(as_json=True))["checks"]) == 3


def test_a_quoted_text_cannot_command_the_terminal() -> None:
    text = Report("auto", (note("gpu", "said \x1b[2J\x07 and no more"),)).text(as_json=False)
    assert text.splitlines()[0] == "note     gpu          said \\x1b[2J\\x07 and no more"
