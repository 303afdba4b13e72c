"""Reads a command line without its parser, which is not imported yet or has failed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from runner.errors import BadValue
from runner.plan.request import FROM_ENVIRONMENT, are_local, weights_folder
from runner.record.spool import DEFAULT_SPOOL
from runner.redaction import privatepaths
from runner.redaction.privatepaths import Hidden

SPOOL, WEIGHTS, FIELD, JSON = "--spool", "--weights", "--field", "--json"
ARMS = ("--a", "--b")


def spool(arguments: Sequence[str]) -> Path:
    """Returns the folder of the spool."""
    return Path(next(iter(_values(arguments, SPOOL)), DEFAULT_SPOOL))


def is_json(arguments: Sequence[str]) -> bool:
    """Returns whether standard output is to have one JSON object and nothing else."""
    return JSON in arguments


def private(arguments: Sequence[str]) -> Hidden:
    """Returns the folders of the command line and the caches: private paths that a published text must not contain."""
    options = (WEIGHTS, *(ARMS if "weights" in _values(arguments, FIELD) else ()))
    weights = [value for option in options for value in _values(arguments, option) if are_local(value)]
    hidden = [pair for value in weights for pair in privatepaths.folder(_folder(value), privatepaths.WEIGHTS)]
    return (*hidden, *privatepaths.folder(str(spool(arguments)), privatepaths.SPOOL), *privatepaths.caches())


def _folder(value: str) -> str:
    try:
        return weights_folder(value)
    except BadValue:
        return value.removeprefix(FROM_ENVIRONMENT)


def _values(arguments: Sequence[str], option: str) -> list[str]:
    separate = [value for name, value in itertools.pairwise(arguments) if name == option]
    return separate + [word.partition("=")[2] for word in arguments if word.startswith(f"{option}=")]
