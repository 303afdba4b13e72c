"""Checks of a checkpoint's quantization_config that every format needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.checkpoints.weightfiles import LINEARS, listed
from runner.errors import BadCheckpoint

UNQUANTISED_LISTS = ("llm_int8_skip_modules", "modules_to_not_convert")
ANY_NUMBER = "#"
LAYERS = tuple(f".model.layers.{ANY_NUMBER}.{linear}." for linear in LINEARS)


def boolean(config: Mapping[str, Any], name: str, missing: bool = False) -> bool:
    """Returns a field that is true or false, or `missing` if it is absent.

    Raises BadCheckpoint for any other value: to Python the text "false" is true.
    """
    value = config.get(name, missing)
    if not isinstance(value, bool):
        raise BadCheckpoint(f"its {name} is {value!r}, neither true nor false")
    return value


def check_uniform(config: Mapping[str, Any]) -> None:
    """Raises BadCheckpoint if a list leaves some of the layers' linear modules in 16 bits.

    The head is never packed here. Modules that this model lacks are ignored.
    """
    for field in UNQUANTISED_LISTS:
        if unquantised := [name for name in module_names(config, field) if _is_in_layers(name)]:
            raise mixed_layers(f"its {field} leave {listed(unquantised)} in 16 bits")


def module_names(config: Mapping[str, Any], field: str) -> list[str]:
    """Returns the names in a list, or in a list of lists; empty if the field is absent.

    Raises BadCheckpoint for any other value.
    """
    entries = config.get(field) or []
    if isinstance(entries, list):
        names = [name for entry in entries for name in (entry if isinstance(entry, list) else [entry])]
        if all(isinstance(name, str) for name in names):
            return names
    raise BadCheckpoint(f"its {field} is not a list of names")


def mixed_layers(reason: str) -> BadCheckpoint:
    return BadCheckpoint(f"{reason}: layers of different kinds are not supported")


def _is_in_layers(name: str) -> bool:
    """Returns whether the parts of a name occur in sequence in the name of a layer's linear module.

    `mlp` does; `mlp.gate` does not.
    """
    parts = ".".join(ANY_NUMBER if part.isdecimal() else part for part in name.strip(".").split("."))
    return any(f".{parts}." in layer for layer in LAYERS)
