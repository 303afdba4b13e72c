"""An engine's client at the edge of its command line: it answers with what the real one said, and keeps what it was
told. The transcripts are of Podman 4.3.1 and of Docker's client 28.2 without an engine; of an image's inspection the
history and the storage driver's folders were left out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.launch.container import place
from runner.plan.sessionplan import Plan
from runner.record import codekey

DIGEST = "sha256:" + "0123456789abcdef" * 4
"""An engine's id of an image."""
TRANSCRIPTS = Path(__file__).with_name("transcripts")
PROGRAM = """#!{python}
import json, os, subprocess, sys, time
from pathlib import Path

folder = Path({folder!r})
told = sys.argv[1:]
with (folder / "told.jsonl").open("a") as file:
    json.dump({{"arguments": told, "environment": dict(os.environ)}}, file)
    file.write("\\n")
answers = json.loads((folder / "answers.json").read_text())
answer = answers.get(" ".join(told[:2])) or answers.get(told[0]) or {{}}
if told[0] == "run" and "worker" in answer:
    # the container: the command behind the image, in this host's Python
    child = subprocess.Popen([*answer["worker"], told[-1]])
    sys.exit(child.wait())
sys.stdout.write(answer.get("out", ""))
sys.stderr.write(answer.get("err", ""))
sys.exit(answer.get("code", 0))
"""


def transcript(name: str) -> str:
    return (TRANSCRIPTS / name).read_text(encoding="utf-8")


def inspected(**labels: str) -> str:
    """What Podman says of the image, with these of its labels changed."""
    found = json.loads(transcript("podman-image-inspect.json"))
    changes = {name.replace("_", "-"): value for name, value in labels.items()}
    found[0]["Config"]["Labels"] |= {f"decode-floor.{name}": value for name, value in changes.items()}
    return json.dumps(found)


class FakeEngine:
    """A program of that name in a folder to be put on PATH."""

    def __init__(self, folder: Path, name: str, answers: Mapping[str, Any]) -> None:
        self.folder, self.name = folder / f"fake-{name}", name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = self.folder / name
        self.program.write_text(PROGRAM.format(python=sys.executable, folder=str(self.folder)))
        self.program.chmod(0o755)
        self.answer(answers)

    def answer(self, answers: Mapping[str, Any]) -> None:
        """`image inspect`, `run` or `rm` → out, err and code; of `run` also `worker`, the command of the container."""
        (self.folder / "answers.json").write_text(json.dumps(answers))

    def told(self) -> list[list[str]]:
        """The argument lists of the calls so far."""
        return [call["arguments"] for call in self.calls()]

    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "told.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def path_of(*engines: FakeEngine) -> str:
    """A PATH with these and no other engine."""
    return os.pathsep.join(str(engine.folder) for engine in engines)


ABSENT = {"image inspect": {"out": "[]\n", "err": transcript("podman-image-absent.txt"), "code": 125}}


AWAY = {"image inspect": {"out": "[]\n", "err": transcript("docker-not-running.txt"), "code": 1}}


def choose(where: str, stack: str, plan: Plan, spool: Path = Path("spool-that-is-not-there")) -> place.Place:
    """Returns the place of a session of this plan."""
    return place.choose(where, stack, plan, spool)


def present(**labels: str) -> dict[str, Any]:
    """The cpu image, of this code; with other labels the ada image of the modern stack."""
    ada = {"arch": "ada", "stack": "modern"} if "min_driver" in labels else {}
    own = {"tree_key": codekey.tree_key(), **ada, **labels}
    return {"image inspect": {"out": inspected(**own)}}
