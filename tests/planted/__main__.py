"""Plants a seeded sample of bugs in the modules that judge, runs their local tests, and prints what survived.

python -m tests.planted build/mutants build/mutants/env             # goes on where it stopped
python -m tests.planted build/mutants build/mutants/env --report    # prints what is known so far
python -m tests.planted build/mutants build/mutants/env --anew      # a new copy of the working tree
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.planted import report, rooms, sample, trees
from tests.planted.localtests import Baseline, command, timeout_s

COUNT = 300
SEED = 0
COPIES = 2
CHANGES, PLANT = (Path(__file__).with_name(name) for name in ("changes.py", "plant.py"))


@dataclass(frozen=True)
class Place:
    """The folder of a run, cosmic-ray's own environment, and the number of copies that bugs are planted in."""

    folder: Path
    env: Path
    copy_count: int = COPIES

    @property
    def original(self) -> Path:
        return self.folder / "original"

    @property
    def copies(self) -> list[Path]:
        return [self.folder / f"tree-{number + 1}" for number in range(self.copy_count)]

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def listing(self) -> Path:
        return self.folder / "all.jsonl"

    @property
    def session(self) -> Path:
        return self.folder / "session.sqlite"

    def run(self, program: str, *arguments: str) -> str:
        """Runs a program of cosmic-ray's environment in the copy that stays without bugs, and returns its output."""
        command = [str(self.env / "bin" / program), *arguments]
        return subprocess.run(command, cwd=self.original, check=True, text=True, stdout=subprocess.PIPE).stdout


def copy(place: Place) -> None:
    """Copies the working tree where no copy is, and undoes bugs that a killed run left."""
    if not place.original.exists():
        trees.copy(rooms.ROOT, place.original)
    if missing := [name for name in rooms.modules() if not (place.original / name).is_file()]:
        sys.exit(f"The copy of the working tree lacks {missing[0]}: ARGS=--anew begins with a new copy")
    for tree in place.copies:
        if not tree.exists():
            trees.copy_again(place.original, tree)
        trees.restore(place.original, tree, rooms.modules())
    if trees.fingerprint(rooms.ROOT) != _fingerprint(place):
        print("The working tree has changed since it was copied: ARGS=--anew begins with a new copy", file=sys.stderr)


def _fingerprint(place: Place) -> str:
    file = place.folder / "fingerprint"
    if not file.exists():
        file.write_text(trees.fingerprint(rooms.ROOT), encoding="utf-8")
    return file.read_text(encoding="utf-8")


def draw(place: Place, count: int) -> list[sample.Mutation]:
    """Returns the sample of all changes, which are listed once."""
    if not place.listing.exists():
        wanted = json.dumps({"modules": rooms.modules(), "operators": sorted(sample.OPERATORS)})
        part = place.listing.with_suffix(".part")
        part.write_text(place.run("python", str(CHANGES), wanted), encoding="utf-8")
        part.rename(place.listing)
    changes = map(json.loads, place.listing.read_text(encoding="utf-8").splitlines())
    sources = {name: (place.original / name).read_text(encoding="utf-8") for name in rooms.modules()}
    return sample.drawn(map(sample.listed, changes), sources, count, SEED)


def plan(place: Place, sampled: list[sample.Mutation]) -> None:
    """Writes what plant.py needs: the sample, the copies, and the tests of each module."""
    files = {name: rooms.local_tests(name, place.original) for name in sorted({one.module for one in sampled})}
    baseline = Baseline(place.folder / "baseline.json")
    baseline.measure(itertools.chain.from_iterable(files.values()), place.copies)
    tests = {name: _tests(name, baseline.fast(paths), baseline) for name, paths in files.items()}
    changes = {one.name: one.change for one in sampled}
    data = {"sample": changes, "trees": list(map(str, place.copies)), "modules": tests}
    place.plan.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _tests(module: str, files: list[str], baseline: Baseline) -> dict[str, Any]:
    if not files:
        raise SystemExit(f"{module}: every test of it is marked slow; add faster ones to {rooms.own_tests(module)}")
    return {"command": command(files), "timeout_s": timeout_s(baseline.seconds(files))}


def plant(place: Place) -> int:
    """Tries what was not tried yet, and returns the exit status."""
    python = str(place.env / "bin" / "python")
    process = subprocess.Popen([python, str(PLANT), str(place.plan), str(place.session)])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # plant.py answers Ctrl-C, once the tests that run have ended
    return process.wait()


def main() -> int:
    """Plants what the command line asks for, prints the report, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the copies, the session and what else belongs to a run")
    parser.add_argument("env", type=Path, help="the environment that has cosmic-ray")
    parser.add_argument("--anew", action="store_true", help="forget the results and copy the working tree again")
    parser.add_argument("--report", action="store_true", help="try nothing more")
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help=f"the size of the sample (left out: {COUNT})"
    )
    parser.add_argument(
        "--copies", type=int, default=COPIES, metavar="N", help=f"bugs that are tried at a time (left out: {COPIES})"
    )
    options = parser.parse_args()
    place = Place(options.folder.resolve(), options.env.absolute(), options.copies)
    if options.anew:
        forget(place)
    if not options.report:
        place.folder.mkdir(parents=True, exist_ok=True)
        copy(place)
        sampled = draw(place, options.count)
        plan(place, sampled)
        if status := plant(place):
            return status
    if not place.session.exists():
        sys.exit("Nothing is tried yet: leave out --report")
    bugs = report.tried(dumped := place.run("cosmic-ray", "dump", str(place.session)))
    planned = len(dumped.splitlines())
    print(report.text(bugs, planned, report.reasons(Path(__file__).with_name("reasons.yaml"))))
    return 0 if report.is_enough(bugs, planned) else 1


def forget(place: Place) -> None:
    """Deletes a run, but neither cosmic-ray's environment nor anything that is no part of a run."""
    for tree in (place.original, *place.folder.glob("tree-*")):
        shutil.rmtree(tree, ignore_errors=True)
    for file in (place.plan, place.listing, place.session):
        file.unlink(missing_ok=True)
    for name in ("fingerprint", "baseline.json"):
        (place.folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped: `make mutants` goes on from here")
