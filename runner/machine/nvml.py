"""What NVML knows: the GPUs installed, and a snapshot of one before and after a session.

NVML is NVIDIA's management library, the one behind nvidia-smi. It is opened for each call and shut down after
it, so that nothing of it stays alive inside a timed window.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import GpuNotFound, MissingPackage
from runner.machine import host, process

DEV = Path("/dev")
NO_GPU = "no NVIDIA GPU"
# Functions that drivers know by several names, the usual one first. The bindings' unversioned
# nvmlDeviceGetComputeRunningProcesses fails with an error of another family where the driver has only _v2.
TEMPERATURE = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
CLOCKS_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
PROCESSES = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
# bits of the clocks event (formerly throttle) reasons, nvml.h
THROTTLE_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
SNAPSHOT_FIELDS = (
    "temperature_c",
    "power_w",
    "power_limit_w",
    "sm_clock_mhz",
    "sm_clock_max_mhz",
    "memory_clock_mhz",
    "memory_clock_max_mhz",
    "memory_used_bytes",
    "memory_total_bytes",
    "utilisation_percent",
    "memory_utilisation_percent",
    "throttle_reasons",
    "ecc",
    "performance_state",
    "other_processes",
    "process_ids_visible",
)


@dataclass(frozen=True)
class InstalledGpu:
    """One GPU of this machine. `index` is NVML's, in the order of the PCI bus.

    A card with `mig` on is cut into slices and cannot be measured as its model of card. `memory_bytes` is the
    host's where host and GPU share one memory.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int
    compute_capability: str  # "9.0"
    driver: str
    mig: bool


Gpus = tuple[InstalledGpu, ...]


class _NoGpu(Exception):
    """This machine has no NVIDIA GPU, or none that its driver can see: an answer, not a failure."""


def _driver_traces() -> bool:
    """Is there any sign of an NVIDIA GPU that does not need NVML?"""
    return _device_files() or shutil.which("nvidia-smi") is not None


def _device_files() -> bool:
    return any(DEV.glob("nvidia[0-9]*"))


