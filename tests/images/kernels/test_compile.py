"""Wheels of a family with their hashes; the packages' own compilation needs CUDA and is left to the images."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from images.kernels import compile as compiling
from tests.support.bundles import wheel


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The builder's folder of wheels, made from source without a CUDA compiler."""
    folder = tmp_path / "sources"
    wheel(folder, "exllamav2-0.3.2", {"exllamav2/__init__.py": b"", "exllamav2/exllamav2_ext/ext.cpp": b"code"})
    wheel(folder, "gptqmodel-7.3.6", {"gptqmodel/__init__.py": b""})
    for name in ("tokenicer-0.0.14", "logbar-0.4.15"):
        wheel(folder, name, {})
    monkeypatch.setattr(compiling, "SOURCES", folder)
    return folder


def test_the_rest_are_the_wheels_that_no_other_family_compiles(sources: Path, tmp_path: Path) -> None:
    compiling.main("rest", str(tmp_path / "out"))
    names = ["logbar-0.4.15-py3-none-any.whl", "tokenicer-0.0.14-py3-none-any.whl"]
    lines = [f"{hashlib.sha256((sources / name).read_bytes()).hexdigest()}  {name}" for name in names]
    assert (tmp_path / "out" / "SHA256SUMS").read_text().splitlines() == lines
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["SHA256SUMS", *names]
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "out", check=True, capture_output=True)


@pytest.mark.parametrize("family", ["exllamav2", "gptqmodel"])
def test_a_family_that_the_stack_lacks_gives_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda _name: None)
    compiling.main(family, str(tmp_path / "out"))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["SHA256SUMS"]
    assert (tmp_path / "out" / "SHA256SUMS").read_text() == ""


def pretended_wheel(*command: str, **_: str) -> None:
    """`python -m wheel`, as far as it is called: it unpacks into NAME-VERSION/ and packs that by its WHEEL's tag."""
    verb, path, _, folder = command[3:]
    if verb == "unpack":
        with zipfile.ZipFile(path) as opened:
            opened.extractall(Path(folder) / "-".join(Path(path).name.split("-")[:2]))
        return
    (about,) = Path(path).glob("*.dist-info/WHEEL")
    tag = next(line for line in about.read_text().splitlines() if line.startswith("Tag: ")).removeprefix("Tag: ")
    with zipfile.ZipFile(Path(folder) / f"{Path(path).name}-{tag}.whl", "w") as opened:
        for file in (file for file in Path(path).rglob("*") if file.is_file()):
            opened.write(file, file.relative_to(path))


@pytest.mark.usefixtures("sources")
def test_a_wheel_has_its_library_at_its_root_and_the_tag_of_this_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_run", pretended_wheel)
    library = tmp_path / "exllamav2_ext.so"
    library.write_bytes(b"\x7fELF")
    packed = compiling._with_libraries("exllamav2", [library], without="exllamav2/exllamav2_ext")
    assert packed.name == f"exllamav2-0.3.2-{compiling.PYTHON}-{compiling.PYTHON}-linux_x86_64.whl"
    with zipfile.ZipFile(packed) as opened:
        files = {name for name in opened.namelist() if ".dist-info/" not in name}
        about = opened.read("exllamav2-0.3.2.dist-info/WHEEL").decode()
    assert files == {"exllamav2_ext.so", "exllamav2/__init__.py"}  # without its sources
    assert about == f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n{compiling.TAG}\n"
