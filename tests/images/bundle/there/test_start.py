"""The messages to a host that unpacks a bundle, and the programs that run there. Wheels and hosts are small fakes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from images.bundle import packages
from tests.support.bundles import PYTHON, Host, made, unpacked

pytestmark = pytest.mark.usefixtures("no_index")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.splitlines()


@pytest.fixture
def runnable(bundle: Path) -> Path:
    """The bundle, whose fake packages make way for this environment's."""
    for name in ("click", "pyyaml"):
        (bundle / "site" / f"{name}.py").unlink()
    return bundle


@pytest.mark.medium
def test_a_host_that_has_all_of_it_runs_and_nothing_is_said(host: Host, runnable: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runnable / "run")
    done = host.run(tmp_path / "link", "--version")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith("decode-floor, version ")


@pytest.mark.medium
def test_it_leaves_nothing_in_its_own_folder(host: Host, runnable: Path) -> None:
    done = host.run(runnable / "run", "verify", "no/such")
    assert lines(done) == [
        "error: no/such: no such file or folder: "
        "name the folder that a command wrote records to, by default spool, or a file in it"
    ]
    assert not list(runnable.rglob("__pycache__")), "what Python compiles there could outlive the next bundle"


@pytest.mark.medium
def test_another_torch_is_named_in_all_that_differs(tmp_path: Path, bundle: Path) -> None:
    host = Host(tmp_path, "2.13.0+cpu", None, abi=False)
    done = host.run(bundle / "run", "cell")
    assert done.returncode == 1
    assert lines(done) == [
        "error: torch: this host has 2.13.0+cpu, this bundle needs 2.11.0",
        "error: torch's CUDA: this host has none (a CPU build), this bundle needs 13.0",
        "error: torch's C++ ABI: this host has the old one (_GLIBCXX_USE_CXX11_ABI=0), "
        "this bundle needs C++11 (_GLIBCXX_USE_CXX11_ABI=1)",
    ]


@pytest.mark.medium
def test_a_package_that_is_not_there_or_of_another_series_is_an_error(host: Host, bundle: Path) -> None:
    host.package("transformers", "4.51.3")
    host.package("safetensors", "0.7.9")
    host.package("accelerate", None)
    (host.site / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    done = host.run(bundle / "run", "cell", PYTHONNOUSERSITE="1")
    found = [line for line in lines(done) if "accelerate" not in line]  # this environment may have it
    assert found == [
        "error: torch: this host has none that can be imported (ImportError: libcudart.so.13: cannot open), "
        "this bundle needs 2.11.0",
        "error: transformers: this host has 4.51.3, this bundle needs 5.x",
        "error: safetensors: this host has 0.7.9, this bundle needs 0.8.x",
    ]


@pytest.mark.medium
def test_another_gpu_and_an_old_driver_are_warnings(host: Host, runnable: Path) -> None:
    """A bf16 cell needs no compiled kernel; torch itself says what an old driver cannot."""
    host.gpus("NVIDIA L4, 8.9, 570.1", "NVIDIA GH200, 9.0, 580.1")
    done = host.run(runnable / "run", "--version")
    assert done.returncode == 0
    assert lines(done) == [
        "warning: GPU: this host has NVIDIA L4 of compute capability 8.9, this bundle needs 9.0 (or a later one of the "
        "same major version) for its compiled kernels; bf16 cells run all the same",
        "warning: driver: this host has 570.1, this bundle needs 580 or newer",
    ]


@pytest.mark.medium
def test_a_lost_card_hides_no_other(host: Host, runnable: Path) -> None:
    """nvidia-smi fails where a card was lost, and lists the others."""
    lost = "Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost, reboot, to recover it"
    host.gpus(lost, "NVIDIA L4, 8.9, 570.1", code=15)
    done = host.run(runnable / "run", "--version")
    assert [line.split(", this bundle")[0] for line in lines(done)] == [
        "warning: GPU: this host has NVIDIA L4 of compute capability 8.9",
        "warning: driver: this host has 570.1",
    ]
    checked = host.run(runnable / "run", "check").stdout
    assert f"note: GPU: this host has nvidia-smi saying: {lost}, this bundle needs" in checked
    host.gpus(lost, code=15)
    assert lines(host.run(runnable / "run", "--version")) == []


@pytest.mark.medium
@pytest.mark.parametrize("name", ["/no/such/python", "old"])
def test_another_python_is_one_line(host: Host, bundle: Path, name: str) -> None:
    old = host.bin / "old"
    old.write_text("#!/bin/sh\necho cpython 3.9\n")
    old.chmod(0o755)
    done = host.run(bundle / "run", "cell", PYTHON=name)
    has = "old (CPython 3.9)" if name == "old" else "none as /no/such/python"
    assert done.returncode == 1
    assert lines(done) == [
        f"error: Python: this host has {has}, this bundle needs CPython {PYTHON}: "
        f"name one with PYTHON=/path/to/python{PYTHON}"
    ]


@pytest.mark.medium
def test_a_check_says_all_that_was_seen_and_what_is_damaged(host: Host, bundle: Path) -> None:
    (bundle / "site" / "click.py").write_text("changed")
    done = host.run(bundle / "run", "check")
    assert "ok: torch 2.11.0+cu130" in done.stdout
    assert "ok: GPU NVIDIA H200 of compute capability 9.0" in done.stdout
    assert lines(done) == [
        f"error: 1 of {len(manifest_of(bundle)['files'])} files are not as in the archive, "
        "the first: site/click.py: unpack the archive again"
    ]


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.medium
def test_a_path_with_a_colon_is_one_line(tmp_path: Path, host: Host, bundle: Path) -> None:
    moved = tmp_path / "a:b"
    bundle.rename(moved)
    said = f"error: The path {moved} has a colon, which no module path can have: unpack the bundle elsewhere"
    assert lines(host.run(moved / "run", "cell")) == [said]


@pytest.mark.slow
def test_a_full_one_makes_its_environment_without_an_index(tmp_path: Path, host: Host) -> None:
    """The fake wheels have nothing to run, so the runner ends with its own line on what it lacks."""
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    kept = folder / "wheels" / "click-8.5.1-py3-none-any.whl"
    (folder / "requirements.txt").write_text(packages.requirements([kept]))
    done = host.run(folder / "run", "cell", PIP_INDEX_URL="http://127.0.0.1:1/")
    assert lines(done)[0] == f"Making {folder / 'venv'} once, from the wheels of this bundle …"
    assert (folder / "venv" / ".ready").exists(), done.stderr
    assert "Making" not in host.run(folder / "run", "cell").stderr


@pytest.mark.slow
def test_a_full_one_whose_wheel_is_damaged_says_so(tmp_path: Path, host: Host) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    with (folder / "wheels" / "click-8.5.1-py3-none-any.whl").open("ab") as damaged:
        damaged.write(b"x")
    said = lines(host.run(folder / "run", "cell"))
    assert len(said) == 2
    assert said[1].startswith(
        "error: the wheels cannot be installed (`./run check` lists damaged files): THESE PACKAGES"
    )
    assert not (folder / "venv" / ".ready").exists()


@pytest.mark.medium
def test_a_full_one_that_cannot_write_says_what_it_needs(tmp_path: Path, host: Host) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    (folder / ".venv.lock").mkdir()  # for root, too, a folder is no file that can be opened
    (said,) = lines(host.run(folder / "run", "cell"))
    assert said.startswith(
        f"error: {folder} cannot be written to (Is a directory), and this bundle makes a virtual env"
    )
