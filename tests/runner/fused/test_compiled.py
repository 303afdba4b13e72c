"""NVRTC compiles the kernel for every model and architecture, without a GPU: no spills, and shared memory fits."""

import shutil
from pathlib import Path

import pytest

from runner.errors import BadValue
from runner.fused import compiled, geometry
from runner.fused.geometry import Card
from tests.support.fusedshapes import A100, H200, L4, odd, of_catalogue

RTX_PRO = Card(multiprocessors=188, shared_bytes=101376)
CARDS = {"sm_90a": H200, "sm_80": A100, "sm_89": L4, "sm_120a": RTX_PRO}


@pytest.mark.slow
@pytest.mark.parametrize("name", of_catalogue())
def test_every_model_compiles_for_hopper_without_spills(name: str) -> None:
    made = compiled.compile_step(geometry.choose(of_catalogue()[name], H200), "sm_90a")
    assert made.spilled_bytes == 0
    assert 0 < made.registers <= 255
    assert made.code.startswith(b"\x7fELF")


@pytest.mark.slow
@pytest.mark.parametrize("name", odd())
def test_odd_shapes_compile(name: str) -> None:
    assert compiled.compile_step(geometry.choose(odd()[name], H200), "sm_90a").spilled_bytes == 0


@pytest.mark.slow
@pytest.mark.parametrize("arch", CARDS)
def test_tiny_compiles_for_every_architecture(arch: str) -> None:
    """Before sm_90 the copies are made by cp.async. Shared memory is checked by the kernel's own assertions."""
    made = compiled.compile_step(geometry.choose(of_catalogue()["tiny"], CARDS[arch]), arch)
    assert made.spilled_bytes == 0


@pytest.mark.slow
def test_a_cubin_is_kept_by_source_headers_and_options(tmp_path: Path) -> None:
    layout, cache = geometry.choose(of_catalogue()["tiny"], H200), dict[bytes, bytes]()
    fresh = compiled.compile_step(layout, "sm_90a", cache=cache)
    again = compiled.compile_step(layout, "sm_90a", cache=cache)
    assert (fresh.cached, again.cached) == (False, True)
    assert (again.code, again.facts()["registers"]) == (fresh.code, fresh.facts()["registers"])
    assert not compiled.compile_step(layout, "sm_90a", {"DELAYS": "1"}, cache=cache).cached
    sources = Path(shutil.copytree(compiled.SOURCES, tmp_path / "cuda"))
    header = sources / "waiting.cuh"
    header.write_text(header.read_text().replace("2000000000ull", "1000000000ull"))
    assert not compiled.compile_step(layout, "sm_90a", sources=sources, cache=cache).cached


@pytest.mark.medium
def test_a_compiler_error_is_one_line() -> None:
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    with pytest.raises(BadValue, match=r"does not compile for sm_90a: .*error") as refused:
        compiled.compile_step(layout, "sm_90a", {"HEAD_DIM": "80"})
    assert "\n" not in str(refused.value)
