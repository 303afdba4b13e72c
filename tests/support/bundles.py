"""Bundles of small fake wheels, and hosts that they are unpacked on."""

from __future__ import annotations

import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from images.bundle import __main__ as command

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
