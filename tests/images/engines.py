"""Container engines at the edge of their command lines: fakes that replay what the real ones were seen to say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TRANSCRIPTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "transcripts.yaml").read_text(encoding="utf-8"))
# what images/build.sh calls beside an engine and df; nothing else is on PATH, no engine of this machine either
TOOLS = [
    "awk",
    "basename",
    "bash",
    "cat",
    "dirname",
    "env",
    "git",
    "grep",
    "mkdir",
    "nproc",
    "sed",
    "tail",
    "tee",
    "tr",
]

FAKE = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
with pathlib.Path({calls!r}).open("a") as calls:
    calls.write(json.dumps([{engine!r}, *arguments]) + "\\n")
for entry in json.loads({entries!r}):
    if arguments[: len(entry["args"])] == entry["args"]:
        print(entry.get("stdout", ""), end="")
        print(entry.get("stderr", ""), end="", file=sys.stderr)
        sys.exit(entry.get("code", 0))
sys.exit("the transcript has no answer to " + " ".join(arguments))
"""


class Machine:
    """A machine on which the engines of a transcript are installed, and `make image-…` is called."""

    def __init__(self, folder: Path, transcript: str | None) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._calls = folder / "calls"
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, f"{tool} is needed to run images/build.sh"
            (self.bin / tool).symlink_to(found)
        (self.bin / "python3").symlink_to(Path(sys.executable).resolve())  # of no environment, as on a host that builds
        self.install("df", "#!/bin/sh\nprintf 'Avail\\n  500\\n'\n")
        for engine, entries in TRANSCRIPTS[transcript].items() if transcript else ():
            self.install(
                engine,
                FAKE.format(python=sys.executable, calls=str(self._calls), engine=engine, entries=json.dumps(entries)),
            )

    def install(self, name: str, program: str) -> None:
        """Put a program on PATH, in place of the one that is there."""
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(program)
        (self.bin / name).chmod(0o755)

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": str(self.bin), "HOME": os.environ.get("HOME", "/"), "LOGS": str(self.bin.parent)}
        return subprocess.run(
            [str(self.bin / "bash"), str(ROOT / "images" / "build.sh"), *arguments], env={**own, **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def calls(self) -> list[list[str]]:
        """The command lines that engines were given."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []
