"""Compiles the kernel for a layout and an architecture, by NVRTC through NVIDIA's cuda-core. No GPU is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runner.errors import BadValue
from runner.fused.geometry import Geometry
from runner.record import codekey

SOURCES = Path(__file__).parent / "cuda"
ENTRY = "decode_step"
REGISTERS = re.compile(r"Used (\d+) registers")
SPILLED = re.compile(r"(\d+) bytes spill (?:stores|loads)")


@dataclass(frozen=True)
class Compiled:
    """A compiled kernel, and what the assembler said of it."""

    module: Any
    """cuda-core's object code"""
    options: tuple[str, ...]
    registers: int
    spilled_bytes: int

    @property
    def code(self) -> bytes:
        return bytes(self.module.code)


def compile_step(
    geometry: Geometry, arch: str, more: Mapping[str, str] = MappingProxyType({}), sources: Path = SOURCES
) -> Compiled:
    """Returns the kernel for a layout, for an architecture such as `sm_90a`.

    `more` are further constants, such as the names of instruments (instruments.cuh); `sources` is the folder of step.cu
    and its headers. Raises BadValue with the compiler's first message if it refuses.
    """
    from cuda.core import Program, ProgramOptions

    defines = {name: str(value) for name, value in {**geometry.defines(), **more}.items()}
    options = ProgramOptions(
        std="c++17",
        arch=arch,
        device_as_default_execution_space=True,
        include_path=[str(sources)],
        define_macro=list(defines.items()),
        ptxas_options=["-v"],
    )
    log = StringIO()
    try:
        module = Program(_source(sources), "c++", options).compile("cubin", logs=log)
    except Exception as error:
        raise BadValue(f"the fused kernel does not compile for {arch}: {_first_error(str(error))}") from error
    text = log.getvalue()
    return Compiled(
        module,
        tuple(option.decode() if isinstance(option, bytes) else str(option) for option in options.as_bytes("nvrtc")),
        max(map(int, REGISTERS.findall(text)), default=0),
        sum(map(int, SPILLED.findall(text))),
    )


def _source(sources: Path) -> str:
    """Returns the text of step.cu. It and the headers that it includes count in the session's code_key."""
    for header in sources.glob("*.cuh"):
        codekey.read_source(header)
    return codekey.read_source(sources / "step.cu")


def _first_error(text: str) -> str:
    return next((line for line in text.splitlines() if "error" in line), text.splitlines()[0] if text else "no message")
