"""Reads a command line without its parser, which is not imported yet then, or has failed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from runner.errors import BadValue
from runner.plan.request import FROM_ENVIRONMENT, are_local, weights_folder
from runner.record.spool import DEFAULT_SPOOL
from runner.redaction import privatepaths
from runner.redaction.privatepaths import Hidden

SPOOL, WEIGHTS, FIELD = "--spool", "--weights", "--field"
ARMS = ("--a", "--b")


def spool(arguments: Sequence[str]) -> Path:
    """Returns the folder where the command will look for the spool."""
    return Path(next(iter(_given(arguments, SPOOL)), DEFAULT_SPOOL))


def private(arguments: Sequence[str]) -> Hidden:
    """The folders that the command was given, and the caches, which nobody else may read of."""
    options = (WEIGHTS, *(ARMS if "weights" in _given(arguments, FIELD) else ()))
    weights = [value for option in options for value in _given(arguments, option) if are_local(value)]
    found = [pair for value in weights for pair in privatepaths.folder(_folder(value), privatepaths.WEIGHTS)]
    return (*found, *privatepaths.folder(str(spool(arguments)), privatepaths.SPOOL), *privatepaths.caches())


def _folder(value: str) -> str:
    try:
        return weights_folder(value)
    except BadValue:
        return value.removeprefix(FROM_ENVIRONMENT)


def _given(arguments: Sequence[str], option: str) -> list[str]:
    given = [after for before, after in itertools.pairwise(arguments) if before == option]
    return given + [each.partition("=")[2] for each in arguments if each.startswith(f"{option}=")]
