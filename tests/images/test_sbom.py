"""A bill of materials can be made of each lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.programs import program
from tests.images.settings import ROOT
from tests.images.test_locks import LOCKS, pins


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sbom")
    beside = os.path.dirname(program("cyclonedx-py", "make env"))
    subprocess.run(
        [str(ROOT / "images" / "sbom.sh"), str(made)],
        env={**os.environ, "PATH": os.pathsep.join((beside, os.path.dirname(sys.executable), os.environ["PATH"]))},
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return made


@pytest.mark.slow
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_bill_lists_what_its_lock_pins(bills: Path, lock: Path) -> None:
    bill = json.loads((bills / f"{lock.stem}.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert {part["name"].lower(): part["version"] for part in bill["components"]} == pins(lock)
    for part in bill["components"]:
        assert part["externalReferences"][0]["hashes"], part["name"]
