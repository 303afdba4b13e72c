"""The request: the fields as typed, each one plain token, before anything is resolved."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from runner.cell.vocabulary import AUTO, plain_token
from runner.errors import BadValue

SYNTHETIC = "synthetic"
HUB = "hub"
NONE = "none"
FROM_ENVIRONMENT = "env:"
LARGEST_NUMBER = 2**63 - 1
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHELL_ACTS_ON = frozenset(";$`|&<>'\"*?\\{}")


@dataclass(frozen=True)
class Request:
    """A request; each field is `auto` or a value.

    Raises BadValue for a value that is not one plain token, because any field may end up in a shell, a file name or a
    tag. Only `weights` may be any folder name, because it is not published.
    """

    gpu: str = AUTO
    model: str = AUTO
    ctx: str = AUTO
    quant: str = AUTO
    kernel: str = AUTO
    runtime: str = AUTO
    cache: str = AUTO
    dtype: str = AUTO
    attention: str = AUTO
    weights: str = AUTO
    protocol: str = AUTO
    steps: str = AUTO
    warmup: str = AUTO
    windows: str = AUTO
    seed: str = AUTO
    where: str = AUTO
    device: str = AUTO
    study: str = AUTO
    options: str = AUTO
    stack: str = AUTO
    energy: str = AUTO
    host_condition: str = AUTO

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value != AUTO and (name != "weights" or not _is_path(value)):
                plain_token(name, value)

    @property
    def weights_are_local(self) -> bool:
        """Returns whether `weights` names a folder."""
        return are_local(self.weights)

    def published(self) -> dict[str, str]:
        """Returns the fields as records publish them: without paths and card UUIDs."""
        fields: dict[str, str] = {**vars(self)}
        if self.weights_are_local:
            fields["weights"] = "local"
        if self.device != AUTO and not self.device.isdecimal():
            fields["device"] = "by-uuid"
        return fields


def are_local(weights: str) -> bool:
    """Returns whether this value of `weights` names a folder."""
    return weights not in (AUTO, SYNTHETIC, HUB)


def weights_folder(weights: str) -> str:
    """Returns the folder's path; for `env:NAME`, the value of the environment variable NAME.

    `env:` keeps a path out of the parameters that `mlflow run` logs. Raises BadValue if the variable is not set.
    """
    if not weights.startswith(FROM_ENVIRONMENT):
        return weights
    name = weights.removeprefix(FROM_ENVIRONMENT)
    if not names_a_variable(weights):
        # the message does not repeat the value: it may be the path that was meant to stay private
        raise BadValue("weights=env:… takes the name of a variable: `export W=/path/to/weights`, then weights=env:W")
    if folder := os.environ.get(name):
        return folder
    raise BadValue(f"weights={weights}: the variable {name} is not set: export it with the folder's path")


def names_a_variable(weights: str) -> bool:
    """Returns whether this value of `weights` is `env:` and a valid variable name."""
    return weights.startswith(FROM_ENVIRONMENT) and bool(VARIABLE.fullmatch(weights.removeprefix(FROM_ENVIRONMENT)))


def _is_path(value: str) -> bool:
    """Returns whether the value can be the path of a folder.

    A value with characters special to a shell is accepted only if that folder exists.
    """
    return (
        value != ""
        and value.isprintable()
        and (not SHELL_ACTS_ON.intersection(value) or os.path.isdir(os.path.expanduser(value)))
    )


def whole_number(field: str, value: str, minimum: int) -> int:
    """Returns the value as an integer from `minimum` to LARGEST_NUMBER. Raises BadValue otherwise."""
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise BadValue(f"{field}={value}: must be a whole number of at least {minimum}")
    # Python refuses to parse thousands of digits
    number = int(value[: len(str(LARGEST_NUMBER)) + 1])
    if number < minimum:
        raise BadValue(f"{field}={value}: must be at least {minimum}")
    if number > LARGEST_NUMBER:
        raise BadValue(f"{field}={value}: must be at most {LARGEST_NUMBER}")
    return number


def option_map(text: str) -> dict[str, str]:
    """Returns `name:value,name:value` as a mapping, empty for `none` and `auto`. Raises BadValue for anything else."""
    if text in (AUTO, NONE):
        return {}
    pairs = [part.partition(":") for part in text.split(",")]
    names = [name for name, _, _ in pairs]
    if not all(name and value for name, _, value in pairs) or len(set(names)) < len(names):
        raise BadValue(f"options={text}: must be name:value,name:value with each name once, or none")
    return {name: value for name, _, value in pairs}
