"""How a checkpoint's weights are packed, wherever that is told: in its config.json, or in the file that the package
which packed them wrote beside it."""

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
# the files of AutoGPTQ and AutoAWQ, and what their weights are where the file does not say so
AUTOGPTQ = "quantize_config.json"
BESIDE = {AUTOGPTQ: "gptq", "quant_config.json": "awq"}
NOWHERE = f"no {FIELD} in config.json, no {', no '.join(BESIDE)}"
METHOD = "quant_method"
# AutoAWQ's and GPTQ-for-LLaMa's words, and those of transformers
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
# fields that only one method has
MARKS = {
    "bitsandbytes": ("load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"),
    "awq": ("zero_point", "version", "w_bit", "q_group_size"),
    "gptq": ("desc_act", "sym", "damp_percent", "true_sequential", "static_groups", "checkpoint_format"),
}
BNB_STATE, BNB_NESTED = re.compile(r"\.quant_state\.bitsandbytes__(\w+)$"), ".nested_absmax"
COMPARED = (METHOD, "bits", "group_size", "sym", "desc_act", "zero_point")
FORMATS = {"gptq": ("checkpoint_format", "format"), "awq": ("version", "format")}  # the first that is there counts


@dataclass(frozen=True)
class Told:
    """The description of the packing, in transformers' words, and where; `place` begins a sentence."""

    place: str
    fields: Mapping[str, Any]

    @property
    def method(self) -> str | None:
        return self.fields.get(METHOD)


def told(folder: Path, config: Mapping[str, Any], packed: Collection[str] | None) -> Told | None:
    """Returns what config.json and its side files say, None where nothing does. The files count only where the weights
    are packed, or where nobody knows yet (`packed`, the names of their packed tensors, is None): transformers reads
    over them. What these names themselves say goes before what is written, as in transformers.

    Raises BadCheckpoint where two places contradict each other, or the only one cannot be read.
    """
    found = [_in_config(config[FIELD])] if config.get(FIELD) else []
    if packed is None or packed:
        found += _beside(folder, must_be_read=not found)
    for first, second in pairwise(found):
        _check_agreement(first, second)
    if not found:
        return None
    merged = {name: value for one in reversed(found) for name, value in one.fields.items()}
    return Told(found[0].place, merged | (_named(packed or ()) if merged.get(METHOD) == "bitsandbytes" else {}))


def _named(packed: Collection[str]) -> dict[str, Any]:
    """Returns the fields of bitsandbytes' that the names of its tensors tell."""
    kinds = sorted({state.group(1) for state in map(BNB_STATE.search, packed) if state})
    is_nested = any(name.endswith(BNB_NESTED) for name in packed)
    return {"bnb_4bit_quant_type": "+".join(kinds), "bnb_4bit_use_double_quant": is_nested} if kinds else {}


def base_name(folder: Path) -> str | None:
    """What AutoGPTQ's file calls the weights' own file, without its ending; None where it does not say."""
    try:
        found = jsontext.loads(plainfile.read(folder / AUTOGPTQ).decode()).get("model_file_base_name")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def in_words(fields: Mapping[str, Any], method: str | None = None) -> dict[str, Any]:
    """The fields under transformers' names, numbers and truth values that are written as text as what they are, and
    the method that follows from the fields where it is missing (`method` where it does not)."""
    written = {name: _value(name, value) for name, value in fields.items() if value is not None}
    found = {name: value for name, value in written.items() if name not in ALIASES}
    for alias, name in ALIASES.items():
        if alias in written:
            found.setdefault(name, _value(name, written[alias]))
    if followed := _method(written, found.get(METHOD) or method):
        found[METHOD] = followed
    return found


def _method(written: Mapping[str, Any], stated: str | None) -> str | None:
    """transformers, too, takes what loads in 4 or 8 bits for bitsandbytes', whatever it is called."""
    if written.get("load_in_4bit") is True or written.get("load_in_8bit") is True:
        return "bitsandbytes"
    marked = [method for method, marks in MARKS.items() if any(mark in written for mark in marks)]
    return stated or (marked[0] if len(marked) == 1 else None)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and name in NUMBERS:
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if name in NUMBERS and text.lstrip("-").isdecimal():
        return int(text)
    return TRUTHS.get(text, text if name in WORDS else value)


def _in_config(fields: Any) -> Told:
    return Told(IN_CONFIG, in_words(fields if isinstance(fields, dict) else {}))


def _beside(folder: Path, must_be_read: bool) -> Iterator[Told]:
    for file, method in BESIDE.items():
        try:
            fields = {**jsontext.loads(plainfile.read(folder / file).decode())}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            if must_be_read:
                unreadable = f"{file} cannot be read ({error}): fetch it again"
                raise BadCheckpoint(impostors.told(folder / file) or unreadable) from error
            continue
        if any(name in in_words(fields) for name in COMPARED):  # another program's file may have this name
            yield Told(f"{file} says how it is packed", in_words(fields, method))


def _check_agreement(first: Told, second: Told) -> None:
    ours, theirs = _comparable(first.fields), _comparable(second.fields)
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name]:
            raise BadCheckpoint(
                f"{first.place.split()[0]} and {second.place.split()[0]} contradict each other: {name} is "
                f"{ours[name]} in the one, {theirs[name]} in the other: correct the wrong one, or fetch both again"
            )


def _comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: fields[name] for name in COMPARED if name in fields}
    names = FORMATS.get(str(fields.get(METHOD)), ())
    stated = [fields[name] for name in names if name in fields]
    return {**found, "format": stated[0]} if stated else found
