"""Values of single fields of a request, checked without the other fields: names, whole numbers and options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from runner import registry
from runner.cell import catalogue, vocabulary
from runner.cell.vocabulary import AUTO
from runner.errors import BadValue
from runner.hostcondition.condition import AS_IT_IS, BUSY, FIELD, FORM, MOST, PINNED, HostCondition
from runner.plan.request import option_map, whole_number

DESCRIPTIONS = {
    "gpu": "the GPU's name in the catalogue (`python -m runner gpus` lists them), or cpu",
    "model": "the model's name in the catalogue (`python -m runner models` lists them)",
    "ctx": "tokens in the context",
    "quant": "weight format",
    "kernel": "kernel that multiplies the weights",
    "runtime": "how a step is executed",
    "cache": "KV cache",
    "dtype": "dtype of unpacked values",
    "attention": "implementation of attention",
    "weights": "synthetic, hub, a folder of safetensors, or env:NAME for the folder in the variable NAME",
    "protocol": "number of warm-up and timed steps",
    "steps": "timed steps instead of the protocol's",
    "warmup": "warm-up steps instead of the protocol's",
    "windows": "windows of the wall pass instead of the protocol's, each restarted at ctx",
    "seed": "seed of the random prompt",
    "where": "here (this interpreter), container (required), or auto (a container if its image is present)",
    "device": "index or UUID of the GPU, if there are several",
    "study": "name of the session's study",
    "options": "name:value,name:value, options of the runtime and of synthetic weights",
    "stack": "pinned package versions",
    "energy": "measure the energy of a step in a pass of its own",
    "host_condition": "pinned:K (the worker runs on K processors) or busy:N (N processes compute beside it); such a "
    "session is in no table of steps",
}
"""Field of a request → its description."""
LEAST = {"ctx": 1, "steps": 1, "warmup": 1, "windows": 1, "seed": 0}
"""Fields that are whole numbers, each with its least value."""


def _all_caches() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for declared in registry.runtime_declarations() for name in declared.caches))


def _all_attentions() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for declared in registry.runtime_declarations() for name in declared.attentions))


WORDS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "gpu": lambda: (*catalogue.gpus(),),
    "model": lambda: (*catalogue.models(),),
    "quant": registry.format_names,
    "kernel": registry.kernel_names,
    "runtime": registry.runtime_names,
    "cache": _all_caches,
    "attention": _all_attentions,
    "dtype": lambda: vocabulary.DTYPES,
    "protocol": lambda: vocabulary.PROTOCOLS,
    "where": lambda: vocabulary.PLACES,
    "stack": lambda: vocabulary.STACKS,
    "energy": lambda: vocabulary.SWITCH,
}
"""Fields whose values are names, each with those that this version has."""
SWITCHES = ("energy",)
"""Fields that are on or off."""
PLANNED = {"cache": vocabulary.CACHES, "attention": vocabulary.ATTENTIONS}
"""Fields with names that no runtime may have yet."""


def checked(field: str, value: str) -> str:
    """Returns the value. Raises UnknownName, NotAvailable or BadValue if no request can have it in this field.

    `gpu` must be in the catalogue: this function does not know the installed cards.
    """
    if value == AUTO:
        return value
    if field in LEAST:
        number(field, value)
    elif field == "options":
        option_map(value)
    elif field == FIELD:
        host_condition(value)
    elif field in PLANNED:
        vocabulary.checked_available(field, value, PLANNED[field], WORDS[field]())
    elif field in WORDS:
        vocabulary.checked_name(field, value, (AUTO, *WORDS[field]()))
    return value


def number(field: str, value: str) -> int:
    """Returns the value of a field of LEAST as an integer. Raises BadValue if it is none, or too small or large."""
    return whole_number(field, value, LEAST[field])


def host_condition(text: str) -> HostCondition | None:
    """Returns the condition of the host, None for `auto` and `none`. Raises BadValue for anything else."""
    if text in AS_IT_IS:
        return None
    match = re.fullmatch(FORM, text)
    if match is None or int(match[2]) > MOST:
        raise BadValue(
            f"host_condition={text}: must be {PINNED}:K or {BUSY}:N, with a whole number from 1 to {MOST}, or none"
        )
    return HostCondition(match[1], int(match[2]))
