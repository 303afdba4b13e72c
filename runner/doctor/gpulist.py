"""Names of the catalogue's GPUs, read without PyYAML where that is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.doctor import interpreter
from runner.errors import BadValue
from runner.files import shipped

ENTRY = re.compile(r"([A-Za-z0-9][\w.-]*):\s*(?:#.*)?")
FIELD = re.compile(r"  (name|nvml|image):\s+(.*?)\s*")
SCALAR = re.compile(r"'((?:[^']|'')*)'|\"([^\"\\]*)\"|([^#'\"]\S*(?: [^#\s]\S*)*)(?:\s+#.*)?")


@dataclass(frozen=True)
class NamedGpu:
    """A GPU of the catalogue. `nvml` is a regular expression for the name that the driver reports, None for the CPU.
    `image` is the architecture of its container images, None without any."""

    key: str
    name: str
    nvml: str | None
    image: str | None


def entries() -> Mapping[str, NamedGpu]:
    """Returns key → GPU: of the catalogue of `cell`, or outside an environment of the shipped one. Raises BadValue."""
    if not interpreter.is_environment():
        return read(shipped.folder("experiments") / "gpus.yaml")
    from runner.cell import catalogue

    return {gpu.key: NamedGpu(gpu.key, gpu.name, gpu.nvml, gpu.image) for gpu in catalogue.gpus().values()}


def read(path: Path) -> dict[str, NamedGpu]:
    """Returns the GPUs of a catalogue that is written as the shipped one is: one entry a block, one field a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"the catalogue {path} cannot be read ({error}): restore it with git") from error
    found: dict[str, dict[str, str | None]] = {}
    for line in lines:
        if entry := ENTRY.fullmatch(line):
            found[entry.group(1)] = {}
        elif found and (field := FIELD.fullmatch(line)):
            found[next(reversed(found))][field.group(1)] = _scalar(field.group(2))
    if not found:
        raise BadValue(f"the catalogue {path} has no GPU: restore it with git")
    return {
        key: NamedGpu(key, fields.get("name") or key, fields.get("nvml"), fields.get("image"))
        for key, fields in found.items()
    }


def _scalar(text: str) -> str | None:
    match = SCALAR.fullmatch(text)
    if match is None:
        return text
    single, double, plain = match.groups()
    if single is not None:
        return str(single).replace("''", "'")
    return None if plain == "null" else str(double if double is not None else plain)
