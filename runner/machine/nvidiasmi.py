"""GPUs as nvidia-smi lists them, for a Python that lacks the bindings of NVML."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from runner.errors import GpuNotFound
from runner.machine import visible
from runner.machine.installedgpu import InstalledGpu

PROGRAM = "nvidia-smi"
PATIENCE_S = 5.0
GPU_FIELDS = "index,uuid,name,memory.total,driver_version,mig.mode.current"
USER_FIELDS = "pid,process_name"
NO_DEVICES = "No devices were found"
SHOWN = 100  # characters of an answer that cannot be read


def list_gpus() -> tuple[InstalledGpu, ...]:
    """Returns the GPUs that CUDA_VISIBLE_DEVICES leaves visible, () if there is none or no nvidia-smi.

    Raises GpuNotFound if nvidia-smi fails, hangs or prints something else than cards.
    """
    if visible.hides_all() or shutil.which(PROGRAM) is None:
        return ()
    answer = _answer(f"--query-gpu={GPU_FIELDS}")
    # a lost card makes nvidia-smi fail after it has listed the others, so the exit code does not matter
    cards = tuple(_card(words) for words in _rows(answer, GPU_FIELDS) if words[0].isdecimal())
    if not cards and NO_DEVICES not in answer:
        raise GpuNotFound(f"{PROGRAM} lists no GPU ({_first_line(answer)}): run it, and repair the driver")
    return visible.visible_gpus(cards)


def users(uuid: str) -> tuple[str, ...]:
    """Returns the processes that compute on the card, such as `17 (python3)`. Raises GpuNotFound."""
    answer = _answer(f"--query-compute-apps={USER_FIELDS}", f"--id={uuid}")
    return tuple(f"{pid} ({os.path.basename(name)})" for pid, name in _rows(answer, USER_FIELDS))


def _answer(query: str, *options: str) -> str:
    """Returns what nvidia-smi prints. Raises GpuNotFound if it cannot be started, or hangs."""
    command = [PROGRAM, query, "--format=csv,noheader,nounits", *options]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise GpuNotFound(f"{PROGRAM} cannot be started ({error.strerror}): repair the driver") from error
    try:
        return process.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired as error:
        # not waited for: a process that hangs in the driver does not end when it is killed
        os.killpg(process.pid, signal.SIGKILL)
        raise GpuNotFound(f"{PROGRAM} does not answer within {PATIENCE_S:g} s: restart the machine") from error


def _rows(text: str, fields: str) -> list[list[str]]:
    """Returns the lines that have as many words as there are fields."""
    lines = [line.strip().split(", ") for line in text.splitlines()]
    return [words for words in lines if len(words) == fields.count(",") + 1]


def _card(words: list[str]) -> InstalledGpu:
    index, uuid, name, mebibytes, driver, mig = words
    # unified memory (Jetson, GB10) is listed as [N/A]
    memory_bytes = int(mebibytes) * 2**20 if mebibytes.isdecimal() else 0
    return InstalledGpu(int(index), uuid, name, memory_bytes, None, driver, mig == "Enabled")


def _first_line(text: str) -> str:
    return next(filter(None, map(str.strip, text.splitlines())), "no text")[:SHOWN]
