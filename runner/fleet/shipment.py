"""The code that travels to the nodes: the package and the catalogue, in a folder that Ray copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.cell import catalogue
from runner.files import scratch
from runner.record import codekey

CATALOGUE = ("gpus.yaml", "models.yaml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
ENVIRONMENT = {catalogue.FOLDER_VARIABLE: ""}
"""Variables of the tasks: a node uses the driver's catalogue, which travels with the code."""


@contextmanager
def packed() -> Iterator[Path]:
    """Yields a temporary folder with all that a node imports or reads: no records, checkpoints or spools."""
    with scratch.folder() as folder:
        shutil.copytree(codekey.PACKAGE, folder / codekey.PACKAGE.name, ignore=LEFT_OUT)
        beside = folder / catalogue.SHIPPED.name
        beside.mkdir()
        for file in (catalogue.folder() / name for name in CATALOGUE):
            if file.exists():  # the driver itself says which one is missing
                shutil.copyfile(file, beside / file.name)
        yield folder
