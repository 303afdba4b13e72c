"""The faults of an image, one line each: its code, its user, and the machine code of its libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from images import check
from images.check import Wrong
from runner import registry
from runner.record import codekey

CUOBJDUMP = """#!/bin/sh
case "$1" in
--list-elf) for name in {compiled}; do echo "ELF file    1: x.1.$name.cubin"; done ;;
--list-ptx) {ptx} ;;
esac
"""
NO_PTX = "echo 'cuobjdump info    : No PTX file found to extract' >&2; exit 255"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of an image: one compiled library of a kernel."""
    monkeypatch.setattr(check, "SITE", tmp_path)
    (tmp_path / "exllamav2_ext.so").write_bytes(b"\x7fELF")
    return tmp_path


def cuobjdump(folder: Path, compiled: str, ptx: str = NO_PTX) -> str:
    """A program that lists such machine code for any library, as the real one words it."""
    program = folder / "cuobjdump"
    program.write_text(CUOBJDUMP.format(compiled=compiled, ptx=ptx))
    program.chmod(0o755)
    return str(program)


def test_a_library_with_exactly_the_architectures_is_told_by_its_size(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check.check_architectures({"sm_80", "sm_90a"}, cuobjdump(site, "sm_90a sm_80"))
    assert capsys.readouterr().out == "exllamav2_ext.so: sm_80, sm_90a, no PTX, 0.0 MB\n"


@pytest.mark.parametrize(
    ("compiled", "ptx", "said"),
    [
        ("sm_80", NO_PTX, r"has code of \['sm_80'\], not of \['sm_90'\]"),
        ("sm_80 sm_90", NO_PTX, r"has code of \['sm_80', 'sm_90'\], not of \['sm_90'\]"),
        ("sm_90", "echo 'PTX file    1: x.1.sm_90.ptx'", r"^exllamav2_ext\.so has PTX$"),
        (
            "sm_90",
            "echo 'no such file' >&2; exit 1",
            r"^cuobjdump --list-ptx cannot read exllamav2_ext\.so \(no such file\)$",
        ),
    ],
)
def test_machine_code_of_another_architecture_and_ptx_are_wrong(site: Path, compiled: str, ptx: str, said: str) -> None:
    with pytest.raises(Wrong, match=said):
        check.check_architectures({"sm_90"}, cuobjdump(site, compiled, ptx))


def test_libraries_where_none_were_compiled_and_none_where_some_were_are_wrong(site: Path) -> None:
    with pytest.raises(Wrong, match=r"for \[\] it has the libraries \['exllamav2_ext\.so'\]"):
        check.check_architectures(set(), "no-program")
    (site / "exllamav2_ext.so").unlink()
    check.check_architectures(set(), "no-program")  # an image for a CPU
    with pytest.raises(Wrong, match=r"for \['sm_90'\] it has the libraries \[\]"):
        check.check_architectures({"sm_90"}, "no-program")


@pytest.mark.medium
def test_the_code_is_that_of_the_label(capsys: pytest.CaptureFixture[str]) -> None:
    check.check_code(codekey.tree_key())
    assert capsys.readouterr().out == f"tree_key {codekey.tree_key()}\n"
    with pytest.raises(Wrong, match=rf"tree_key is {codekey.tree_key()}, the label says 000"):
        check.check_code("000")


def test_root_is_no_user_to_measure_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check.os, "getuid", lambda: 0)
    with pytest.raises(Wrong, match="it runs as root"):
        check.check_user()


def test_settings_of_the_build_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, where a secret was mounted during the build, holds none."""
    monkeypatch.setattr(check.os, "getuid", lambda: 10001)
    for name in [name for name in os.environ if name.startswith(("PIP_", "SSL_", "CURL_", "REQUESTS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror")
    files = (tmp_path / "pip.conf", tmp_path / "secrets", tmp_path / "cache", tmp_path / "nothing")
    monkeypatch.setattr(check, "BUILD_FILES", files)
    files[0].touch()
    files[1].mkdir()
    files[2].mkdir()
    (files[2] / "wheel").touch()
    with pytest.raises(Wrong) as caught:
        check.check_user()
    assert str(caught.value) == f"it contains settings of the build: PIP_INDEX_URL, {files[0]}, {files[2]}"


@pytest.mark.medium
@pytest.mark.parametrize(("stack", "has_fused"), [("modern", True), ("paper", False)])
def test_the_packages_of_a_stacks_kernels_are_imported(
    stack: str, has_fused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "SITE", tmp_path)
    for kernel in registry.kernel_declarations():
        if kernel.module is not None:
            monkeypatch.setitem(sys.modules, kernel.module, ModuleType(kernel.module))
    check.check_kernels(stack)
    said = capsys.readouterr().out.splitlines()
    assert ("imported cuda.core for kernel=fused" in said) == has_fused
    assert "imported exllamav2_ext for kernel=exllamav2" in said
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match="bitsandbytes"):
        check.check_kernels(stack)
