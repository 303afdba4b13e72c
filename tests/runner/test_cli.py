"""The command line as a user meets it: one line, an exit code of its own, never a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import Main, environment, runner

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_help_answers_at_once_and_lists_the_commands(tmp_path: Path) -> None:
    seconds: list[float] = []
    while len(seconds) < 10 and min(seconds, default=1.0) >= 1.0:
        started = time.monotonic()
        found = runner(tmp_path, "--help")
        seconds.append(time.monotonic() - started)
    # 0.15 s on an idle machine, 0.7 on the slowest seen; what matters to a user is 0.5 s, doubled for a busy one, and
    # the best of ten, since the tests beside this one come and go
    assert min(seconds) < 1.0
    assert found.returncode == 0
    assert {"cell", "import", "verify", "gpus", "models", "ui"} <= set(
        re.findall(r"^  (\w+) ", found.stdout, re.MULTILINE)
    )


@pytest.mark.medium
def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from runner import cli; print([m for m in ('torch', 'mlflow', 'numpy') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cell", "--gpu", "l4"), 14, "this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu"),
        (("cell", "--gpu", "l44"), 10, "did you mean l4?"),
        (("cell", "--model", "qwen"), 10, "unknown model 'qwen'"),
        (("cell", "--ctx", "-5"), 11, "ctx=-5: must be at least 1"),
        (("cell", "--ctx", "1000000"), 11, "the largest ctx is 32733"),
        (("cell", "--gpu", "$(touch x)"), 11, "are allowed in a value"),
        (("cell", "--stack", "paper"), 27, "DECODE_FLOOR_ENGINE=none switches containers off"),
        (("cell", "--quant", "gptq"), 13, "the kernels of quant=gptq (exllamav2, marlin) need a CUDA GPU"),
        (("cell", "--kernel", "cublas"), 13, "kernel=cublas needs a CUDA GPU"),
        (("cell", "--weights", "/nonexistent"), 16, "no such folder"),
        (("cell", "--nonsense", "1"), 2, "unknown option '--nonsense'"),
        (("cell", "--nonsense", "1"), 2, "(see `python -m runner cell --help`)"),
        (("cel",), 2, "unknown command 'cel'; did you mean cell? (allowed: ab, bench, cell, "),
        (("nonsense",), 2, "unknown command 'nonsense' (allowed: ab, bench, cell, "),
        (("cell", "--sessions", "0"), 11, "sessions=0: must be at least 1"),
        (("cell", "--timeout", "nan"), 2, "nan must be more than 0 and at most 604800 seconds"),
        (("cell", "--timeout", "1e12"), 2, "at most 604800 seconds (7 days)"),
        (("cell", "--timeout", "0"), 2, "0 must be more than 0"),
        (("cell", "--ctx", "9" * 21), 11, "must be at most 9223372036854775807"),
        (("verify", "/nonexistent.json"), 11, "/nonexistent.json: no such file or folder"),
        (("import", "/nonexistent"), 11, "no such folder"),
        (
            ("import", "/etc/passwd"),
            11,
            "/etc/passwd is a file, not a folder of records: name the folder that it is in",
        ),
        (("cell", "--ctx", ""), 11, "ctx='' is empty: give it a value, or leave it out"),
        (("cell", "--where", "moon"), 10, "unknown where 'moon' (allowed: auto, here, container)"),
        (("cell", "--dtype", "fp8"), 10, "unknown dtype 'fp8' (allowed: auto, bf16, fp16, fp32)"),
    ],
)
def test_a_mistake_is_one_line_with_its_own_exit_code(
    main: Main, arguments: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = main(*arguments)
    assert (found, len(err.splitlines())) == (code, 1)
    assert err.startswith("error: ")
    assert said in err
