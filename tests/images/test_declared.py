"""The requirements that kernels and runtimes declare: by stack, each once, and as the locks were made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from images import declared
from runner import registry
from tests.images.settings import ROOT, STACKS


def test_what_kernels_and_runtimes_declare_is_what_the_locks_were_made_of() -> None:
    for path, text in declared.files().items():
        assert (ROOT / "requirements" / path).read_text(encoding="utf-8") == text, f"{path}: run `make lock`"


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_has_the_installations_of_the_kernels_that_live_in_it(stack: str) -> None:
    found = list(declared.installations(stack))
    for kernel in registry.kernel_declarations():
        lives = "cpu" in kernel.devices if stack == "cpu" else stack in kernel.stacks
        assert (kernel.installation in found) or not lives
        if kernel.installation.sources and not lives:
            assert kernel.installation not in found


def test_a_pin_that_two_kernels_declare_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bitsandbytes = registry.kernel("bitsandbytes").DECLARATION
    monkeypatch.setattr(registry, "kernel_declarations", lambda: [bitsandbytes, bitsandbytes])
    assert declared.files()["declared-cpu.in"] == f"{declared.HEAD}bitsandbytes==0.50.2\n"


def test_the_files_are_written_where_the_locks_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "FOLDER", tmp_path)
    (tmp_path / "images").mkdir()
    declared.main()
    written = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*.in")}
    assert written == declared.files()
