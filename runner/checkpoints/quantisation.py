"""How a checkpoint's weights are packed, by its config.json or by the file that the quantiser wrote beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from runner.checkpoints import impostors
from runner.errors import BadCheckpoint
from runner.files import jsontext, plainfile

FIELD = "quantization_config"
IN_CONFIG = f"config.json has a {FIELD}"
# the files of AutoGPTQ and AutoAWQ, and their method if the file does not name it
AUTOGPTQ = "quantize_config.json"
BESIDE = {AUTOGPTQ: "gptq", "quant_config.json": "awq"}
NOWHERE = f"no {FIELD} in config.json, no {', no '.join(BESIDE)}"
METHOD = "quant_method"
# AutoAWQ's and GPTQ-for-LLaMa's names, and those of transformers
ALIASES = {
    "w_bit": "bits",
    "wbits": "bits",
    "q_group_size": "group_size",
    "groupsize": "group_size",
    "method": METHOD,
}
NUMBERS = ("bits", "group_size")
WORDS = (METHOD, "version", "format", "checkpoint_format", "backend")
TRUTHS = {"true": True, "false": False}
# fields that identify one method
MARKS = {
    "bitsandbytes": ("load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"),
    "awq": ("zero_point", "version", "w_bit", "q_group_size"),
    "gptq": ("desc_act", "sym", "damp_percent", "true_sequential", "static_groups", "checkpoint_format"),
}
BNB_STATE, BNB_NESTED = re.compile(r"\.quant_state\.bitsandbytes__(\w+)$"), ".nested_absmax"
COMPARED = (METHOD, "bits", "group_size", "sym", "desc_act", "zero_point")
FORMATS = {"gptq": ("checkpoint_format", "format"), "awq": ("version", "format")}  # the first present one counts


@dataclass(frozen=True)
class Packing:
    """A description of the packing with transformers' field names. `place` says where it is, as the start of a
    sentence."""

    place: str
    fields: Mapping[str, Any]

    @property
    def method(self) -> str | None:
        """Returns the method, or None if no field names it."""
        return self.fields.get(METHOD)


def packing(folder: Path, config: Mapping[str, Any], packed: Collection[str] | None) -> Packing | None:
    """Returns the packing that config.json and its side files describe, or None.

    `packed` are the names of the packed tensors, None if the weights have not been read. Side files count only if
    weights are packed or not read yet, because transformers ignores them. The tensor names take precedence over written
    fields, as in transformers.

    Raises BadCheckpoint if two places contradict each other, or if the only one cannot be read.
    """
    descriptions = [_in_config(config[FIELD])] if config.get(FIELD) else []
    if packed is None or packed:
        descriptions += _beside(folder, must_be_read=not descriptions)
    for first, second in pairwise(descriptions):
        _check_agreement(first, second)
    if not descriptions:
        return None
    merged = {name: value for description in reversed(descriptions) for name, value in description.fields.items()}
    if merged.get(METHOD) == "bitsandbytes":
        merged |= _fields_from_names(packed or ())
    return Packing(descriptions[0].place, merged)


def _fields_from_names(packed: Collection[str]) -> dict[str, Any]:
    """Returns the bitsandbytes fields that the tensor names imply."""
    kinds = sorted({state.group(1) for state in map(BNB_STATE.search, packed) if state})
    is_nested = any(name.endswith(BNB_NESTED) for name in packed)
    return {"bnb_4bit_quant_type": "+".join(kinds), "bnb_4bit_use_double_quant": is_nested} if kinds else {}


def base_name(folder: Path) -> str | None:
    """Returns the weight file's name without suffix in AutoGPTQ's file, or None."""
    try:
        name = jsontext.loads(plainfile.read(folder / AUTOGPTQ).decode()).get("model_file_base_name")
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def normalised(fields: Mapping[str, Any], method: str | None = None) -> dict[str, Any]:
    """Returns the fields under transformers' names, with numbers and booleans parsed from text.

    The method is inferred from the fields if missing, or else it is `method`.
    """
    written = {name: _value(name, value) for name, value in fields.items() if value is not None}
    fields_by_name = {name: value for name, value in written.items() if name not in ALIASES}
    for alias, name in ALIASES.items():
        if alias in written:
            fields_by_name.setdefault(name, _value(name, written[alias]))
    if inferred := _method(written, fields_by_name.get(METHOD) or method):
        fields_by_name[METHOD] = inferred
    return fields_by_name


def _method(written: Mapping[str, Any], stated: str | None) -> str | None:
    """Returns the method. As in transformers, 4- or 8-bit loading means bitsandbytes, whatever `quant_method` says."""
    if written.get("load_in_4bit") is True or written.get("load_in_8bit") is True:
        return "bitsandbytes"
    candidates = [method for method, marks in MARKS.items() if any(mark in written for mark in marks)]
    return stated or (candidates[0] if len(candidates) == 1 else None)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and name in NUMBERS:
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if name in NUMBERS and text.lstrip("-").isdecimal():
        return int(text)
    return TRUTHS.get(text, text if name in WORDS else value)


def _in_config(fields: Any) -> Packing:
    return Packing(IN_CONFIG, normalised(fields if isinstance(fields, dict) else {}))


def _beside(folder: Path, must_be_read: bool) -> Iterator[Packing]:
    for file, method in BESIDE.items():
        try:
            fields = {**jsontext.loads(plainfile.read(folder / file).decode())}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            if must_be_read:
                unreadable = f"{file} cannot be read ({error}): fetch it again"
                raise BadCheckpoint(impostors.description(folder / file) or unreadable) from error
            continue
        if any(name in normalised(fields) for name in COMPARED):  # another program may use this file name
            yield Packing(f"{file} says how it is packed", normalised(fields, method))


def _check_agreement(first: Packing, second: Packing) -> None:
    ours, theirs = _comparable(first.fields), _comparable(second.fields)
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name]:
            raise BadCheckpoint(
                f"{first.place.split()[0]} and {second.place.split()[0]} contradict each other: {name} is "
                f"{ours[name]} in the one, {theirs[name]} in the other: correct the wrong one, or fetch both again"
            )


def _comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    comparable = {name: fields[name] for name in COMPARED if name in fields}
    names = FORMATS.get(str(fields.get(METHOD)), ())
    stated = [fields[name] for name in names if name in fields]
    return {**comparable, "format": stated[0]} if stated else comparable
