"""Facts of this host for the record: processor, memory, operating system and load.

All are read from /proc, /sys and /etc, without starting a process or using the network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
OS_RELEASE_FILES = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
HOST_ID_LENGTH = 12
PROCESSOR_FIELD = 36  # of /proc/thread-self/stat after the name: the core, field 39 of proc(5)
UNIT_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# (limit, usage, line of memory.stat with the reclaimable bytes) of cgroup v2 and v1
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _read(path: Path) -> str:
    """Returns the text of a small file, or "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")
    except OSError:
        return ""


def installation_id() -> str:
    """Returns the identity of this installation, from systemd or D-Bus; "" without one, as in many containers."""
    texts = (_read(path) for path in MACHINE_ID_FILES)
    # images that have not booted yet contain "uninitialized", which would be the same for every copy
    return next((text for text in texts if text and text != "uninitialized"), "")


def machine_id() -> str:
    """Returns the identity of this installation, or else the host's name.

    It is private: only hashes of it may be published.
    """
    return installation_id() or platform.node()


def host_id(gpu_uuid: str | None) -> str:
    """Returns the first 12 hexadecimal digits of SHA-256(machine id + GPU UUID). The UUID of the CPU is ""."""
    return hashlib.sha256((machine_id() + (gpu_uuid or "")).encode()).hexdigest()[:HOST_ID_LENGTH]


def _cpuinfo() -> dict[str, str]:
    """Returns the fields of the first processor in /proc/cpuinfo."""
    block = _read(PROC / "cpuinfo").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_name() -> str:
    """Returns the processor's name. ARM kernels have none: there it is the board's name or the part numbers."""
    fields = _cpuinfo()
    board = _read(SYS / "firmware/devicetree/base/model")
    if fields.get("model name") or board:
        return fields.get("model name") or board
    if "CPU part" in fields:
        return f"{platform.machine()} implementer {fields.get('CPU implementer')} part {fields['CPU part']}"
    return platform.processor() or platform.machine()


def cores() -> int:
    """Returns the number of logical processors that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_quota() -> float | None:
    """Returns the cores that the control groups of this process let it use on average; None without a limit."""
    quotas = [quota for folder in _groups("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _quota(folder: Path) -> float | None:
    """Returns the cores of one control group (v2, else v1), None without a limit."""
    words = _read(folder / "cpu.max").split() or [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdecimal() for word in words) else None


def _meminfo_bytes(field: str) -> int | None:
    match = re.search(rf"^{field}:\s*(\d+) kB$", _read(PROC / "meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def memory_bytes() -> int:
    """Returns the host's memory in bytes."""
    return _meminfo_bytes("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory_bytes() -> int:
    """Returns the bytes that can be allocated without swapping.

    That is the kernel's estimate, or the remainder of a control group's limit if that is less.
    """
    free = _meminfo_bytes("MemAvailable")
    if free is None:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min((free, *_group_allowances())))


def _group_allowances() -> Iterator[int]:
    """Yields the remaining bytes of each memory limit on this process."""
    for folder in _groups("memory"):
        for limit_name, usage_name, reclaimable in CGROUP_FILES:
            limit, usage = _read(folder / limit_name), _read(folder / usage_name)
            if limit.isdigit() and usage.isdigit():
                match = re.search(rf"^{reclaimable} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(limit) - int(usage) + (int(match.group(1)) if match else 0)


def _groups(controller: str) -> Iterator[Path]:
    """Yields the folders of this process's control groups in /sys/fs/cgroup (v1 or v2), innermost first."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            root = SYS / "fs/cgroup" / (controller if controllers else "")
            inner = root / path.lstrip("/")
            yield inner
            yield from (folder for folder in inner.parents if folder.is_relative_to(root))


def last_level_cache_bytes() -> int | None:
    """Returns the bytes of the first core's last-level data cache, or None if unknown."""
    levels = {}
    for folder in (SYS / "devices/system/cpu/cpu0/cache").glob("index*"):
        size = re.fullmatch(r"(\d+)([KMG]?)", _read(folder / "size"))
        level = _read(folder / "level")
        if size and level.isdigit() and _read(folder / "type") != "Instruction":
            levels[int(level)] = int(size.group(1)) * UNIT_BYTES[size.group(2)]
    return levels[max(levels)] if levels else None


def operating_system() -> str:
    """Returns distribution and kernel: `Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64`."""
    text = next(filter(None, map(_read, OS_RELEASE_FILES)), "")
    match = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    name = match.group(1).strip("\"'") if match else "unknown distribution"
    return f"{name}, {platform.system()} {platform.release()}"


def switches() -> tuple[int, int]:
    """Returns how often this thread gave up its core so far, and how often it was taken off it."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_nvcsw, used.ru_nivcsw


def core_mhz() -> float | None:
    """Returns the present frequency of the core that runs this thread in MHz; None if the kernel does not report it, as
    in most virtual machines."""
    # the name in brackets, which comes before them, may have spaces
    fields = _read(PROC / "thread-self/stat").rpartition(")")[2].split()
    core = fields[PROCESSOR_FIELD] if len(fields) > PROCESSOR_FIELD else ""
    khz = _read(SYS / f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    return int(khz) / 1e3 if khz.isdecimal() and int(khz) else None


def busy_seconds() -> tuple[float, float] | None:
    """Returns CPU seconds used so far, by all processes of the host and by this process.

    With two calls around a window, other processes used (Δall − Δown) / window cores in it. The first number counts
    user, nice, system, interrupt and steal time in ticks of 10 ms. Returns None if /proc/stat is missing or all zeros,
    as in some sandboxes.
    """
    fields = _read(PROC / "stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not any(map(int, fields[1:])):
        return None
    # user and nice include guest time
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
