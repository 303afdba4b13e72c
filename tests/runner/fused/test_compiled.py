"""NVRTC compiles the kernel for every model and architecture, without a GPU: no spills, and shared memory fits."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.errors import BadValue
from runner.fused import compiled, geometry, sharedmemory
from runner.record import codekey
from tests.support import cubins
from tests.support.fusedshapes import ARCHITECTURES, H200, everything, of_catalogue
from tests.support.fusedsteps import CP_ASYNC, OLDER_SHARED_BYTES

LIMITS_KB = {"sm_80": 163, "sm_86": 99, "sm_89": 99, "sm_90a": 227, "sm_100a": 227, "sm_120a": 99}
"""Shared memory that a block may have, by CUDA's programming guide."""
TRIED_ALWAYS = ("sm_80", "sm_90a", "sm_120a")
"""Architectures of a kind each: copies by cp.async with a large ring, by TMA with a large one, and with a small one."""


def cases() -> Iterator[Any]:
    """Yields each shape with each architecture. A run of all tests leaves out those that are marked `nvrtc`: it has a
    model's shape on an architecture of each kind, and the smallest shape on the others."""
    for name, arch in product(everything(), ARCHITECTURES):
        always = name == ("qwen2.5-7b" if arch in TRIED_ALWAYS else "tiny")
        yield pytest.param(name, arch, marks=() if always else pytest.mark.nvrtc)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arch"), list(cases()))
def test_a_shape_compiles_without_spills_into_the_cards_shared_memory(name: str, arch: str) -> None:
    layout = geometry.choose(everything()[name], ARCHITECTURES[arch])
    made = compiled.compile_step(layout, arch)
    needed = sharedmemory.needed_bytes(layout)
    found = {"registers": made.registers, "spilled_bytes": made.spilled_bytes, "shared_bytes": needed}
    print(json.dumps({"model": name, "arch": arch, "warps": layout.warps, "slots": layout.slots, **found}))
    assert made.spilled_bytes == 0
    assert 0 < made.registers <= 65536 // layout.threads  # a multiprocessor's registers, for one block
    assert needed + sum(map(int, re.findall(r"(\d+) bytes smem", made.log))) <= LIMITS_KB[arch] * 1024
    assert layout.shared_bytes <= LIMITS_KB[arch] * 1024
    assert made.code.startswith(b"\x7fELF")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["group-7", pytest.param("qwen2.5-7b", marks=pytest.mark.nvrtc)])
def test_the_form_of_older_cards_compiles_for_hopper(name: str) -> None:
    """Copies by cp.async and a ring of 99 KB, which a GPU of this architecture tries in place of an older one."""
    layout = geometry.choose(everything()[name], replace(H200, shared_bytes=OLDER_SHARED_BYTES))
    made, by_tma = (compiled.compile_step(layout, "sm_90a", more) for more in (CP_ASYNC, {}))
    assert made.spilled_bytes == by_tma.spilled_bytes == 0
    assert cubins.machine_code(made.code) != cubins.machine_code(by_tma.code)


@pytest.mark.slow
def test_a_cubin_is_kept_by_source_headers_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, cache = geometry.choose(of_catalogue()["tiny"], H200), dict[bytes, bytes]()
    fresh = compiled.compile_step(layout, "sm_90a", cache=cache)
    again = compiled.compile_step(layout, "sm_90a", cache=cache)
    assert (fresh.cached, again.cached) == (False, True)
    assert (again.code, again.facts()["registers"]) == (fresh.code, fresh.facts()["registers"])
    monkeypatch.setattr(compiled, "_compile", lambda *_: (fresh.code, fresh.log))  # only the keys matter from here on
    assert not compiled.compile_step(layout, "sm_90a", {"DELAYS": "1"}, cache=cache).cached
    with monkeypatch.context() as other_library:
        other_library.setattr(compiled, "_nvrtc_sha256", lambda: "0" * 64)
        assert not compiled.compile_step(layout, "sm_90a", cache=cache).cached
    sources = Path(shutil.copytree(compiled.SOURCES, tmp_path / "cuda"))
    header = sources / "waiting.cuh"
    header.write_text(header.read_text().replace("2000000000ull", "1000000000ull"))
    assert not compiled.compile_step(layout, "sm_90a", sources=sources, cache=cache).cached


def test_a_record_keeps_options_registers_spills_and_the_cubins_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    log = "Used 224 registers, used 2 barriers\n8 bytes stack frame, 4 bytes spill stores, 16 bytes spill loads\n"
    monkeypatch.setattr(compiled, "_compile", lambda *_: (b"\x7fELF", log))
    found = compiled.compile_step(geometry.choose(of_catalogue()["tiny"], H200), "sm_90a").facts()
    options = found.pop("options")
    assert options.startswith("-arch=sm_90a ")
    assert "--no-cache" in options.split()  # NVRTC's own cache has no logs
    assert "--define-macro=LAYERS=2 " in options
    assert str(compiled.SOURCES) not in options
    assert re.fullmatch(r"\d+\.\d+", found.pop("nvrtc"))
    assert re.fullmatch("[0-9a-f]{64}", found.pop("nvrtc_sha256"))
    assert found == {
        "registers": "224",
        "spilled_bytes": "20",
        "cubin_sha256": hashlib.sha256(b"\x7fELF").hexdigest(),
        "compiled": "in this session",
    }


def test_every_source_counts_in_the_code_key_of_a_session_that_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codekey, "_loaded_files", set)
    monkeypatch.setattr(codekey, "_read_files", set())
    monkeypatch.setattr(compiled, "_compile", lambda *_: (b"\x7fELF", ""))
    compiled.compile_step(geometry.choose(of_catalogue()["tiny"], H200), "sm_90a")
    assert codekey.code_files() == tuple(sorted(f"fused/cuda/{file.name}" for file in compiled.SOURCES.iterdir()))


@pytest.mark.gpu
def test_a_kernel_that_was_compiled_before_has_its_registers() -> None:
    """NVRTC keeps cubins in the user's folder if there is a driver, but not what the assembler said of them."""
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    first, again = (compiled.compile_step(layout, "sm_90a") for _ in range(2))
    assert 0 < first.registers == again.registers


def test_a_compiler_that_does_not_say_the_registers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No log of the assembler would mean no spills."""
    program = SimpleNamespace(compile=lambda *_, logs: logs.write("ptxas info : nothing\n"))
    monkeypatch.setattr("cuda.core.Program", lambda *_: program)
    with pytest.raises(BadValue, match=r"does not say how many registers .* on sm_90a"):
        compiled.compile_step(geometry.choose(of_catalogue()["tiny"], H200), "sm_90a")


@pytest.mark.medium
def test_a_compiler_error_is_one_line() -> None:
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    with pytest.raises(BadValue, match=r"does not compile for sm_90a: .*error") as refused:
        compiled.compile_step(layout, "sm_90a", {"HEAD_DIM": "80"})
    assert "\n" not in str(refused.value)
