"""The contents of a bundle: the project unchanged, the packages that its base needs, and a manifest that says so."""

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


@pytest.mark.medium
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
    assert {"run", "LICENSE", "experiments/gpus.yaml", "experiments/floor.yaml", "site/ext.so"} <= present
    assert {"site/some_kernel.so", "site/click.py"} <= present
    assert not any(name.endswith("/x") or name.startswith("wheels/") for name in present)
    for name, sha256 in manifest["files"].items():
        assert packages.sha256(bundle / name) == sha256


@pytest.mark.medium
def test_a_full_one_has_the_wheels_of_its_stack_by_hash(tmp_path: Path) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    assert folder.name == f"decode-floor-cpu-{TAG}"
    lock = (folder / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lock]
    assert names == sorted(set(names))
    assert {"torch", "transformers", "click", "pyyaml"} <= set(names)
    assert len(lock) == len(list((folder / "wheels").iterdir()))
    assert all("--hash=sha256:" in line for line in lock)


@pytest.mark.medium
def test_kernels_of_the_other_abi_are_refused(
    tmp_path: Path, prebuilt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["hopper", "--stack", "paper", "--base", "host-torch", "--python", PYTHON]
    assert command.main([*asked, "--kernels", str(prebuilt), "--out", str(tmp_path / "out")]) == 1
    said = "ext.so was compiled with the other C++ ABI than torch 2.5.1 has: build it again with that torch\n"
    assert capsys.readouterr().err == said


def test_a_build_that_fails_names_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "lxc")
    with pytest.raises(Wrong, match="name a folder of prebuilt ones with KERNELS="):
        contents.build_kernels(settings("ada"), tmp_path / "kernels")


def test_a_full_bundle_has_its_stack_and_one_for_a_hosts_torch_only_what_hosts_lack() -> None:
    """gptqmodel imports torchvision, which hosts need not have; autoawq imports nothing beside it."""
    full = contents._pins(settings("hopper"), {})
    assert {"torch", "transformers", "click", "pyyaml"} <= full.keys()
    lean = contents._pins(settings("hopper", base="host-torch"), {"gptqmodel": "7.3.6", "click": "8.5.1"})
    assert {"torchvision", "pyyaml"} <= lean.keys()
    assert not {"torch", "transformers", "click"} & lean.keys()  # click came with the kernels
    assert "torchvision" not in contents._pins(settings("hopper", base="host-torch"), {"exllamav2": "0.3.2"})


def test_a_package_that_the_host_has_must_not_be_in_the_kernels(tmp_path: Path) -> None:
    """It would hide the host's own."""
    site = tmp_path / "site"
    for name in ("torch-2.11.0", "numpy-2.2.6"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    with pytest.raises(Wrong, match="has numpy or torch, which BASE=host-torch leaves to the host: take it out"):
        contents._add_unpacked(settings("hopper", base="host-torch"), {}, tmp_path / "folder", site)


def test_only_the_library_for_torchs_cuda_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "bitsandbytes"
    folder.mkdir()
    for name in ("cuda124", "cuda130", "cuda130_extra", "cpu"):
        (folder / f"libbitsandbytes_{name}.so").touch()
    contents._prune(tmp_path, "13.0")
    left = [file.stem.removeprefix("libbitsandbytes_") for file in sorted(folder.iterdir())]
    assert left == ["cpu", "cuda130", "cuda130_extra"]


def test_without_git_the_revision_is_unknown_and_the_time_a_fixed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert (contents.revision(), contents.made_at()) == ("unknown", 0)


def test_only_a_cpu_needs_no_compiled_kernels() -> None:
    assert [arch for arch in ("ada", "cpu", "hopper") if contents.needs_kernels(settings(arch))] == ["ada", "hopper"]
