"""What is in a bundle: the project unchanged, the packages that its base needs, and a manifest that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from images.bundle import __main__ as command
from images.bundle import contents, packages
from images.bundle.errors import Wrong
from images.bundle.settings import settings
from runner.record import codekey
from tests.support.bundles import PYTHON, TAG, made, unpacked

pytestmark = pytest.mark.usefixtures("no_index")


def test_an_archive_has_the_project_unchanged_and_says_what_it_is(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert bundle.name == f"decode-floor-hopper-modern-host-torch-{TAG}"
    expected = {"arch": "hopper", "stack": "modern", "base": "host-torch", "python": TAG, "torch": "2.11.0"}
    expected |= {"cuda": "13.0", "glibc": "2.34", "platform": "linux-x86_64", "tree_key": codekey.tree_key()}
    assert expected.items() <= manifest.items()
    assert manifest["cxx11_abi"] is True
    assert manifest["capabilities"] == ["9.0"]
    key = subprocess.run(
        [sys.executable, "-P", "-m", "runner.record.codekey"], env={"PYTHONPATH": str(bundle)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert key.stdout.strip() == codekey.tree_key()
    present = {str(file.relative_to(bundle)) for file in bundle.rglob("*") if file.is_file()}
    present = {name for name in present if "__pycache__" not in name}
    assert present == {"manifest.json", *manifest["files"]}
    assert {"run", "LICENSE", "experiments/gpus.yaml", "docs/record.schema.json", "site/ext.so"} <= present
    assert {"site/some_kernel.so", "site/click.py"} <= present
    assert not any(name.endswith("/x") or name.startswith("wheels/") for name in present)
    for name, sha256 in manifest["files"].items():
        assert packages.sha256(bundle / name) == sha256


def test_a_full_one_has_the_wheels_of_its_stack_by_hash(tmp_path: Path) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    assert folder.name == f"decode-floor-cpu-{TAG}"
    lock = (folder / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lock]
    assert names == sorted(set(names))
    assert {"torch", "transformers", "click", "pyyaml"} <= set(names)
    assert len(lock) == len(list((folder / "wheels").iterdir()))
    assert all("--hash=sha256:" in line for line in lock)


def test_kernels_of_the_other_abi_are_refused(
    tmp_path: Path, prebuilt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["hopper", "--stack", "paper", "--base", "host-torch", "--python", PYTHON]
    assert command.main([*asked, "--kernels", str(prebuilt), "--out", str(tmp_path / "out")]) == 1
    said = "ext.so was compiled with the other C++ ABI than torch 2.5.1 has: build it for that\n"
    assert capsys.readouterr().err == said


def test_a_build_that_fails_names_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "lxc")
    with pytest.raises(Wrong, match="name a folder of prebuilt ones with KERNELS="):
        contents.build_kernels(settings("ada"), tmp_path / "kernels")