def _bindings() -> Any:
    """The module `pynvml`. Without it, raises MissingPackage where there is a driver, _NoGpu elsewhere."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        if not _driver_traces():
            raise _NoGpu from error
        raise MissingPackage(
            "this machine has an NVIDIA driver, but the Python package nvidia-ml-py, which finds the GPUs, "
            f"cannot be imported by {sys.executable} ({error}): pip install nvidia-ml-py"
        ) from error


@contextmanager
def _session() -> Iterator[Any]:
    """NVML opened, and shut down at the end. Raises _NoGpu, MissingPackage or GpuNotFound."""
    nvml = _bindings()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise _no_answer(nvml, error) from error
    try:
        yield nvml
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _no_answer(nvml: Any, error: Exception) -> Exception:
    """What a failed nvmlInit means.

    A container given the device files without the library can compute but not be asked: it must not pass for
    a machine without a GPU.
    """
    if isinstance(error, nvml.NVMLError_LibraryNotFound) and _device_files():
        return GpuNotFound(
            "this machine has an NVIDIA GPU, but not the driver's library libnvidia-ml.so.1: in a container, "
            "add `utility` to NVIDIA_DRIVER_CAPABILITIES"
        )
    absent = (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded, nvml.NVMLError_GpuNotFound)
    if isinstance(error, absent):
        return _NoGpu()
    return GpuNotFound(
        f"the NVIDIA driver does not answer: NVML said {str(error)!r}; nvidia-smi should say the same "
        "(after a driver update a reboot, or a restart of the container, is needed)"
    )


def list_gpus() -> Gpus:
    """The GPUs that torch will see, in its order: those CUDA_VISIBLE_DEVICES names, or all; () without any.

    Raises MissingPackage where there is a driver and no `pynvml`, GpuNotFound where the driver fails to
    answer.
    """
    visible = _visible_tokens()
    if visible == ():
        return ()
    try:
        with _session() as nvml:
            installed = _installed(nvml)
            return installed if visible is None else _chosen(nvml, installed, visible)
    except _NoGpu:
        return ()


def _visible_tokens() -> tuple[str, ...] | None:
    """What CUDA_VISIBLE_DEVICES names, up to the first -1, as CUDA reads it; None when it is not set."""
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    tokens = [token.strip() for token in text.split(",")]
    ends = [place for place, token in enumerate(tokens) if token in ("", "-1")]
    return tuple(tokens[: ends[0]] if ends else tokens)


def _installed(nvml: Any) -> Gpus:
    try:
        driver = nvml.nvmlSystemGetDriverVersion()
        return tuple(_describe(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError as error:
        raise GpuNotFound(f"a GPU of this machine does not answer: NVML said {str(error)!r}") from error


def _describe(nvml: Any, index: int, driver: str) -> InstalledGpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    mig = _ask(nvml, "nvmlDeviceGetMigMode", handle)
    return InstalledGpu(
        index=index,
        uuid=nvml.nvmlDeviceGetUUID(handle),
        name=nvml.nvmlDeviceGetName(handle),
        # unified memory (Jetson, GB10): NVML does not answer, the GPU uses the host's
        memory_bytes=memory.total if memory is not None else host.memory_bytes(),
        compute_capability=f"{major}.{minor}",
        driver=driver,
        mig=mig is not None and mig[0] == 1,
    )


def _chosen(nvml: Any, installed: Gpus, tokens: tuple[str, ...]) -> Gpus:
    """The cards that the tokens name, in their order. As CUDA does, an unknown one hides all after it."""
    chosen: list[InstalledGpu] = []
    for token in tokens:
        gpu = _named(nvml, installed, token)
        if gpu is None:
            break
        chosen.append(gpu)
    return tuple(dict.fromkeys(chosen))


def _named(nvml: Any, installed: Gpus, token: str) -> InstalledGpu | None:
    """The card of an index, a UUID, the beginning of one, or a MIG slice; None where no single card answers.

    Indices count along the PCI bus, as under CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    if token.isdecimal():
        return installed[int(token)] if int(token) < len(installed) else None
    wanted = _card_of_slice(nvml, token) if token.startswith("MIG-") else token
    found = [gpu for gpu in installed if gpu.uuid.lower().startswith(wanted.lower())]
    return found[0] if len(found) == 1 and wanted.lower().startswith("gpu-") else None


def _card_of_slice(nvml: Any, mig_uuid: str) -> str:
    """The UUID of the card a MIG slice was cut from, or "" where NVML does not know the slice."""
    handle = _ask(nvml, "nvmlDeviceGetHandleByUUID", mig_uuid)
    card = None if handle is None else _ask(nvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)
    return "" if card is None else str(_ask(nvml, "nvmlDeviceGetUUID", card) or "")


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """The answer of an NVML function, or None where driver, bindings or card do not support it."""
    call = getattr(nvml, function, None)
    if call is None:
        return None
    try:
        return call(*arguments)
    except nvml.NVMLError:
        return None


def _ask_first(nvml: Any, functions: tuple[str, ...], *arguments: Any) -> Any:
    """The answer of the first function that has one: one question under several names."""
    answers = (_ask(nvml, function, *arguments) for function in functions)
    return next((answer for answer in answers if answer is not None), None)


