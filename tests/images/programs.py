"""Programs that the tests of images need: from the environment's own folder, or this machine's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.images.settings import ROOT

FOLDERS = (Path(sys.executable).parent, ROOT / "build" / "buildx" / "usr" / "libexec" / "docker" / "cli-plugins")


def program(name: str, remedy: str) -> str:
    """The program's path; a test is skipped without it, which is a failure in CI."""
    path = os.pathsep.join([*map(str, FOLDERS), os.environ.get("PATH", "")])
    if found := shutil.which(name, path=path):
        return found
    pytest.skip(f"{name} is not here: {remedy}")
