"""What a host that unpacks a bundle is told, and what runs there. Wheels and hosts are small fakes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from images.bundle import __main__ as command
from images.bundle import archive, contents, kernels, libraries, packages
from images.bundle.errors import Wrong
from images.bundle.settings import ROOT, settings
from runner.record import codekey
from tests.images.engines import Machine

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cp{PYTHON.replace('.', '')}"
TORCH = """
__version__ = {version!r}
class version: cuda = {cuda!r}
def compiled_with_cxx11_abi(): return {abi}
"""


def wheel(folder: Path, name: str, files: Mapping[str, bytes | str], tag: str = "py3-none-any") -> Path:
    """A wheel of such files, and what every wheel has."""
    package = name.split("-")[0]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as opened:
        about = {"METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {name.split('-')[1]}\n", "RECORD": ""}
        about["WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        for path, content in {**files, **{f"{name}.dist-info/{file}": text for file, text in about.items()}}.items():
            opened.writestr(path, content)
    return made


def library(*capabilities: int, needs: bytes = b"") -> bytes:
    """A compiled library, as far as its bytes are looked at: machine code for sm_NN each."""
    images = b"".join(struct.pack("<HHIQIIHHI", 2, 0x101, 64, 8, 0, 0, 0, 0, each) + bytes(64 - 32 + 8)
                      for each in capabilities)  # fmt: skip
    return b"\x7fELF" + needs + struct.pack("<4sHHQ", b"\x50\xed\x55\xba", 1, 16, len(images)) + images + bytes(64)


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip at its edge: what it would download are wheels with a module each."""

    def fetch(wanted: Mapping[str, packages.Pin], _python: str, folder: Path, _index: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for pin in wanted.values():
            name = pin.name.replace("-", "_")
            wheel(folder, f"{name}-{pin.version}", {f"{name}.py": b"", f"{name}-{pin.version}.data/scripts/x": b"#!"})

    monkeypatch.setattr(packages, "fetch", fetch)


@pytest.fixture
def prebuilt(tmp_path: Path) -> Path:
    """A folder of compiled kernels for hopper and this Python."""
    folder = tmp_path / "kernels"
    wheel(folder / "wheels", "some_kernel-1.0", {"some_kernel.so": library(90, needs=b"\0GLIBC_2.34\0")})
    (tmp_path / "ext.so").write_bytes(library(90, needs=libraries.NEW_STRING))
    subprocess.run(["xz", str(tmp_path / "ext.so")], check=True)
    with tarfile.open(folder / "other.tar.xz", "w:xz") as opened:
        opened.add(tmp_path / "ext.so.xz", "ext.so.xz")
    return folder


def made(out: Path, *arguments: str) -> Path:
    """The archive of `make bundle`."""
    assert command.main([*arguments, "--python", PYTHON, "--out", str(out)]) == 0
    (found,) = [file for file in out.iterdir() if ".tar" in file.name]
    return found


def unpacked(file: Path, folder: Path) -> Path:
    with tarfile.open(file) as opened:
        opened.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


@pytest.fixture
def bundle(tmp_path: Path, prebuilt: Path) -> Path:
    """A host-torch bundle for hopper, unpacked in a folder with a space in its name."""
    file = made(tmp_path / "out", "hopper", "--base", "host-torch", "--kernels", str(prebuilt))
    (tmp_path / "a box").mkdir()
    return unpacked(file, tmp_path / "a box")


class Host:
    """A machine whose Python is this one, with a torch and packages of such versions."""

    def __init__(
        self, folder: Path, version: str = "2.11.0+cu130", cuda: str | None = "13.0", abi: bool = True
    ) -> None:
        self.site, self.bin = folder / "host", folder / "bin"
        self.site.mkdir()
        self.bin.mkdir()
        (self.site / "torch.py").write_text(TORCH.format(version=version, cuda=cuda, abi=abi))
        others = {"numpy": "2.2.6", "transformers": "5.18.1", "triton": "3.6.0", "safetensors": "0.8.2"}
        for name, has in {**others, "accelerate": "1.15.0"}.items():
            self.package(name, has)
        self.gpus("NVIDIA H200, 9.0, 580.65")

    def package(self, name: str, version: str | None) -> None:
        for old in self.site.glob(f"{name}-*"):
            (old / "METADATA").unlink()
            old.rmdir()
        if version is not None:
            (self.site / f"{name}-{version}.dist-info").mkdir()
            (self.site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    def gpus(self, *lines: str, code: int = 0) -> None:
        program = self.bin / "nvidia-smi"
        program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + f"exit {code}\n")
        program.chmod(0o755)

    def run(self, program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [str(program), *arguments], env={**own, **environment}, cwd=self.bin, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip


# --- what is asked for ---


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Architecture '' is not known: choose ARCH=ada, ampere, blackwell, cpu or hopper"),
        (["volta"], "Architecture 'volta' is not known: choose ARCH=ada, ampere, blackwell, cpu or hopper"),
        (["blackwell", "--stack", "paper"], "There is no stack 'paper' for blackwell: choose STACK=modern"),
        (["ada", "--base", "mine"], "BASE=mine is not known: choose BASE=full or host-torch"),
        (["ada", "--python", "3.9"], "PYTHON_VERSION=3.9 is not known: choose PYTHON_VERSION=3.12 or 3.11"),
        (
            ["ada", "--kernels", "/no/such"],
            "KERNELS=/no/such is no folder: name one with compiled kernels (docs/bundle.md describes it)",
        ),
        (
            ["ada", "--kernels", str(ROOT / "docs")],
            f"KERNELS={ROOT / 'docs'} has no kernels: neither archives (*.tar.*) nor wheels (*.whl)",
        ),
    ],
)
def test_what_there_is_not_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert command.main([*arguments, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{line}\n"
    assert list(tmp_path.iterdir()) == []


def test_make_passes_everything_on() -> None:
    told = ["ARCH=ada", "STACK=paper", "BASE=host-torch", "KERNELS=a b", "PYTHON_VERSION=3.11"]
    done = subprocess.run(["make", "--dry-run", "bundle", *told], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = '-m images.bundle "ada" --stack "paper" --base "host-torch" --kernels "a b" --python "3.11"'
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("capability", "tag", "why"),
    [
        (80, "py3-none-any", "some_kernel.so in {} is compiled for 8.0, not for 9.0, which hopper is"),
        (90, "cp39-cp39-linux_x86_64", f"some_kernel-1.0-cp39-cp39-linux_x86_64.whl is for cp39, the bundle for {TAG}"),
    ],
)
def test_kernels_for_another_gpu_or_python_are_refused(tmp_path: Path, capability: int, tag: str, why: str) -> None:
    folder = wheel(tmp_path / "k", "some_kernel-1.0", {"some_kernel.so": library(capability)}, tag).parent
    with pytest.raises(Wrong, match=why.format(folder)):
        kernels.unpack(folder, tmp_path / "site", settings("hopper", python=PYTHON))


def test_kernels_of_the_other_abi_are_refused(
    tmp_path: Path, prebuilt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["hopper", "--stack", "paper", "--base", "host-torch", "--python", PYTHON]
    assert command.main([*asked, "--kernels", str(prebuilt), "--out", str(tmp_path / "out")]) == 1
    said = "ext.so was compiled with the other C++ ABI than torch 2.5.1 has: build it for that\n"
    assert capsys.readouterr().err == said


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    assert command.main(["cpu", "--base", "host-torch", "--out", str(tmp_path)]) == 1
    said = f"The bundle cannot be made in {tmp_path}: [Errno 28] No space left on device\n"
    assert capsys.readouterr().err == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("ERROR: No matching distribution found for torch==2.13.0+cpu\n", "No wheel of torch==2.13.0+cpu for CPython"),
        ("ERROR: OSError [Errno 28] No space left on device\n", "No space left on device while wheels are fetched"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    click==8.5.1 from x:\n",
            "The wheel of click==8.5.1 for CPython 3.12 has none of the hashes of its lock",
        ),
    ],
)
def test_pips_failures_are_one_line(said: str, line: str) -> None:
    assert packages._reason(said, "3.12").startswith(line)


# --- kernels by a build ---


def test_without_a_folder_kernels_are_built_in_the_images_builders(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "buildah that builds")
    finished = machine.build("--kernels", str(tmp_path / "out"), "ada", "paper")
    assert finished.returncode == 0, finished.stderr
    (call,) = [each for each in machine.calls() if each[1] == "bud"]
    assert call[call.index("--target") + 1] == "kernels"
    assert call[call.index("--output") + 1] == f"type=local,dest={tmp_path / 'out'}"
    assert "--tag" not in call


def test_a_build_that_fails_names_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "lxc")
    with pytest.raises(Wrong, match="name a folder of prebuilt ones with KERNELS="):
        contents.build_kernels(settings("ada"), tmp_path / "kernels")


