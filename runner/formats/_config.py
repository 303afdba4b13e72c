"""What every format asks of a checkpoint's quantization_config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.checkpoints.weightfiles import LINEARS, listed
from runner.errors import BadCheckpoint

KEPT = ("llm_int8_skip_modules", "modules_to_not_convert")  # lists of modules that stay unquantised
ANY_NUMBER = "#"
LAYERS = tuple(f".model.layers.{ANY_NUMBER}.{linear}." for linear in LINEARS)


def truth(config: Mapping[str, Any], name: str, missing: bool = False) -> bool:
    """A field that is true or false, `missing` where it is not there. Raises BadCheckpoint for all else: Python takes
    the text "false" for true."""
    value = config.get(name, missing)
    if not isinstance(value, bool):
        raise BadCheckpoint(f"its {name} is {value!r}, neither true nor false")
    return value


def check_uniform(config: Mapping[str, Any]) -> None:
    """Raises BadCheckpoint where a list keeps some of the layers' linear modules in 16 bits. The head is never packed
    here, and modules of other models do no harm."""
    for field in KEPT:
        if kept := [name for name in module_names(config, field) if _is_of_layers(name)]:
            raise mixed(f"its {field} leave {listed(kept)} in 16 bits")


def module_names(config: Mapping[str, Any], field: str) -> list[str]:
    """A list of names, or of lists of them; empty where it is not there. Raises BadCheckpoint for anything else."""
    found = config.get(field) or []
    if isinstance(found, list):
        names = [name for entry in found for name in (entry if isinstance(entry, list) else [entry])]
        if all(isinstance(name, str) for name in names):
            return names
    raise BadCheckpoint(f"its {field} is no list of names")


def mixed(what: str) -> BadCheckpoint:
    return BadCheckpoint(f"{what}: layers of different kinds are not read")


def _is_of_layers(name: str) -> bool:
    """Do its parts, in a row, stand in the name of a linear module of some layer? `mlp` does, `mlp.gate` does not."""
    parts = ".".join(ANY_NUMBER if part.isdecimal() else part for part in name.strip(".").split("."))
    return any(f".{parts}." in layer for layer in LAYERS)
