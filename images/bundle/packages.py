"""Packages of locks: fetched by hash as wheels for the host's Python, and unpacked."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from images.bundle.errors import Wrong

PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)")
# the locks are resolved for glibc 2.28, so wheels for that and older versions fit
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), "manylinux2014_x86_64",
             "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64")  # fmt: skip
NO_SPACE = "No space left on device"


@dataclass(frozen=True)
class Pin:
    """A package of a lock. `text` is its entry with hashes."""

    name: str
    version: str
    text: str


def normalised(name: str) -> str:
    """Returns a package's normalised name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(locks: Iterable[Path]) -> dict[str, Pin]:
    """Returns the packages of the locks by name. The first lock with a package counts."""
    by_name: dict[str, Pin] = {}
    for lock in locks:
        for entry in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8")):
            if match := PIN.match(entry):
                pin = Pin(normalised(match[1]), match[2], entry)
                by_name.setdefault(pin.name, pin)
    return by_name


def fetch(required: Mapping[str, Pin], python: str, folder: Path, extra_index_url: str) -> None:
    """Downloads the wheels for CPython `python` on x86_64 Linux into the folder. Raises Wrong with pip's reason.

    pip uses its usual settings. The variable WHEELS names a folder of wheels to use instead of the extra index, as for
    images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not required:
        return
    sources = ["--extra-index-url", extra_index_url] if extra_index_url else []
    if wheels := os.environ.get("WHEELS"):
        sources = ["--find-links", wheels]
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "lock.txt"
        lock.write_text("\n".join(pin.text for pin in required.values()), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--progress-bar", "off", "--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--implementation", "cp", "--python-version", python),
            *(word for platform in PLATFORMS for word in ("--platform", platform)),
            *sources,
            *("--dest", str(folder), "--requirement", str(lock)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(_reason(done.stderr, python))


def _reason(output: str, python: str) -> str:
    """Returns pip's failure as one line."""
    if NO_SPACE in output:
        return f"{NO_SPACE} while wheels are fetched: free some, or set TMPDIR to another disk"
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    missing = re.search(r"No matching distribution found for ([^\s;]+)", output)
    if missing:
        remedy = "check the network and pip's index, or name a folder that has it in WHEELS"
        return f"No wheel of {missing[1]} for CPython {python} was found: {remedy}"
    if "DO NOT MATCH THE HASHES" in output:
        differing = re.search(r"^\s+(\S+==\S+) from ", output, re.MULTILINE)
        name = differing[1] if differing else "a package"
        fault = f"The wheel of {name} for CPython {python} has none of the hashes of its lock in requirements/images/"
        return f"{fault}: use another index, or resolve the locks again with `make lock`"
    last = errors[-1] if errors else output.strip().splitlines()[-1]
    return f"pip could not fetch the wheels ({last}): correct that, or name a folder that has them in WHEELS"


def requirements(wheels: Sequence[Path]) -> str:
    """Returns a lock of exactly these files, for pip without an index."""
    lines = []
    for wheel in sorted(wheels):
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{normalised(name)}=={version} --hash=sha256:{sha256(wheel)}\n")
    return "".join(lines)


def sha256(file: Path) -> str:
    """Returns the SHA-256 of a file in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def unpack(wheel: Path, site: Path) -> None:
    """Unpacks the wheel's files for the module path, without programs, headers and data.

    Raises Wrong for an invalid wheel, or one with paths outside of it.
    """
    try:
        with zipfile.ZipFile(wheel) as opened:
            for entry in opened.infolist():
                if not entry.is_dir() and (path := _place(PurePosixPath(entry.filename))) is not None:
                    if path.is_absolute() or ".." in path.parts:
                        raise Wrong(
                            f"{wheel.name} has the file {entry.filename}, which would be outside of the bundle: "
                            "take a wheel from a source that you trust"
                        )
                    target = site / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(opened.read(entry))
    except zipfile.BadZipFile as error:
        raise Wrong(f"{wheel} is no wheel that can be read ({error}): build or copy it again") from error


def _place(path: PurePosixPath) -> PurePosixPath | None:
    """Returns the path of a wheel's file on the module path, or None if it does not belong there."""
    if not path.parts[0].endswith(".data"):
        return path
    return PurePosixPath(*path.parts[2:]) if path.parts[1] in ("purelib", "platlib") else None


def installed(site: Path) -> dict[str, str]:
    """Returns the versions of the packages in a folder of the module path, by name."""
    versions = {}
    for about in sorted(site.glob("*.dist-info")):
        name, _, version = about.name.removesuffix(".dist-info").rpartition("-")
        versions[normalised(name)] = version
    return versions
