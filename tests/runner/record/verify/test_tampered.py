"""Somebody edits a committed record and derives all that follows again: `runner verify` names the edit, or
docs/verify.md lists it as one that cannot be seen."""

import json
import re
from pathlib import Path

import pytest

from runner.record.verify import recompute
from tests.support.edits import (
    all_of,
    called_failed,
    derived_again,
    drop,
    of_ctx,
    of_gate_version_1,
    passes_times,
    put,
    times,
    without_measurement,
)

ROOT = Path(__file__).parents[4]
GRAPH = next((ROOT / "experiments" / "gate").glob("llama-3.1-8b-2048-gptq-fp16-marlin-*.json"))
FIRST = min((ROOT / "experiments" / "records" / "h100").glob("qwen2.5-7b-2048-bf16-eager-static-*.json"))
FUSED = {
    name: min((ROOT / "experiments" / "records" / "h200").glob(f"{name}-bf16-fused-*.json"))
    for name in ("qwen2.5-7b-2048", "llama-3.1-8b-16384")
}
EDITS = {"graph, gate version 2": GRAPH, "eager, gate version 1": FIRST}
PAGE = (ROOT / "docs" / "verify.md").read_text()

HOUR_MS = 3_600_000
OPTIONS = "actual.settings.options"


def options(old, new):
    """Each `old` in the options with which the fused kernel was compiled is replaced."""
    return put(OPTIONS, lambda text: re.sub(old, new, text))


def phases(change):
    """The clocks of each phase, each step changed by a function."""
    return lambda found: found["phases"].update(
        {name: [change(value) for value in values] for name, values in found["phases"].items()}
    )


def exchanged(first, second):
    """Two phases have each other's clocks."""
    return lambda found: found["phases"].update(
        {first: found["phases"][second], second: found["phases"][first]},
    )


def without_sources(*kept):
    """The CUDA sources, but those of these names, are no longer among the files of the code."""
    return put(
        "keys.code_files",
        lambda files: [file for file in files if "/cuda/" not in file or file.rpartition("/")[2] in kept],
    )


def larger_by(size):
    """Both peaks of the memory are larger."""
    return all_of(*(put(f"memory.{name}", lambda peak: peak + size) for name in ("peak_bytes", "steps_peak_bytes")))


