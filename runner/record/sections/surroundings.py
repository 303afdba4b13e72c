"""Where a session was measured: the card's state, the machine's speed, versions and the host; and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from runner.cell.fieldtypes import ABSENT, Count, NotNegative, Number, OrAbsent, Positive, Series, Size


@dataclass(frozen=True)
class Ecc:
    """ECC and the errors since the driver was loaded; null where the card has none."""

    enabled: bool
    """is ECC on"""
    corrected: Count | None
    """corrected errors"""
    uncorrected: Count | None
    """uncorrected errors"""


@dataclass(frozen=True)
class Snapshot:
    """The card through NVML; no identifier of host, card or processes."""

    available: bool
    """could the card be asked"""
    why: str | None
    """why not; null where it could"""
    taken_ms: Count
    """ms since the epoch"""
    temperature_c: Number | None
    """degrees Celsius"""
    power_w: NotNegative | None
    """W, drawn now"""
    power_limit_w: NotNegative | None
    """W, enforced limit"""
    sm_clock_mhz: NotNegative | None
    """MHz, now"""
    sm_clock_max_mhz: NotNegative | None
    """MHz, the most it can do"""
    memory_clock_mhz: NotNegative | None
    """MHz, now"""
    memory_clock_max_mhz: NotNegative | None
    """MHz, the most it can do"""
    memory_used_bytes: NotNegative | None
    """B in use on the card"""
    memory_total_bytes: NotNegative | None
    """B on the card"""
    utilisation_percent: NotNegative | None
    """%, share of the last sample period with a kernel running"""
    memory_utilisation_percent: NotNegative | None
    """%, share of that period with memory traffic"""
    throttle_reasons: tuple[str, ...] | None
    """NVML's clock event reasons, such as sw_power_cap or gpu_idle"""
    ecc: Ecc | None
    performance_state: Count | None
    """P-state, 0 is the fastest"""
    other_processes: Count | None
    """processes on the card that are not of this session; null where it cannot be known"""
    process_ids_visible: bool | None
    """do NVML's process ids mean anything here (in a container they may not)"""


@dataclass(frozen=True)
class Snapshots:
    """The card before loading and after the last pass."""

    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class Probes:
    """The machine itself."""

    read_bytes: Size
    """B that one read probe reads: at least 16 times the last-level cache"""
    read_samples_gbs: Series[Positive]
    """GB/s of a read-only reduction, before the model is built"""
    launch_samples_us: tuple[NotNegative, ...]
    """us of host time per null launch; empty on a CPU"""
    read_gbs: Positive
    """GB/s: the best read sample"""
    launch_us: NotNegative | None
    """us: median of the launch samples"""


@dataclass(frozen=True)
class Environment:
    """Versions and settings a number depends on."""

    python: str
    """version"""
    torch: str
    """version"""
    cuda: str | None
    """version torch was built for"""
    transformers: str | None
    """version"""
    triton: str | None
    """version"""
    kernel_package: str | None
    """versions of the packages that the cell's kernel and runtime come in; null where both are torch's"""
    driver: str | None
    """driver version"""
    threads: Size
    """intra-op threads of torch"""
    synchronise: str | None
    """how the host waits for the device: auto, spin, yield or blocking, a flag of the CUDA context"""
    driver_major: OrAbsent[str | None] = ABSENT
    """major version of the driver"""
    accelerate: OrAbsent[str | None] = ABSENT
    """version"""
    interop_threads: OrAbsent[Size] = ABSENT
    """inter-op threads of torch"""
    matmul_tf32: OrAbsent[bool] = ABSENT
    """TF32 in float32 products"""
    compile_cache_files: OrAbsent[Count] = ABSENT
    """files in torch.compile's cache when the session began: 0 unless a warm one was asked for"""
    garbage_collector: OrAbsent[str] = ABSENT
    """Python's, in the windows"""


@dataclass(frozen=True)
class Host:
    """The host, without anything that names it."""

    cpu: str
    """name of the processor"""
    cores: Size
    """logical processors this process may use"""
    memory_bytes: Count
    """B"""
    os: str
    """distribution and kernel release"""


@dataclass(frozen=True)
class Cost:
    """Seconds by phase, from the command to the record."""

    prefill: NotNegative
    """s in the prefills to ctx"""
    steps: NotNegative
    """s in the timed passes"""
    total: NotNegative
    """s from the command to the record"""
    start: OrAbsent[NotNegative] = ABSENT
    """s until the worker ran"""
    import_: OrAbsent[NotNegative] = ABSENT
    """s to import torch and transformers"""
    probe: OrAbsent[NotNegative] = ABSENT
    """s in the two probes"""
    build: OrAbsent[NotNegative] = ABSENT
    """s to build or load the model"""
    reference: OrAbsent[NotNegative] = ABSENT
    """s for reference and trusted eager"""
    verify: OrAbsent[NotNegative] = ABSENT
    """s for the gate's steps"""
    compile: OrAbsent[NotNegative] = ABSENT
    """s of torch.compile, its first calls included"""
    fixed: OrAbsent[Number | None] = ABSENT
    """s: total - prefill - steps - compile"""


@dataclass(frozen=True)
class Limits:
    """The limits this session was judged by."""

    r_floor: Number
    """largest possible r_floor"""
    drift: Number
    """largest |drift| without a flag"""
    other_cpu_cores: Number
    """cores of others without a flag"""
    verify_extra_bytes: Count
    """B, most that verify may take over weights and KV"""
    disturbed_share: OrAbsent[Positive] = ABSENT
    """from this share of the host's cores on, others disturb a session: it is taken out of its row's medians"""
    passes_disagreement: OrAbsent[Positive] = ABSENT
    """largest (slowest - fastest) / fastest of the passes over the same lengths without a flag"""