def snapshot(uuid: str | None) -> dict[str, Any]:
    """The state of one card now, for the record, in °C, W, MHz, bytes and percent; None where not supported.

    `available` says whether the card could be asked, `why` why not; `uuid` None is a session without a GPU.
    Never raises: a failed snapshot must not cost a session. Names neither host nor card nor processes.
    """
    taken = {"available": False, "why": None, "taken_ms": time.time_ns() // 10**6}
    fields: dict[str, Any] = dict.fromkeys(SNAPSHOT_FIELDS)
    try:
        fields |= _state(uuid)
    except _NoGpu:
        return taken | {"why": NO_GPU} | fields
    except MissingPackage:  # its message names a folder of this machine
        return taken | {"why": "the Python package nvidia-ml-py is missing"} | fields
    except GpuNotFound as error:
        return taken | {"why": str(error)} | fields
    return taken | {"available": True} | fields


def _state(uuid: str | None) -> dict[str, Any]:
    if uuid is None:
        raise _NoGpu
    with _session() as nvml:
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError as error:
            raise GpuNotFound(f"the GPU does not answer: NVML said {str(error)!r}") from error
        return {
            **_thermals(nvml, handle),
            **_clocks(nvml, handle),
            **_load(nvml, handle),
            "ecc": _ecc(nvml, handle),
            **_processes(nvml, handle),
        }


def _thermals(nvml: Any, handle: Any) -> dict[str, Any]:
    power_mw = _ask(nvml, "nvmlDeviceGetPowerUsage", handle)
    limit_mw = _ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)
    return {
        "temperature_c": _ask_first(nvml, TEMPERATURE, handle, nvml.NVML_TEMPERATURE_GPU),
        "power_w": None if power_mw is None else power_mw / 1000,
        "power_limit_w": None if limit_mw is None else limit_mw / 1000,
    }


def _clocks(nvml: Any, handle: Any) -> dict[str, Any]:
    return {
        "sm_clock_mhz": _ask(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        "sm_clock_max_mhz": _ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": _ask(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "memory_clock_max_mhz": _ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "throttle_reasons": _throttle_reasons(nvml, handle),
        "performance_state": _ask(nvml, "nvmlDeviceGetPerformanceState", handle),
    }


def _throttle_reasons(nvml: Any, handle: Any) -> list[str] | None:
    mask = _ask_first(nvml, CLOCKS_REASONS, handle)
    return None if mask is None else sorted(_reason_names(mask))


def _reason_names(mask: int) -> Iterator[str]:
    """A bit that a newer driver has added is named by its number: it may well be a slowdown."""
    for bit in (1 << place for place in range(mask.bit_length())):
        if mask & bit:
            yield THROTTLE_REASONS.get(bit, f"unknown_{bit:#x}")


def _load(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    rates = _ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    return {
        "memory_used_bytes": None if memory is None else memory.used,
        "memory_total_bytes": None if memory is None else memory.total,
        "utilisation_percent": None if rates is None else rates.gpu,
        "memory_utilisation_percent": None if rates is None else rates.memory,
    }


def _ecc(nvml: Any, handle: Any) -> dict[str, Any] | None:
    """Whether ECC is on, and the errors counted since the driver was loaded (null where ECC is off)."""
    mode = _ask(nvml, "nvmlDeviceGetEccMode", handle)
    if mode is None:
        return None

    def errors(kind: int) -> Any:
        return _ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, kind, nvml.NVML_VOLATILE_ECC)

    return {
        "enabled": mode[0] == 1,
        "corrected": errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        "uncorrected": errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    }


def _processes(nvml: Any, handle: Any) -> dict[str, Any]:
    """How many processes compute on the card that are not of our own family.

    In a container NVML's process ids can be absent, or those of the host. `process_ids_visible` is False when
    this process computes on the card and is not among them (nothing is known of others then), None when it
    does not.
    """
    running = _ask_first(nvml, PROCESSES, handle)
    if running is None:
        return {"other_processes": None, "process_ids_visible": None}
    ids = {each.pid for each in running}
    visible = True if os.getpid() in ids else (False if _uses_cuda() else None)
    others = None if visible is False else sum(not _is_family(pid) for pid in ids)
    return {"other_processes": others, "process_ids_visible": visible}


def _uses_cuda() -> bool:
    """Does this process compute on the GPU, so that NVML should list it? Never imports torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _is_family(pid: int) -> bool:
    """Is it this process, one that started it, or one that it started?"""
    own = os.getpid()
    return pid in (own, *process.ancestors(own)) or own in process.ancestors(pid)