CAUGHT = {
    # the card, against the catalogue
    "half the bandwidth": (put("gpu.bandwidth_gbs", times(0.5)), "gpu.bandwidth_gbs: "),
    "twice the bandwidth": (put("gpu.bandwidth_gbs", times(2)), "gpu.bandwidth_gbs: "),
    "no bandwidth": (put("gpu.bandwidth_gbs", None), "gpu.bandwidth_gbs: None"),
    "no longer in the catalogue": (
        all_of(put("gpu.catalogued", False), put("gpu.bandwidth_gbs", None)),
        "gpu.catalogued: false",
    ),
    "another card's key": (all_of(put("gpu.key", "l4"), put("cell.gpu", "l4"), put("request.gpu", "l4")), "gpu."),
    "a card that nobody knows": (
        all_of(
            put("gpu.key", "x1"),
            put("cell.gpu", "x1"),
            put("request.gpu", "x1"),
            put("gpu.catalogued", False),
            put("gpu.bandwidth_gbs", None),
        ),
        "gpu.name: ",
    ),
    "another card's name": (put("gpu.name", "NVIDIA L4"), "gpu.name: 'NVIDIA L4' does not match the catalogue's"),
    "another capability": (put("gpu.compute_capability", "8.9"), "gpu.compute_capability: "),
    "half the memory": (put("gpu.memory_bytes", lambda size: size // 2), "gpu.memory_bytes: "),
    "twice the memory": (put("gpu.memory_bytes", lambda size: size * 2), "gpu.memory_bytes: "),
    "a cache that holds the weights": (put("gpu.last_level_cache_bytes", 10**11), "gpu.last_level_cache_bytes: "),
    "another driver": (put("gpu.driver", "470.1"), "gpu.driver: '470', but environment.driver_major"),
    "a clock above its maximum": (put("snapshots.after.sm_clock_mhz", 9999), "snapshots.after.sm_clock_mhz: "),
    "another card's snapshot": (put("snapshots.before.memory_total_bytes", 24 * 10**9), "snapshots.before.memory_tot"),
    # the request, against what was measured
    "asked for another model": (put("request.model", "qwen2.5-0.5b"), "request.model: "),
    "asked for another ctx": (put("request.ctx", "4096"), "request.ctx: 4096"),
    "asked for another quant": (put("request.quant", "bnb-nf4"), "request.quant: "),
    "asked for another kernel": (put("request.kernel", "torch-cpu"), "request.kernel: "),
    "asked for another runtime": (put("request.runtime", "compile"), "request.runtime: "),
    "asked for another cache": (put("request.cache", "dynamic"), "request.cache: "),
    "asked for another dtype": (put("request.dtype", "fp32"), "request.dtype: "),
    "asked for another card": (put("request.gpu", "a100"), "request.gpu: "),
    "asked for another seed": (put("request.seed", "7"), "session.seed: 0"),
    "another seed": (put("session.seed", 7), "session.seed: 7"),
    "another study": (put("session.study", "mine"), "session.study: 'mine'"),
    "asked for more steps": (put("request.steps", "300"), "protocol."),
    "asked for a checkpoint": (put("request.weights", "hub"), "request.weights: 'hub'"),
    "asked for a checkpoint, and its weights called the hub's": (
        all_of(put("request.weights", "local"), put("cell.weights_id", "0" * 40)),
        "request.weights: 'local'",
    ),
    "asked for the hub, and the weights called a folder's": (
        all_of(put("request.weights", "hub"), put("cell.weights_id", "content-0123456789abcdef")),
        "request.weights: 'hub'",
    ),
    "synthetic weights called converted": (put("given_flags", ["converted"]), "given_flags: 'converted', but"),
    "synthetic weights called unpinned": (put("given_flags", ["unpinned"]), "given_flags: 'unpinned', but"),
    "asked for a container": (put("request.where", "container"), "request.where: container"),
    "asked for other options": (put("request.options", "sdpa:flash"), "cell.options: "),
    "a number that is none": (put("request.steps", "many"), "request: steps=many"),
    # how it ended
    "called failed": (
        called_failed,
        "damaged record: outcome.status: failed, though the record has a measurement (snapshots, probes, prefill, ",
    ),
    "failed, with the time of its end": (
        lambda found: (without_measurement(found), found["session"].update(finished_ms=1)),
        "damaged record: outcome.status: failed, though the record has a measurement (session.finished_ms)",
    ),
    "failed for no reason": (
        lambda found: (without_measurement(found), found["outcome"].update(reason="tired")),
        "outcome.reason: 'tired' is not a known reason",
    ),
    "failed with another message": (
        lambda found: (without_measurement(found), found["outcome"].update(message="x")),
        "reasons: ",
    ),
    "failed, and flagged": (lambda found: (without_measurement(found), found.update(flags=["x"])), "flags: ['x']"),
    "measured, and killed": (put("outcome.signal", "SIGKILL"), "outcome: measured, but the section is"),
    "measured, with an exit code": (put("outcome.exit_code", 1), "outcome: measured, but the section is"),
    "an invented flag": (put("given_flags", ["fast"]), "given_flags: 'fast' is not one of"),
    "a protocol of another name": (put("protocol.name", "custom"), "protocol.name: 'custom', but the requested one"),
    "a protocol with other counts": (
        put("protocol.warmup", 50),
        "protocol: 50 warm-up and 30 timed steps, but paper has 5",
    ),
    # inside one pass
    "busy beyond its span": (put("passes.busy.steps_ms.3", 1e3), "passes.busy: kernels ran 1000 ms of step 3"),
    "one kernel faster": (put("kernels.0.us", times(0.5)), "kernels: "),
    "kernels that are not there": (put("kernels.0.count", times(2)), "kernels: "),
    "fewer kernels a step": (put("passes.busy.kernels", lambda counts: [1] * len(counts)), "kernels: "),
    "the wall pass again as span": (
        lambda found: put("passes.span.steps_ms", found["passes"]["wall"]["steps_ms"])(found),
        "passes.span: the same steps as passes.wall",
    ),
    "span, a nanosecond longer, as wall": (
        lambda found: put("passes.wall.steps_ms", [step + 1e-6 for step in found["passes"]["span"]["steps_ms"]])(found),
        "passes.span: the same steps times a factor as passes.wall",
    ),
    "span in another order as wall": (
        lambda found: put("passes.wall.steps_ms", found["passes"]["span"]["steps_ms"][::-1])(found),
        "passes.span: the same steps in another order as passes.wall",
    ),
    "the profiled steps as wall": (
        lambda found: put("passes.wall.steps_ms", found["passes"]["busy"]["span_ms"])(found),
        "passes.busy.span_ms: the same steps as passes.wall",
    ),
    "ten steps three times": (
        lambda found: put("passes.wall.steps_ms", found["passes"]["wall"]["steps_ms"][:10] * 3)(found),
        "passes.wall: repeats the same 10 steps",
    ),
    "fifteen steps of a span twice": (
        lambda found: put("passes.span.steps_ms", found["passes"]["span"]["steps_ms"][:15] * 2)(found),
        "passes.span: repeats the same 15 steps",
    ),
    "a kernel that outlasts its step": (put("kernels.0.us", times(1e5)), "kernels: "),
    "span faster than the floor": (put("passes.span.steps_ms", times(0.01)), "passes.span: "),
    "rate faster than the floor": (put("passes.rate.total_ms", times(0.01)), "passes.rate: "),
    "busy faster than the floor": (put("passes.busy.steps_ms", times(0.01)), "passes.busy: "),
    # what really ran
    "too few products": (put("actual.products_per_step", 100.0), "actual.products_per_step: 100"),
    "more products than kernels": (put("actual.products_per_step", 9999.0), "actual.products_per_step: 9999"),
    "no products": (drop("actual.products_per_step"), "actual.products_per_step: missing"),
    "other launches of graphs": (put("actual.graph_launches_per_step", 7.0), "actual.graph_launches_per_step: 7"),
    "no count of launches": (drop("actual.graph_launches_per_step"), "actual.graph_launches_per_step: missing"),
    "another attention": (put("actual.attention_backend", "math"), "actual.attention_backend: math, but the table"),
    "an undeclared option": (put("cell.options", {"mode": "turbo"}), "cell.options: 'mode:turbo' is not an option"),
    # memory, probes, prefill
    "a peak below the weights": (put("memory.peak_bytes", 10**9), "memory.peak_bytes: 1e+09, less than weights"),
    "a peak beyond the card": (put("memory.peak_bytes", 10**12), "memory.peak_bytes: 1e+12, more than"),
    "no word of what verify took": (put("memory.verify_extra_bytes", None), "memory.verify_extra_bytes: missing"),
    "no word of the card's memory": (drop("gpu.memory_bytes"), "gpu.memory_bytes: missing"),
    "no word of its cache": (put("gpu.last_level_cache_bytes", None), "gpu.last_level_cache_bytes: missing"),
    "no word of its capability": (drop("gpu.compute_capability"), "gpu.compute_capability: missing"),
    "no word of its driver": (put("gpu.driver", None), "gpu.driver: missing"),
    "a probe above the datasheet": (put("probes.read_samples_gbs", times(1.5)), "probes.read_samples_gbs: "),
    "the best sample of the probe left out": (
        put("probes.read_samples_gbs", lambda samples: sorted(samples)[:4]),
        "probes.read_samples_gbs: 4 samples, the probe takes 5",
    ),
    "samples of launches left out": (put("probes.launch_samples_us", [1.0]), "probes.launch_samples_us: 1 samples"),
    "a probe that fits in the cache": (put("probes.read_bytes", 10**6), "probes.read_bytes: 1000000"),
    "a prefill faster than its bytes": (put("prefill.ms", 0.5), "prefill.ms: 0.5, less than"),
    "a cold prefill faster than its bytes": (put("prefill.cold_ms", 0.5), "prefill.cold_ms: 0.5, less than"),
    # times
    "finished an hour later": (put("session.finished_ms", lambda ms: ms + HOUR_MS), "session.finished_ms: "),
    "begun an hour earlier": (put("session.started_ms", lambda ms: ms - HOUR_MS), "session.finished_ms: "),
    "a total of its own": (put("cost_s.total", times(2)), "session.finished_ms: "),
    "phases beyond the total": (put("cost_s.build", times(1e4)), "cost_s: "),
    "timed passes longer than their phase": (put("cost_s.steps", 0.01), "cost_s.steps: "),
    "prefills longer than their phase": (put("cost_s.prefill", 0.01), "cost_s.prefill: "),
    "a snapshot of another time": (put("snapshots.after.taken_ms", 1), "snapshots: taken at"),
    "snapshots in the other order": (
        lambda found: found["snapshots"].update(before=found["snapshots"]["after"], after=found["snapshots"]["before"]),
        "snapshots: taken at",
    ),
    # the gate
    "a cap of one's own": (put("gate.cap", 0.5), "gate.cap: "),
    "a looser limit": (put("limits.drift", 0.5), "limits.drift: "),
    "code of another version of the gate": (
        lambda found: put("keys.code_key", "0123456789ab" if "noise" in found["gate"] else "3fa3070776bb")(found),
        "gate.gate_version: ",
    ),
}
OF_VERSION_2 = {
    "taken back to gate version 1": (of_gate_version_1, "gate.gate_version: 1, but the code"),
    "the ratio of before": (
        all_of(put("gate.stated_ratio", 3.769), put("gate.stated_spread", 0.069)),
        "gate.stated_ratio: 3.769 stored",
    ),
    "another ctx, with its request and the gate's positions": (of_ctx(4096), "memory.held_bytes.step: "),
    "less held than the weights": (put("memory.held_bytes.weights", {"allocator": 1, "device": 1}), "memory.held_b"),
    "less held by the kernel": (put("memory.held_bytes.kernel", {"allocator": 1, "device": 1}), "memory.held_bytes.k"),
    "a limit left out": (lambda found: found["limits"].pop("drift"), "damaged record: limits.drift is missing"),
}

OF_FUSED = {
    # how the kernel was compiled
    "no facts of the build": (drop("actual.settings"), "actual.settings: missing"),
    "no options": (drop(OPTIONS), f"{OPTIONS}: missing"),
    "no registers": (drop("actual.settings.registers"), "actual.settings.registers: missing"),
    "more registers than a thread has": (put("actual.settings.registers", "256"), "actual.settings.registers: '256'"),
    "spilled registers": (put("actual.settings.spilled_bytes", "4000"), "actual.settings.spilled_bytes: '4000' is not"),
    "a hash of other digits": (put("actual.settings.cubin_sha256", "z" * 64), "actual.settings.cubin_sha256: "),
    "half a hash": (put("actual.settings.cubin_sha256", "0" * 32), "actual.settings.cubin_sha256: "),
    "a compiler without a version": (put("actual.settings.nvrtc", "new"), "actual.settings.nvrtc: 'new' is not"),
    "two layers": (options(r"LAYERS=\d+", "LAYERS=2"), f"{OPTIONS}: LAYERS: 2, but the model's is "),
    "two layers, defined again": (options("$", " --define-macro=LAYERS=2"), f"{OPTIONS}: 'LAYERS' is defined 2 times"),
    "no bias, or one": (
        options(r"QKV_BIAS=(\d)", lambda found: f"QKV_BIAS={1 - int(found[1])}"),
        f"{OPTIONS}: QKV_BIAS: ",
    ),
    "no number of layers": (options(r"--define-macro=LAYERS=\d+ ", ""), f"{OPTIONS}: LAYERS: None"),
    "a number of layers in words": (options(r"LAYERS=\d+", "LAYERS=all"), f"{OPTIONS}: 'LAYERS' has no number"),
    "copies as older cards make them": (
        options("$", " --define-macro=CP_ASYNC=1"),
        f"{OPTIONS}: no session defines 'CP_ASYNC'",
    ),
    "an instrumented build": (options("$", " --define-macro=STAMPS=1"), f"{OPTIONS}: no session defines 'STAMPS'"),
    "compiled for another card": (options("sm_90a", "sm_80"), f"{OPTIONS}: compiled for 'sm_80', but the card is sm_9"),
    "compiled for no card": (options("-arch=sm_90a ", ""), f"{OPTIONS}: compiled for '', but the card is sm_90"),
    "no number of blocks": (options(r"--define-macro=BLOCKS=\d+ ", ""), f"{OPTIONS}: without BLOCKS"),
    "two blocks": (options(r"BLOCKS=\d+", "BLOCKS=2"), f"{OPTIONS}: no layout for this model and card: "),
    "no sources of the kernel": (without_sources(), "keys.code_files: without fused/cuda/step.cu"),
    "no headers of the kernel": (without_sources("step.cu"), "keys.code_files: without a header of fused/cuda/step.cu"),
    "no source but a header": (without_sources("ring.cuh"), "keys.code_files: without fused/cuda/step.cu"),
    # its phases
    "no phases": (drop("phases"), "phases: missing"),
    "one phase less": (drop("phases.head"), "damaged record: phases.head is missing"),
    "a phase of another name": (put("phases.tail", [1.0] * 8), "damaged record: phases"),
    "a phase without clocks": (put("phases.out", [0.0] * 8), "phases.out: no clock in a step"),
    "phases of no steps": (
        lambda found: found["phases"].update({phase: [] for phase in found["phases"]}),
        "damaged record: phases.qkv: 0 items",
    ),
    "two phases exchanged": (exchanged("gate_up", "down"), "phases.gate_up: "),
    "two other phases exchanged": (exchanged("gate_up", "attention"), "phases.gate_up: "),
    "the head exchanged": (exchanged("gate_up", "head"), "phases.gate_up: "),
    "all phases twice as long": (phases(lambda clocks: 2 * clocks), "phases: a step of "),
    "all phases half as long": (phases(lambda clocks: clocks / 2), "phases.qkv: "),
    "one phase a little shorter": (put("phases.exchanges", times(0.9)), "phases.exchanges: "),
    # the rest
    "its token not read back": (put("actual.copies_per_step", 0.0), "actual.copies_per_step: 0.0, but a step of fused"),
    "both peaks 2 GB larger": (larger_by(2 * 10**9), "memory.steps_peak_bytes: "),
    "the peak 2 GB larger": (put("memory.peak_bytes", lambda peak: peak + 2 * 10**9), "memory.peak_bytes: "),
    "a smaller peak of the session": (put("memory.peak_bytes", lambda peak: peak - 10**6), "memory.steps_peak_bytes: "),
}

OF_VERSION_1 = {"a noise of one's own": (put("gate.noise", 0.05), "gate.noise: ")}
OLDER_CODE = all_of(of_gate_version_1, put("keys.code_key", "e0e330956044"))
UNSEEN = {
    "every timed series multiplied by a plausible factor": passes_times(0.9),
    "a slow step replaced by a fast one": lambda found: put(
        "passes.wall.steps_ms.0", min(found["passes"]["wall"]["steps_ms"]) * 1.0001
    )(found),
    "logit errors within the bound made smaller": put("gate.checks.2.errors", times(0.9)),
    "counters of a timed window set to zero": put("passes.wall.collected", 0),
    "use of the host's cores by other processes set to zero": put("passes.wall.other_cpu_cores", 0.0),
    "a throttle reason removed": put("snapshots.after.throttle_reasons", []),
    "temperature, power or clocks changed within their limits": put("snapshots.after.temperature_c", 30),
    "other processes on the card removed": put("snapshots.after.other_processes", 0),
    "a flag removed that was set before the session began": put("given_flags", []),
    "read samples changed below the datasheet's peak": put("probes.read_samples_gbs", times(1.01)),
    "cold and warm prefill exchanged": lambda found: found["prefill"].update(
        cold_ms=found["prefill"]["ms"], ms=found["prefill"]["cold_ms"]
    ),
    "launch samples changed": put("probes.launch_samples_us", times(1.1)),
    "peak memory changed between the held and the available memory": put(
        "memory.peak_bytes", lambda size: size + 10**6
    ),
    "another hash for the code, tree or host": all_of(put("keys.tree_key", "0" * 12), put("keys.host_id", "0" * 12)),
    "other files named as those of `code_key`": put("keys.code_files", ["cell/cell.py", "job.py"]),
    "versions in the environment changed, with the key that follows": put("environment.torch", "2.12.0"),
    "processor or system of the host changed": put("host.cpu", "another"),
    "phases changed within the total": put("cost_s.build", times(0.9)),
    "the whole session moved in time": lambda found: (
        [put(f"session.{name}", lambda ms: ms + HOUR_MS)(found) for name in ("started_ms", "finished_ms")],
        [put(f"snapshots.{name}.taken_ms", lambda ms: ms + HOUR_MS)(found) for name in ("before", "after")],
    ),
    "a measurement replaced by a failure": without_measurement,
    "another requested device, stack or index": all_of(put("request.device", "0"), put("request.stack", "paper")),
    "a kernel's name in the profile changed, if it carries no signature": put("kernels.-2.name", "another"),
}

UNSEEN_OF_FUSED = {
    "another hash for the compiled kernel, or another number of registers": all_of(
        put("actual.settings.cubin_sha256", "0" * 64), put("actual.settings.registers", "255")
    ),
    "constants of the ring changed, or other words among the options": all_of(
        options(r"SLOTS=\d+", "SLOTS=8"), options("$", " --use_fast_math")
    ),
    "phases exchanged that do not become faster than their bytes": exchanged("attention", "exchanges"),
    "clocks of a phase changed by whole clocks of all blocks, within the card's clock": phases(
        lambda clocks: clocks + 1
    ),
    "a header of the kernel's left out of the files of older code": put(
        "keys.code_files", lambda files: [file for file in files if not file.endswith("/ring.cuh")]
    ),
    "peak memory of a fused step changed within twice a prefill's estimate": larger_by(10**7),
}


def read(path):
    return json.loads(path.read_text())


@pytest.mark.medium
@pytest.mark.parametrize("path", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("name", CAUGHT)
def test_an_edit_is_named(path, name):
    edit, line = CAUGHT[name]
    found = read(path)
    edit(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith(line) for one in said), said


@pytest.mark.parametrize("name", OF_VERSION_2)
def test_an_edit_of_a_newer_session_is_named(name):
    edit, line = OF_VERSION_2[name]
    found = read(GRAPH)
    edit(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith(line) for one in said), said


@pytest.mark.medium
@pytest.mark.parametrize("path", FUSED.values(), ids=FUSED)
@pytest.mark.parametrize("name", OF_FUSED)
def test_an_edit_of_a_fused_session_is_named(path, name):
    edit, line = OF_FUSED[name]
    found = read(path)
    edit(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith(line) for one in said), said


@pytest.mark.parametrize("path", FUSED.values(), ids=FUSED)
@pytest.mark.parametrize("name", UNSEEN_OF_FUSED)
def test_an_edit_of_a_fused_session_that_cannot_be_seen_is_listed(path, name):
    found = read(path)
    UNSEEN_OF_FUSED[name](found)
    assert recompute.differences(derived_again(found)) == []
    assert f"| {name} |" in PAGE


@pytest.mark.parametrize("name", OF_VERSION_1)
def test_an_edit_of_an_older_session_is_named(name):
    edit, line = OF_VERSION_1[name]
    found = read(FIRST)
    edit(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith(line) for one in said), said


@pytest.mark.parametrize("path", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("name", UNSEEN)
def test_an_edit_that_cannot_be_seen_is_listed(path, name):
    """If it is seen one day, the page must no longer list it."""
    found = read(path)
    UNSEEN[name](found)
    assert recompute.differences(derived_again(found)) == []
    assert f"| {name} |" in PAGE


def test_a_session_that_is_presented_as_one_of_older_code_is_listed():
    found = read(GRAPH)
    OLDER_CODE(found)
    assert recompute.differences(derived_again(found)) == []
    assert "| a session presented as one of older code, with that code's key |" in PAGE


def test_the_page_lists_no_other_edits():
    section = PAGE.partition("## Undetectable edits of a record")[2].split("\n## ")[0]
    listed = re.findall(r"^\| (?!edit |---)([^|]+) \|", section, re.M)
    assert set(listed) == {*UNSEEN, *UNSEEN_OF_FUSED, "a session presented as one of older code, with that code's key"}
