"""The family of errors, and the table of their exit codes in docs/."""

from __future__ import annotations

from pathlib import Path

from runner import errors

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md"


def table() -> list[str]:
    """The table as docs/exit-codes.md has it, made from the classes."""
    rows = [("0", "", "The command did what it was asked to; a measured session is valid.")]
    rows += [
        ("1", errors.DecodeFloorError.reason, "An unexpected failure: a bug. `DECODE_FLOOR_TRACEBACK=1` shows where.")
    ]
    usage = errors.Usage
    rows += [(str(usage.exit_code), usage.reason, str(usage.__doc__).splitlines()[0])]
    rows += [(str(kind.exit_code), kind.reason, str(kind.__doc__).splitlines()[0]) for kind in errors.family()]
    return [f"| {code} | {f'`{reason}`' if reason else ''} | {meaning} |" for code, reason, meaning in rows]


def test_the_document_lists_every_error_as_the_code_has_it() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| ") and not line.startswith("| exit")] == table()


def test_exit_codes_and_reasons_are_distinct() -> None:
    family = errors.family()
    assert len({kind.exit_code for kind in family}) == len({kind.reason for kind in family}) == len(family)


def test_being_stopped_is_no_failure_that_something_could_cope_with() -> None:
    assert not issubclass(errors.Stopped, Exception)
    assert {errors.Interrupted, errors.Terminated} <= {*errors.family()}
    assert str(errors.Interrupted("two\nlines")) == "two lines"


def test_a_message_is_one_line() -> None:
    assert str(errors.BadValue("two\nlines   and spaces")) == "two lines and spaces"


def test_an_error_is_found_by_its_reason_and_a_crash_has_none() -> None:
    assert [errors.of_reason(kind.reason) for kind in errors.family()] == [*errors.family()]
    assert {errors.of_reason("killed"), errors.of_reason(None)} == {errors.WorkerFailed}
