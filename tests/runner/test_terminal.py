"""Every command prints in each encoding that a terminal or pipe may have, and ends where nobody reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import BadValue, PipeClosed
from runner.terminal import one_line, print_failure
from tests.support import commands
from tests.support.processes import ROOT, run_module

OF_EVERY_TABLE = "experiments/records/h100"
"""A third of the records, with rows in every table that is printed here."""
PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINALS = (*({"PYTHONIOENCODING": name} for name in ("latin-1", "cp1252", "shift_jis", "ascii")), PLAIN_C)
COMMANDS = (
    ("runner", "cell", "--help"),
    ("runner", "gpus"),
    ("runner", "cell", "--gpu", "h200…×"),
    ("runner", "verify", b"caf\xe9\xff.json"),
    ("images.bundle", "nothing…"),
)
TABLES = (("budget",), ("floor", "--format", "csv"), ("quant", "--format", "json"), ("no-such…",), ("paper",))


def encoding(terminal: dict[str, str]) -> str:
    return terminal.get("PYTHONIOENCODING", "ascii")


def check(done: subprocess.CompletedProcess[bytes], usual: subprocess.CompletedProcess[bytes], name: str) -> None:
    """The same as in UTF-8, but for the characters that this encoding lacks."""
    assert done.returncode == usual.returncode
    assert b"Traceback" not in done.stderr
    assert b"UnicodeEncodeError" not in done.stderr
    assert done.stdout.decode(name) == usual.stdout.decode().encode(name, "replace").decode(name)
    assert len(done.stderr.decode(name).splitlines()) == len(usual.stderr.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_every_command_prints_in_two_encodings_and_every_encoding_is_that_of_two_commands(number: int) -> None:
    command = COMMANDS[number]
    usual = run_module(*command, PYTHONIOENCODING="utf-8")
    assert usual.stdout or usual.stderr
    for terminal in (TERMINALS[number], TERMINALS[number - 1]):
        check(run_module(*command, **terminal), usual, encoding(terminal))


@pytest.mark.slow
@pytest.mark.parametrize(("command", "terminal"), list(zip(TABLES, TERMINALS, strict=True)))
def test_every_table_prints_in_every_encoding(command: tuple[str, ...], terminal: dict[str, str]) -> None:
    arguments = (*command, "--records", OF_EVERY_TABLE)
    usual = commands.command(*arguments)
    as_bytes = subprocess.CompletedProcess(usual.args, usual.returncode, usual.stdout.encode(), usual.stderr.encode())
    check(run_module("analysis", *arguments, **terminal), as_bytes, encoding(terminal))


@pytest.mark.medium
def test_what_a_worker_says_comes_through_every_encoding(tmp_path: Path) -> None:
    """Its words go through a pipe of the two programs' own, whatever the terminal is."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "print('@phase wärmt auf …', flush=True); print('\\udcff schluß', flush=True); raise SystemExit(9)"
    )
    program = [sys.executable, str(worker)]
    start = f"from runner.launch import local as workers; workers.LocalWorker.__init__.__defaults__ = ({program!r},)"
    (tmp_path / "started.py").write_text(
        f"{start}\nimport sys\nfrom runner import terminal\nfrom runner.__main__ import main\n"
        "with terminal.guarded_streams(): sys.exit(main(sys.argv[1:]))\n"
    )
    command = ("started", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "spool")
    for terminal in ({"PYTHONIOENCODING": "ascii"}, PLAIN_C):
        done = run_module(*command, folder=tmp_path, **terminal)
        assert done.returncode == 19
        assert b"w\\xe4rmt auf \\u2026" in done.stderr
        assert done.stderr.splitlines()[-1].endswith(b"its last output: \\udcff schlu\\xdf")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("{python} -m runner gpus | true", 141, ""),
        ("{python} -m runner gpus 2>&1 | true", 141, ""),
        ("{python} -m runner nothing 2>&1 | true", 2, ""),
        ("{python} -m analysis floor --records {records} | true", 141, ""),
        ("{python} -m runner gpus >/dev/full", 22, "error: the output cannot be written (No space left on device)"),
        ("{python} -m analysis floor --records {records} >/dev/full", 22, "error: the output cannot be written"),
        ("{python} -m runner nothing 2>/dev/full", 2, ""),
        ("{python} -m runner gpus >&-", 0, ""),
        ("{python} -m runner nothing 2>&-", 2, ""),
        ("{python} -m runner gpus <&- >/dev/null", 0, ""),
        ("{python} -m runner verify {records} <&- >&- 2>&-", 0, ""),
    ],
)
def test_output_that_nobody_takes_is_no_bug(line: str, code: int, said: str) -> None:
    command = line.format(python=f"'{sys.executable}'", records=OF_EVERY_TABLE)
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä × …", "plain ä × …"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2Jclear", "\\x1b[2Jclear"),
        ("para\u2029graph\u2028line", "para\\u2029graph\\u2028line"),
    ],
)
def test_a_text_of_others_stays_in_its_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_reader_that_is_gone_is_not_told_that_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure(PipeClosed("nobody reads"))
    assert capsys.readouterr().err == ""
    print_failure(BadValue("x: two\nlines"))
    assert capsys.readouterr().err == "error: x: two lines\n"
