"""Commands without root's right to ignore the mode of files: CI runs as root, and permissions must bite there too."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import commands

PR_CAPBSET_DROP = 24
IGNORING_MODES = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
CAPABILITIES_OF_64_BITS = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def obey_modes() -> None:
    """Have the program that this process becomes obey the modes of files, also as root. (Root without these three
    capabilities keeps its id, so that everything installed for it alone can still be read.)"""
    for capability in IGNORING_MODES:
        if os.getuid() == 0 and _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "a capability cannot be dropped")


def by_process(
    program: str, folder: Path, *arguments: str, before: Callable[[], None] = obey_modes, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m PROGRAM …` in that folder, ended after a minute at the latest."""
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=before,
    )


def command(program: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own."""
    with modes_obeyed():
        return commands.called(program, *arguments, folder=folder, **environment)


class _Sets(ctypes.Structure):
    """The sets of 32 capabilities, of which those in `effective` are used."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def modes_obeyed() -> Iterator[None]:
    """Has this thread obey the modes of files while it lasts, also as root."""
    header, kept = (ctypes.c_uint32 * 2)(CAPABILITIES_OF_64_BITS, 0), (_Sets * 2)()
    _checked(_libc.capget(header, kept))
    used = (_Sets * 2).from_buffer_copy(kept)
    used[0].effective &= ~sum(1 << capability for capability in IGNORING_MODES)
    _checked(_libc.capset(header, used))
    try:
        yield
    finally:
        _checked(_libc.capset(header, kept))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the capabilities of this thread cannot be changed")


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The line that the command ended with, when it is one of the family and the only one of its kind."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (code, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "(a bug" not in errors[0]
    return errors[0]


def close(path: Path, mode: int = 0) -> Path:
    """Take the rights to it away, from its owner too."""
    path.chmod(mode)
    return path


def strangers(path: Path) -> Path:
    """Make it another user's, who lets nobody else write to it."""
    if os.getuid() != 0:
        pytest.skip("hardware: only root can give files away")
    path.chmod(0o755 if path.is_dir() else 0o600)
    os.chown(path, NOBODY, NOBODY)
    return path