# --- what is in it ---


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


def test_two_builds_give_the_same_bytes(tmp_path: Path, prebuilt: Path) -> None:
    asked = ("hopper", "--base", "host-torch", "--kernels", str(prebuilt))
    first, second = (made(tmp_path / name, *asked).read_bytes() for name in ("1", "2"))
    assert first == second


def test_a_full_one_has_the_wheels_of_its_stack_by_hash(tmp_path: Path) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    assert folder.name == f"decode-floor-cpu-{TAG}"
    lock = (folder / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lock]
    assert names == sorted(set(names))
    assert {"torch", "transformers", "click", "pyyaml"} <= set(names)
    assert len(lock) == len(list((folder / "wheels").iterdir()))
    assert all("--hash=sha256:" in line for line in lock)


def test_a_wheel_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    bad = wheel(tmp_path, "bad-1", {"../outside.py": b""})
    with pytest.raises(Wrong, match=r"bad-1-py3-none-any.whl has the file ../outside.py"):
        packages.unpack(bad, tmp_path / "site")


# --- on a host ---


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


def test_a_host_that_has_all_of_it_runs_and_nothing_is_said(host: Host, runnable: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runnable / "run")
    done = host.run(tmp_path / "link", "--version")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith("decode-floor, version ")


def test_it_leaves_nothing_in_its_own_folder(host: Host, runnable: Path) -> None:
    done = host.run(runnable / "run", "verify", "no/such")
    assert lines(done) == ["error: no/such: no such file or folder"]
    assert not list(runnable.rglob("__pycache__")), "what Python compiles there could outlive the next bundle"


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


