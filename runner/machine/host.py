"""Facts of this host for the record: its processor, memory, operating system and how busy it is.

All of it is read from /proc, /sys and /etc; none of it starts a process or asks the network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
OS_RELEASE_FILES = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
HOST_ID_LENGTH = 12
UNIT_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# (limit, usage, the line of memory.stat with what the kernel gives back under pressure) of cgroup v2 and v1
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _read(path: Path) -> str:
    """The text of a small file, or "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")
    except OSError:
        return ""


def machine_id() -> str:
    """The identity of this installation, from systemd or D-Bus, else the host's name.

    Private: only hashes of it may be written down.
    """
    found = (_read(path) for path in MACHINE_ID_FILES)
    # systemd writes "uninitialized" into images that have not booted yet: every copy would be the same host
    return next((text for text in found if text and text != "uninitialized"), "") or platform.node()


def host_id(gpu_uuid: str | None) -> str:
    """First 12 hexadecimal digits of SHA-256(machine-id + GPU UUID); the CPU counts as an empty UUID."""
    return hashlib.sha256((machine_id() + (gpu_uuid or "")).encode()).hexdigest()[:HOST_ID_LENGTH]


def _cpuinfo() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo."""
    block = _read(PROC / "cpuinfo").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_name() -> str:
    """The processor's name; ARM kernels give none, so its board's, or its part's numbers."""
    fields = _cpuinfo()
    board = _read(SYS / "firmware/devicetree/base/model")
    if fields.get("model name") or board:
        return fields.get("model name") or board
    if "CPU part" in fields:
        return f"{platform.machine()} implementer {fields.get('CPU implementer')} part {fields['CPU part']}"
    return platform.processor() or platform.machine()


def cores() -> int:
    """Logical processors this process may run on."""
    return len(os.sched_getaffinity(0))


def _meminfo_bytes(field: str) -> int | None:
    match = re.search(rf"^{field}:\s*(\d+) kB$", _read(PROC / "meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def memory_bytes() -> int:
    """Memory of the host, in bytes."""
    return _meminfo_bytes("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory_bytes() -> int:
    """Bytes that can be allocated without swapping: the kernel's estimate, or what the control groups (a
    container's memory limit) leave, whichever is less."""
    free = _meminfo_bytes("MemAvailable")
    if free is None:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min((free, *_group_allowances())))


def _group_allowances() -> Iterator[int]:
    """Bytes left under each memory limit that holds for this process."""
    for folder in _memory_groups():
        for limit_name, usage_name, reclaimable in CGROUP_FILES:
            limit, usage = _read(folder / limit_name), _read(folder / usage_name)
            if limit.isdigit() and usage.isdigit():
                match = re.search(rf"^{reclaimable} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(limit) - int(usage) + (int(match.group(1)) if match else 0)


def _memory_groups() -> Iterator[Path]:
    """The control groups this process is in, innermost first, by both layouts of /sys/fs/cgroup."""
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            root = SYS / "fs/cgroup" / ("memory" if controllers else "")
            inner = root / path.lstrip("/")
            yield inner
            yield from (folder for folder in inner.parents if folder.is_relative_to(root))


def last_level_cache_bytes() -> int | None:
    """Bytes of the largest-level data cache that the first core sees; None where the kernel does not tell."""
    levels = {}
    for folder in (SYS / "devices/system/cpu/cpu0/cache").glob("index*"):
        size = re.fullmatch(r"(\d+)([KMG]?)", _read(folder / "size"))
        level = _read(folder / "level")
        if size and level.isdigit() and _read(folder / "type") != "Instruction":
            levels[int(level)] = int(size.group(1)) * UNIT_BYTES[size.group(2)]
    return levels[max(levels)] if levels else None


def operating_system() -> str:
    """The distribution and the kernel's release: `Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64`."""
    text = next(filter(None, map(_read, OS_RELEASE_FILES)), "")
    match = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    name = match.group(1).strip("\"'") if match else "unknown distribution"
    return f"{name}, {platform.system()} {platform.release()}"


def busy_seconds() -> tuple[float, float] | None:
    """CPU seconds used so far: by all processes of the host, and by this process with its threads.

    Two calls around a window tell how many cores others used in it: (Δall − Δown) / window. The first counts
    user, nice, system, interrupts and stolen time in ticks of 10 ms. None where /proc/stat is missing or, as
    in some sandboxes, all zeros.
    """
    fields = _read(PROC / "stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not any(map(int, fields[1:])):
        return None
    # guest time is already in user and nice
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
