"""The surroundings of a session: the card's state, the machine's speed, versions, the host, and the time it took."""

from __future__ import annotations

from dataclasses import dataclass

from runner.cell.fieldtypes import ABSENT, Count, NotNegative, Number, OrAbsent, Positive, Series, Size


@dataclass(frozen=True)
class Ecc:
    """ECC, and its errors since the driver was loaded; null if the card has no ECC."""

    enabled: bool
    """whether ECC is on"""
    corrected: Count | None
    """number of corrected errors"""
    uncorrected: Count | None
    """number of uncorrected errors"""


@dataclass(frozen=True)
class Snapshot:
    """The card's state from NVML, without identifiers of host, card or processes."""

    available: bool
    """whether NVML could query the card"""
    why: str | None
    """the reason if it could not; else null"""
    taken_ms: Count
    """ms since the epoch"""
    temperature_c: Number | None
    """degrees Celsius"""
    power_w: NotNegative | None
    """W, current draw"""
    power_limit_w: NotNegative | None
    """W, enforced limit"""
    sm_clock_mhz: NotNegative | None
    """MHz, current clock"""
    sm_clock_max_mhz: NotNegative | None
    """MHz, maximum clock"""
    memory_clock_mhz: NotNegative | None
    """MHz, current clock"""
    memory_clock_max_mhz: NotNegative | None
    """MHz, maximum clock"""
    memory_used_bytes: NotNegative | None
    """B in use on the card"""
    memory_total_bytes: NotNegative | None
    """B on the card"""
    utilisation_percent: NotNegative | None
    """% of the last sample period with a kernel running"""
    memory_utilisation_percent: NotNegative | None
    """% of the last sample period with memory traffic"""
    throttle_reasons: tuple[str, ...] | None
    """NVML's clock event reasons, such as sw_power_cap or gpu_idle"""
    ecc: Ecc | None
    performance_state: Count | None
    """P-state; 0 is the fastest"""
    other_processes: Count | None
    """number of processes on the card that do not belong to this session; null if unknown"""
    process_ids_visible: bool | None
    """whether NVML's process ids are valid here (in a container they may not be)"""


@dataclass(frozen=True)
class Snapshots:
    """The card's state before loading and after the last pass."""

    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class Probes:
    """The probes of the machine's speed."""

    read_bytes: Size
    """B that a read probe reads: at least 16 times the last-level cache"""
    read_samples_gbs: Series[Positive]
    """GB/s of a read-only reduction, measured before the model is built"""
    launch_samples_us: tuple[NotNegative, ...]
    """us of host time per null launch; empty on a CPU"""
    read_gbs: Positive
    """GB/s: the largest read sample"""
    launch_us: NotNegative | None
    """us: median of the launch samples"""


@dataclass(frozen=True)
class Environment:
    """Versions and settings that a number depends on."""

    python: str
    """version of Python"""
    torch: str
    """version of torch"""
    cuda: str | None
    """CUDA version that torch was built for"""
    transformers: str | None
    """version of transformers"""
    triton: str | None
    """version of triton"""
    kernel_package: str | None
    """versions of the packages of the cell's kernel and runtime; null if both belong to torch"""
    driver: str | None
    """driver version"""
    threads: Size
    """number of torch's intra-op threads"""
    synchronise: str | None
    """method by which the host waits for the device: auto, spin, yield or blocking, a flag of the CUDA context"""
    driver_major: OrAbsent[str | None] = ABSENT
    """major version of the driver"""
    accelerate: OrAbsent[str | None] = ABSENT
    """version of accelerate"""
    interop_threads: OrAbsent[Size] = ABSENT
    """number of torch's inter-op threads"""
    matmul_tf32: OrAbsent[bool] = ABSENT
    """whether float32 products use TF32"""
    compile_cache_files: OrAbsent[Count] = ABSENT
    """number of files in torch.compile's cache when the session began: 0 unless a warm cache was requested"""
    garbage_collector: OrAbsent[str] = ABSENT
    """mode of Python's garbage collector in the timed windows"""


@dataclass(frozen=True)
class Host:
    """The host, without identifiers."""

    cpu: str
    """name of the processor"""
    cores: Size
    """number of logical processors that this process may use"""
    memory_bytes: Count
    """B of memory"""
    os: str
    """distribution and kernel release"""


@dataclass(frozen=True)
class HostConditions:
    """The declared condition of the host, as the worker observed it after the last pass; absent on the host as it
    is."""

    declared: str
    """the condition as requested: pinned:K or busy:N"""
    allowed_cores: Size
    """number of logical processors that the worker might use before"""
    cores: Size
    """number of logical processors that it and all of its threads could use"""
    neighbours: Count
    """number of processes that computed beside it, from before torch was imported"""
    neighbour_cores: NotNegative | None
    """CPU cores that these processes used together on average; null without neighbours, or if the host does not report
    it"""


@dataclass(frozen=True)
class Cost:
    """The seconds of each phase, from the command to the record."""

    prefill: NotNegative
    """s in the prefills to ctx"""
    steps: NotNegative
    """s in the timed passes"""
    total: NotNegative
    """s from the command to the record"""
    start: OrAbsent[NotNegative] = ABSENT
    """s until the worker started"""
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
    energy: OrAbsent[NotNegative] = ABSENT
    """s in the pass that measures energy"""
    fixed: OrAbsent[Number | None] = ABSENT
    """s: total - prefill - steps - compile - energy"""


@dataclass(frozen=True)
class Limits:
    """The limits by which this session was judged."""

    r_floor: Number
    """largest possible r_floor"""
    drift: Number
    """largest |drift| without a flag"""
    other_cpu_cores: Number
    """largest number of cores used by other processes without a flag"""
    verify_extra_bytes: Count
    """B: most that verify may use beyond weights and KV cache"""
    disturbed_share: OrAbsent[Positive] = ABSENT
    """share of the host's cores: if other processes use this much or more, the row's medians exclude the session,
    unless all of its sessions are disturbed"""
    passes_disagreement: OrAbsent[Positive] = ABSENT
    """largest difference without a flag between passes over the same context lengths, as a share of the step by the
    host's clock"""
    energy_disagreement: OrAbsent[Positive] = ABSENT
    """largest difference without a flag between the mean step while energy was measured and the step by the host's
    clock, as a share of the latter"""