def test_a_check_says_all_that_was_seen_and_what_is_damaged(host: Host, bundle: Path) -> None:
    (bundle / "site" / "click.py").write_text("changed")
    done = host.run(bundle / "run", "check")
    assert "ok: torch 2.11.0+cu130" in done.stdout
    assert "ok: GPU NVIDIA H200 of compute capability 9.0" in done.stdout
    assert lines(done) == [
        f"error: 1 of {len(manifest_of(bundle)['files'])} files are not as in the archive, the first: site/click.py"
    ]


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def test_a_path_with_a_colon_is_one_line(tmp_path: Path, host: Host, bundle: Path) -> None:
    moved = tmp_path / "a:b"
    bundle.rename(moved)
    said = f"error: The path {moved} has a colon, which no module path can have: unpack the bundle elsewhere"
    assert lines(host.run(moved / "run", "cell")) == [said]


def test_a_full_one_makes_its_environment_without_an_index(tmp_path: Path, host: Host) -> None:
    """The fake wheels have nothing to run, so the runner ends with its own line on what it lacks."""
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    kept = folder / "wheels" / "click-8.5.1-py3-none-any.whl"
    (folder / "requirements.txt").write_text(packages.requirements([kept]))
    done = host.run(folder / "run", "cell", PIP_INDEX_URL="http://127.0.0.1:1/")
    assert lines(done)[0] == f"Making {folder / 'venv'} once, from the wheels of this bundle …"
    assert (folder / "venv" / ".ready").exists(), done.stderr
    assert "Making" not in host.run(folder / "run", "cell").stderr


def test_a_full_one_whose_wheel_is_damaged_says_so(tmp_path: Path, host: Host) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    with (folder / "wheels" / "click-8.5.1-py3-none-any.whl").open("ab") as damaged:
        damaged.write(b"x")
    said = lines(host.run(folder / "run", "cell"))
    assert len(said) == 2
    assert said[1].startswith("error: the wheels cannot be installed: THESE PACKAGES DO NOT MATCH THE HASHES"), said
    assert not (folder / "venv" / ".ready").exists()


def test_a_full_one_that_cannot_write_says_what_it_needs(tmp_path: Path, host: Host) -> None:
    folder = unpacked(made(tmp_path / "out", "cpu"), tmp_path / "here")
    (folder / ".venv.lock").mkdir()  # for root, too, a folder is no file that can be opened
    (said,) = lines(host.run(folder / "run", "cell"))
    assert said.startswith(
        f"error: {folder} cannot be written to (Is a directory), and this bundle makes a virtual env"
    )
