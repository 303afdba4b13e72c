"""Compiles the kernel for a layout and an architecture, by NVRTC through NVIDIA's cuda-core. No GPU is needed."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, MutableMapping
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
INCLUDE = "--include-path"  # a path of this machine, which no record names
LOG = b"log"
"""Ends the key of a cubin's log in the cache."""
REGISTERS = re.compile(r"Used (\d+) registers")
SPILLED = re.compile(r"(\d+) bytes spill (?:stores|loads)")


@dataclass(frozen=True)
class Compiled:
    """A compiled kernel, and the log of its assembler."""

    module: Any
    """cuda-core's object code"""
    options: tuple[str, ...]
    log: str
    cached: bool
    """whether an earlier session compiled it"""

    @property
    def code(self) -> bytes:
        return bytes(self.module.code)

    @property
    def registers(self) -> int:
        """Returns the registers of a thread."""
        return max(map(int, REGISTERS.findall(self.log)))

    @property
    def spilled_bytes(self) -> int:
        """Returns the bytes of registers that a thread stores in memory and loads again."""
        return sum(map(int, SPILLED.findall(self.log)))

    def facts(self) -> dict[str, str]:
        """Returns what a record keeps: compiler and its library's hash, options, registers, spilled bytes, the cubin's
        hash."""
        return {
            "nvrtc": ".".join(map(str, _nvrtc_version())),
            "nvrtc_sha256": _nvrtc_sha256(),
            "options": " ".join(option for option in self.options if not option.startswith(INCLUDE)),
            "registers": str(self.registers),
            "spilled_bytes": str(self.spilled_bytes),
            "cubin_sha256": hashlib.sha256(self.code).hexdigest(),
            "compiled": "in an earlier session" if self.cached else "in this session",
        }


def compile_step(
    geometry: Geometry,
    arch: str,
    more: Mapping[str, str] = MappingProxyType({}),
    sources: Path = SOURCES,
    cache: MutableMapping[bytes, bytes] | None = None,
) -> Compiled:
    """Returns the kernel for a layout, for an architecture such as `sm_90a`.

    `more` are further constants, such as the names of instruments (instruments.cuh); `sources` is the folder of step.cu
    and its headers; `cache` keeps cubins by source, included headers, options and compiler. Raises BadValue with the
    compiler's first message if it refuses, or if it does not say how many registers the kernel has.
    """
    source, headers = _read(sources)
    options = _options(arch, {**geometry.defines(), **more}, sources)
    given = tuple(option.decode() if isinstance(option, bytes) else str(option) for option in options.as_bytes("nvrtc"))
    key = _key(source, headers, options)
    if cache is not None and (code := cache.get(key)) and (kept := cache.get(key + LOG)):
        return Compiled(_object_code(code), given, kept.decode(), cached=True)
    code, log = _compile(source, options, arch)
    if cache is not None:
        cache[key + LOG], cache[key] = log.encode(), code
    return Compiled(_object_code(code), given, log, cached=False)


def _options(arch: str, defines: Mapping[str, Any], sources: Path) -> Any:
    from cuda.core import ProgramOptions

    return ProgramOptions(
        std="c++17",
        arch=arch,
        device_as_default_execution_space=True,
        include_path=[str(sources)],
        define_macro=[(name, str(value)) for name, value in defines.items()],
        ptxas_options=["-v"],
        no_cache=True,  # of NVRTC's own in ~/.nv: what it finds there comes without the assembler's log
    )


def _key(source: str, headers: bytes, options: Any) -> bytes:
    """Returns the key of a cubin: a hash of source, headers, options and the compiler."""
    from cuda.core.utils import make_program_cache_key

    digest = hashlib.sha256(headers + _nvrtc_sha256().encode()).digest()
    key: bytes = make_program_cache_key(
        code=source, code_type="c++", options=options, target_type="cubin", extra_digest=digest
    )
    return key


def _compile(source: str, options: Any, arch: str) -> tuple[bytes, str]:
    """Returns the cubin, and the log of its assembler."""
    from cuda.core import Program

    log = StringIO()
    try:
        module = Program(source, "c++", options).compile("cubin", logs=log)
    except Exception as error:
        raise BadValue(f"the fused kernel does not compile for {arch}: {_first_error(str(error))}") from error
    if not REGISTERS.search(log.getvalue()):
        raise BadValue(f"the compiler does not say how many registers the fused kernel has on {arch}")
    return bytes(module.code), log.getvalue()


def _object_code(code: bytes) -> Any:
    from cuda.core import ObjectCode

    return ObjectCode.from_cubin(code)


def _nvrtc_version() -> tuple[int, int]:
    from cuda.bindings import nvrtc

    _, major, minor = nvrtc.nvrtcVersion()
    return major, minor


@functools.cache
def _nvrtc_sha256() -> str:
    """Returns the hash of the compiler's library. Builds of one version make different machine code."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    path = load_nvidia_dynamic_lib("nvrtc").abs_path
    assert path is not None
    with open(path, "rb") as library:
        return hashlib.file_digest(library, "sha256").hexdigest()


def _read(sources: Path) -> tuple[str, bytes]:
    """Returns step.cu and all headers. They count in the session's code_key."""
    headers = [codekey.read_source(header) for header in sorted(sources.glob("*.cuh"))]
    return codekey.read_source(sources / "step.cu"), "".join(headers).encode()


def _first_error(text: str) -> str:
    return next((line for line in text.splitlines() if "error" in line), text.splitlines()[0] if text else "no message")
