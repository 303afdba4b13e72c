"""Facts of the host, read from a pretended /proc, /sys and /etc, and once from the real ones."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from pathlib import Path

import pytest

from runner.machine import host

UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000001"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(host, "PROC", tmp_path / "proc")
    monkeypatch.setattr(host, "SYS", tmp_path / "sys")
    monkeypatch.setattr(host, "MACHINE_ID_FILES", (tmp_path / "etc/machine-id", tmp_path / "dbus/machine-id"))
    monkeypatch.setattr(host, "OS_RELEASE_FILES", (tmp_path / "etc/os-release", tmp_path / "usr/os-release"))
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_host_id_hashes_machine_id_and_gpu(root: Path) -> None:
    put(root / "etc/machine-id", "3d1219c7\n")
    assert host.host_id(UUID) == digest("3d1219c7" + UUID)
    assert host.host_id(None) == digest("3d1219c7")
    assert host.host_id(UUID) != host.host_id(None)


def test_host_id_falls_back_to_dbus_and_then_to_the_hosts_name(root: Path) -> None:
    assert host.host_id(UUID) == digest(platform.node() + UUID)
    put(root / "dbus/machine-id", "77aa\n")
    assert host.host_id(UUID) == digest("77aa" + UUID)
    put(root / "etc/machine-id", "uninitialized\n")  # an image that has never booted
    assert host.host_id(UUID) == digest("77aa" + UUID)
    put(root / "etc/machine-id", "")
    assert host.host_id(UUID) == digest("77aa" + UUID)


def test_cpu_name_is_that_of_the_first_processor(root: Path) -> None:
    put(
        root / "proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Xeon: big\n\nprocessor\t: 1\nmodel name\t: other\n",
    )
    assert host.cpu_name() == "Xeon: big"


def test_an_arm_processor_is_named_by_its_board_or_its_part(root: Path) -> None:
    put(root / "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n")
    assert host.cpu_name() == f"{platform.machine()} implementer 0x41 part 0xd4f"
    put(root / "sys/firmware/devicetree/base/model", "NVIDIA Jetson Thor\0")
    assert host.cpu_name() == "NVIDIA Jetson Thor"


def test_a_processor_that_nobody_names_has_its_architecture(root: Path) -> None:
    assert not (root / "proc").exists()
    assert host.cpu_name() in (platform.processor(), platform.machine())


def test_memory_is_read_in_bytes(root: Path) -> None:
    put(root / "proc/meminfo", "MemTotal:       2048 kB\nMemFree:  10 kB\nMemAvailable:   1024 kB\n")
    assert host.memory_bytes() == 2048 * 1024
    assert host.available_memory_bytes() == 1024 * 1024


def test_memory_without_meminfo_is_asked_of_the_c_library(root: Path) -> None:
    assert not (root / "proc").exists()
    assert 0 < host.available_memory_bytes() <= host.memory_bytes()
    assert host.memory_bytes() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_containers_limit_leaves_less_memory(root: Path) -> None:
    put(root / "proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    put(root / "proc/self/cgroup", "0::/user/job\n")
    group = root / "sys/fs/cgroup/user"
    put(group / "job/memory.max", "max\n")
    put(group / "memory.max", "5000000000\n")
    put(group / "memory.current", "3000000000\n")
    put(group / "memory.stat", "file 900\ninactive_file 500000000\nactive_file 7\n")
    # 5.0 GB − 3.0 GB used + 0.5 GB of it that the kernel would give back
    assert host.available_memory_bytes() == 2_500_000_000
    put(group / "memory.current", "6000000000\n")
    assert host.available_memory_bytes() == 0


def test_a_limit_of_the_older_control_groups_counts_too(root: Path) -> None:
    put(root / "proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    put(root / "proc/self/cgroup", "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    # inside a container the group's own files are mounted at the root, not under /docker/1
    put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000000\n")
    put(root / "sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000000\n")
    assert host.available_memory_bytes() == 3_000_000_000


def test_a_quota_of_processor_time_is_in_cores(root: Path) -> None:
    put(root / "proc/self/cgroup", "0::/user/job\n")
    assert host.cpu_quota() is None
    put(root / "sys/fs/cgroup/user/cpu.max", "max 100000\n")
    assert host.cpu_quota() is None
    put(root / "sys/fs/cgroup/user/cpu.max", "150000 100000\n")
    assert host.cpu_quota() == 1.5
    put(root / "sys/fs/cgroup/user/job/cpu.max", "50000 100000\n")
    assert host.cpu_quota() == 0.5


def test_a_quota_of_the_older_control_groups_counts_too(root: Path) -> None:
    put(root / "proc/self/cgroup", "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert host.cpu_quota() is None
    put(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    assert host.cpu_quota() == 2.0


def cache(root: Path, index: int, level: int, kind: str, size: str) -> None:
    folder = root / f"sys/devices/system/cpu/cpu0/cache/index{index}"
    for name, text in (("level", str(level)), ("type", kind), ("size", size)):
        put(folder / name, text + "\n")


def test_the_last_level_cache_is_the_highest_one_with_data(root: Path) -> None:
    assert host.last_level_cache_bytes() is None
    cache(root, 0, 1, "Data", "48K")
    cache(root, 1, 1, "Instruction", "9999999K")
    assert host.last_level_cache_bytes() == 48 * 1024
    cache(root, 2, 2, "Unified", "2M")
    assert host.last_level_cache_bytes() == 2 * 1024 * 1024
    cache(root, 3, 3, "Unified", "32768K")
    assert host.last_level_cache_bytes() == 32 * 1024 * 1024
    cache(root, 2, 2, "Unified", "1G")  # larger, but nearer to the core
    assert host.last_level_cache_bytes() == 32 * 1024 * 1024


def test_a_cache_of_unknown_size_is_passed_over(root: Path) -> None:
    cache(root, 3, 3, "Unified", "")
    assert host.last_level_cache_bytes() is None


def test_operating_system_names_distribution_and_kernel_but_not_the_host(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "gpu-box-17")
    kernel = f"{platform.system()} {platform.release()}"
    assert host.operating_system() == f"unknown distribution, {kernel}"
    put(root / "usr/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    assert host.operating_system() == f"Debian GNU/Linux 12 (bookworm), {kernel}"


def test_busy_seconds_count_work_and_stolen_time_but_neither_idle_nor_guests(root: Path) -> None:
    # user nice system idle iowait irq softirq steal guest guest_nice
    put(root / "proc/stat", "cpu  100 10 50 9000 800 3 2 35 70 7\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    busy = host.busy_seconds()
    assert busy is not None
    # 100 + 10 + 50 + 3 + 2 + 35 = 200 ticks
    assert busy[0] == 200 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("text", [None, "", "intr 5\n", "cpu  0 0 0 0 0 0 0 0 0 0\n", "cpu  1 2 3\n"])
def test_busy_seconds_without_a_usable_stat_are_unknown(root: Path, text: str | None) -> None:
    if text is not None:
        put(root / "proc/stat", text)
    assert host.busy_seconds() is None


@pytest.mark.medium
def test_this_process_shows_in_both_counts() -> None:
    before = host.busy_seconds()
    if before is None:
        pytest.skip("this sandbox keeps no CPU times in /proc/stat")
    spin_until = time.process_time() + 0.3
    while time.process_time() < spin_until:
        pass
    after = host.busy_seconds()
    assert after is not None
    own = after[1] - before[1]
    assert 0.3 <= own < 1.0
    assert after[0] - before[0] >= own - 0.1  # ticks of 10 ms, rounded per processor


def test_the_real_host_answers_everything() -> None:
    assert host.cores() == len(os.sched_getaffinity(0))
    assert 0 < host.available_memory_bytes() <= host.memory_bytes()
    assert host.cpu_name()
    assert platform.release() in host.operating_system()
    assert len(host.host_id(None)) == 12


def test_the_frequency_is_that_of_the_core_that_runs_the_thread(root: Path) -> None:
    """Field 39 of proc(5) is the core; the name, field 2, may have spaces and brackets."""
    fields = [str(number) for number in range(3, 53)]
    fields[39 - 3] = "7"
    put(root / "proc/thread-self/stat", f"42 (a ) b) {' '.join(fields)}\n")
    assert host.core_mhz() is None
    put(root / "sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq", "2100500\n")
    assert host.core_mhz() == 2100.5
    put(root / "sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq", "0\n")
    assert host.core_mhz() is None


@pytest.mark.usefixtures("root")
def test_without_proc_there_is_no_frequency() -> None:
    assert host.core_mhz() is None


@pytest.mark.medium
def test_a_thread_that_sleeps_gives_up_its_core() -> None:
    voluntary, involuntary = host.switches()
    for _ in range(5):
        time.sleep(0.002)
    later = host.switches()
    assert later[0] - voluntary >= 5
    assert later[1] >= involuntary
