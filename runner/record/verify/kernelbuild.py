"""Checks how the kernel of a fused step was compiled: its facts in `actual.settings`, its options, and its sources."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache

from runner.cell.fieldtypes import value_or_none
from runner.errors import BadValue
from runner.fused import geometry
from runner.fused.compiled import SOURCES
from runner.fused.geometry import Card
from runner.kernels import fused
from runner.record import codekey
from runner.record.line import short_repr, unequal
from runner.record.sessionrecord import MeasuredRecord

SETTINGS, OPTIONS = "actual.settings", "options"
FACTS = {
    "nvrtc": (r"[1-9]\d?\.\d{1,2}", "a version"),
    OPTIONS: (r"\S.*", "a list of options"),
    "registers": (r"[1-9]\d?|1\d\d|2[0-4]\d|25[0-5]", "a number of registers that a thread can have"),
    "spilled_bytes": (r"0", "0, and the kernel is written to keep its values in registers"),
    "cubin_sha256": (r"[0-9a-f]{64}", "64 hexadecimal digits"),
    "nvrtc_sha256": (r"[0-9a-f]{64}", "64 hexadecimal digits"),
}
"""Name → form of each fact about the build, and the form in words."""
NEWER = {"nvrtc_sha256"}
"""Facts that older records do not have."""
DEFINE, ARCHITECTURE = "--define-macro=", "-arch="
OF_SHAPE = ("LAYERS", "HIDDEN", "INTERMEDIATE", "VOCAB", "HEADS", "KV_HEADS", "HEAD_DIM", "QKV_BIAS")
"""Constants that follow from the model alone. All others may differ between versions of the layout."""
BLOCKS, LARGEST_SHARED = "BLOCKS", "LARGEST_SHARED"
"""Constants that follow from the card, and that the layout needs."""
STEP, HEADER = "step.cu", ".cuh"


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each fact about the build that is missing or that model and card contradict, and for each
    source that is missing among the files of the code."""
    if record.cell.kernel != fused.DECLARATION.name:
        return
    settings = value_or_none(record.actual.settings)
    if settings is None:
        yield f"{SETTINGS}: missing, but a session compiles the kernel {record.cell.kernel}"
    else:
        yield from _fact_differences(settings)
        yield from _option_differences(record, settings.get(OPTIONS, "").split())
    if (files := value_or_none(record.keys.code_files)) is not None:
        yield from _source_differences(files, record.keys.tree_key)


def constants(record: MeasuredRecord) -> dict[str, int]:
    """Returns name → value of the constants of the build; those without a number are left out."""
    settings = value_or_none(record.actual.settings) or {}
    defined = _defined(settings.get(OPTIONS, "").split())
    return {name: int(value) for name, value in defined if re.fullmatch(r"\d{1,9}", value)}


def _fact_differences(settings: Mapping[str, str]) -> Iterator[str]:
    for name, (form, words) in FACTS.items():
        if name not in settings:
            if name not in NEWER:
                yield f"{SETTINGS}.{name}: missing"
        elif not re.fullmatch(form, settings[name]):
            yield f"{SETTINGS}.{name}: {short_repr(settings[name])} is not {words}"


def _defined(options: list[str]) -> list[tuple[str, str]]:
    """Returns name and value of each constant, in order."""
    given = (option.removeprefix(DEFINE).partition("=") for option in options if option.startswith(DEFINE))
    return [(name, value) for name, _, value in given]


def _option_differences(record: MeasuredRecord, options: list[str]) -> Iterator[str]:
    place = f"{SETTINGS}.{OPTIONS}"
    yield from _architecture_differences(options, value_or_none(record.gpu.compute_capability), place)
    counts = Counter(name for name, _ in _defined(options))
    yield from (f"{place}: {short_repr(name)} is defined {count} times" for name, count in counts.items() if count > 1)
    found = constants(record)
    yield from (f"{place}: {short_repr(name)} has no number" for name in counts if name not in found)
    if missing := [name for name in (BLOCKS, LARGEST_SHARED) if name not in found]:
        yield f"{place}: without {', '.join(missing)}"
        return
    try:
        layout = geometry.choose(record.model.shape, Card(found[BLOCKS], found[LARGEST_SHARED]))
    except BadValue as error:
        yield f"{place}: no layout for this model and card: {error}"
        return
    expected = layout.defines()
    yield from (f"{place}: no session defines {short_repr(name)}" for name in counts if name not in expected)
    for name in OF_SHAPE:
        yield from unequal(f"{place}: {name}", found.get(name), "the model's", expected[name])


def _architecture_differences(options: list[str], capability: str | None, place: str) -> Iterator[str]:
    """Yields a line if the kernel was not compiled for the card, with or without the features of its own alone."""
    named = [option.removeprefix(ARCHITECTURE) for option in options if option.startswith(ARCHITECTURE)]
    expected = f"sm_{(capability or '').replace('.', '')}"
    if [name.removesuffix("a") for name in named] != [expected]:
        yield f"{place}: compiled for {short_repr(', '.join(named))}, but the card is {expected}"


def _source_differences(files: tuple[str, ...], tree_key: str) -> Iterator[str]:
    """Yields a line for each missing source: of today's code all, of other code step.cu and any header."""
    folder = SOURCES.relative_to(codekey.PACKAGE).as_posix()
    headers = [path.name for path in sorted(SOURCES.glob(f"*{HEADER}"))] if tree_key == _tree_key() else []
    for name in (STEP, *headers):
        if f"{folder}/{name}" not in files:
            yield f"keys.code_files: without {folder}/{name}, which the session compiled"
    if not any(file.startswith(f"{folder}/") and file.endswith(HEADER) for file in files):
        yield f"keys.code_files: without a header of {folder}/{STEP}"


@cache
def _tree_key() -> str:
    return codekey.tree_key()
