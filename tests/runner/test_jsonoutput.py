"""The object that `--json` prints: a result, and the error that ended the command."""

from __future__ import annotations

import json
import sys

import pytest

from runner import jsonoutput
from runner.errors import DiskFull, GpuNotFound


def test_the_error_is_null_or_has_message_code_and_reason() -> None:
    assert json.loads(jsonoutput.text({"gpus": []}, None)) == {"gpus": [], "error": None}
    error = jsonoutput.error_info(GpuNotFound("no L4 here"))
    assert json.loads(jsonoutput.text({}, error)) == {
        "error": {"message": "no L4 here", "exit_code": 14, "reason": "gpu-not-found"}
    }


def test_an_output_that_cannot_be_written_hides_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonoutput.print_error(GpuNotFound("no L4 here"), {"sessions": []})
    assert list(json.loads(capsys.readouterr().out)) == ["sessions", "error"]

    def full(_: str) -> int:
        raise DiskFull("the output cannot be written")

    monkeypatch.setattr(sys.stdout, "write", full)
    jsonoutput.print_error(GpuNotFound("no L4 here"), {})
