"""A whole session in this process: a planted mutant makes its record invalid, a false kernel ends it."""

import json
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner import registry
from runner.cell import floors
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.errors import Mismatch, WorkerFailed
from runner.record import metrics
from runner.record.verify import recompute
from runner.runtimes import eager
from runner.worker import energy, model, readings, session
from runner.worker.progress import Clock
from tests.fakes.energy import STEP_W, Meter
from tests.fakes.pynvml_fake import FIRST
from tests.support.derive import judge, typed
from tests.support.mutants import MUTANTS

pytestmark = pytest.mark.usefixtures("quick_probe")

CTX = 64


@pytest.fixture
def measure(tiny_job, monkeypatch):
    """A function that runs the tiny session with a mutant planted in the step that is timed."""
    Path(tiny_job.record_path).parent.mkdir()

    def run(mutant=None, changes=None, **cell):
        job = replace(tiny_job, cell=replace(tiny_job.cell, **cell), **(changes or {}))
        with ExitStack() as planted:
            build = eager.build

            def build_broken(*arguments):
                step = build(*arguments)
                if mutant is not None:
                    planted.enter_context(mutant(step))
                return step

            monkeypatch.setattr(eager, "build", build_broken)
            planted.enter_context(torch.inference_mode())  # where a mutant is taken out again
            return to_json(session.run(job, Clock(1_000, 0.0)))

    return run


@contextmanager
def late(step):
    """Right for as long as the gate's own steps last, wrong at the end of every timed pass."""
    forward = step.forward
    first_wrong = CTX + floors.teacher_forced_steps(CTX, 5, 30)

    def shifted(tokens, positions):
        return forward(tokens, positions + (1 if len(positions) == 1 and int(positions) >= first_wrong else 0))

    step.forward = shifted
    yield


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_the_right_path_is_valid_and_its_record_follows_from_its_raw_values(measure, cache, tiny_job):
    found = measure(cache=cache)
    assert found["valid"], found["reasons"]
    assert recompute.differences(json.loads(Path(tiny_job.record_path).read_text())) == []


WINDOWS = Protocol("custom", 2, 34, windows=3)


@pytest.mark.slow
def test_a_session_with_several_windows_is_valid_and_its_record_follows_from_its_raw_values(measure, tiny_job):
    found = measure(changes={"protocol": WINDOWS}, cache="static")
    assert found["valid"], found["reasons"]
    assert [len(window) for window in found["passes"]["wall"]["windows_us"]] == [34] * 3
    assert found["passes"]["wall"]["voluntary_switches"] >= 0
    # a CPU chooses the same tokens in every window
    (tokens,) = found["gate"]["tokens"]
    assert (tokens["name"], tokens["also"]) == ("wall window 1", ["wall window 2", "wall window 3"])
    assert [rows["name"] for rows in found["gate"]["rows"]] == [*WINDOWS.wall_windows]
    assert recompute.differences(json.loads(Path(tiny_job.record_path).read_text())) == []


@contextmanager
def wrong_in_second_window(step):
    """Right until it has been restarted at ctx for the second time, and again from the third time on."""
    restart, forward, restarts = step.restart, step.forward, []

    def counting(position):
        restarts.append(position)
        restart(position)

    def wrong_then(tokens, positions):
        is_wrong = restarts.count(CTX) == 2 and len(positions) == 1
        return forward(tokens, positions + (1 if is_wrong else 0))

    step.restart, step.forward = counting, wrong_then
    yield


@pytest.mark.slow
def test_a_single_wrong_window_makes_the_session_invalid(measure):
    found = measure(wrong_in_second_window, {"protocol": WINDOWS}, cache="static")
    assert not found["valid"]
    assert any("gate wall window 2" in reason for reason in found["reasons"]), found["reasons"]
    assert not any("window 1" in reason or "window 3" in reason for reason in found["reasons"])


@pytest.mark.slow
@pytest.mark.parametrize("has_other_head", [False, True])
def test_a_record_accounts_what_was_loaded(measure, has_other_head, tiny_job, tmp_path):
    """A tied model is untied by a folder that stores another head; the parent has read only its config."""
    shape = replace(tiny_job.shape, tied_embedding=True)
    folder = tmp_path / "folder"
    model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, torch.device("cpu"))).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding.flip(0) if has_other_head else embedding.clone()
    save_file(tensors, folder / "model.safetensors")
    found = measure(changes={"checkpoint": str(folder), "shape": shape}, model="own", weights_id="content-0")
    assert found["valid"], found["reasons"]
    assert found["model"]["shape"]["tied_embedding"] is not has_other_head
    assert found["bytes"]["embedding"] == (512 * 128 * 2 if has_other_head else 0)
    assert found["bytes"]["weights"] == registry.weight_bytes("bf16", None, shape, 2) + found["bytes"]["embedding"]


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_makes_the_record_invalid(measure, name, cache):
    found = measure(MUTANTS[name], cache=cache)
    assert not found["valid"]
    assert any(reason.startswith("gate ") for reason in found["reasons"])


@pytest.mark.slow
def test_what_only_the_end_of_a_timed_pass_shows_is_seen_there(measure):
    found = measure(late)
    failed = {reason.split(":")[0] for reason in found["reasons"]}
    assert failed == {"gate wall", "gate revisit"}


@pytest.mark.slow
def test_a_kernel_whose_name_is_not_in_the_profile_ends_the_session(measure, monkeypatch):
    module = registry.kernel("torch-cpu")
    monkeypatch.setattr(module, "DECLARATION", replace(module.DECLARATION, signatures=("marlin",)))
    with pytest.raises(Mismatch, match="kernel torch-cpu was requested"):
        measure()


@pytest.mark.slow
def test_another_cache_than_asked_for_ends_the_session(measure, monkeypatch):
    from runner.worker import caches

    make = caches.make
    monkeypatch.setattr(caches, "make", lambda _kind, config, tokens: make("static", config, tokens))
    with pytest.raises(Mismatch, match="cache dynamic was requested, but static ran"):
        measure()


@pytest.mark.slow
def test_the_option_sdpa_leaves_one_backend(measure):
    found = measure(options={"sdpa": "math"})
    assert found["actual"]["attention_backend"] == "math"
    assert found["valid"]
    with pytest.raises(Mismatch, match="no attention backend that this cell allows"):
        measure(options={"sdpa": "cudnn"})


@pytest.mark.slow
def test_a_garbage_collection_in_a_window_makes_it_invalid(measure):
    found = measure()
    found["passes"]["wall"]["collected"] = 1
    judge(found)
    assert found["reasons"] == ["1 garbage collections inside the wall window"]


@contextmanager
def hung(step):
    """Its third step never ends, and is stopped by its kernel's own limit."""
    decode, calls = step.decode_one_token, []

    def stops():
        calls.append(None)
        if len(calls) < 3:
            return decode()
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    step.decode_one_token = stops
    step.stuck = lambda: "the fused step waited too long for activations (layer 1, block 0)" if len(calls) > 2 else None
    yield


@pytest.mark.medium
def test_a_hung_step_ends_the_session_with_the_place_and_without_a_record(measure, tiny_job):
    with pytest.raises(WorkerFailed, match=r"^the fused step waited too long for activations \(layer 1, block 0\)$"):
        measure(hung)
    assert not Path(tiny_job.record_path).exists()


class Ticks:
    """A clock of which each look takes 50 ms at the power of a step, and each nap what it says at that of an idle card:
    a step of the tiny model takes no time of its own."""

    LOOK_S = 0.05

    def __init__(self):
        self.meter = Meter()

    def perf_counter(self):
        self.meter.spend(self.LOOK_S, STEP_W)
        return self.meter.now_s

    def sleep(self, seconds):
        self.meter.idle(seconds)


@pytest.fixture
def metered(monkeypatch):
    """A pretended card with an energy counter for a session on the CPU."""
    ticks = Ticks()
    ticks.meter.install(monkeypatch)
    for module in (energy, readings):
        monkeypatch.setattr(module, "time", ticks)
    monkeypatch.setattr(session.card, "check", lambda _device: None)
    return ticks.meter


def of_card(job):
    return {"energy": True, "device": replace(job.device, uuid=FIRST), "request": {**job.request, "energy": "on"}}


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["static", "dynamic"])
def test_the_energy_of_a_step_is_measured_and_its_steps_are_checked(measure, metered, tiny_job, cache):
    found = measure(changes=of_card(tiny_job), cache=cache)
    assert found["valid"], found["reasons"]
    assert found["energy"]["joules_per_token"] > 0
    assert found["energy"]["uncertainty"] <= 0.01
    assert {each["name"] for each in found["gate"]["tokens"]} >= {"wall", "energy"}
    assert {each["name"] for each in found["gate"]["rows"]} >= {"wall", "energy"}
    # the card is pretended, and what NVML says of it before and after the session is that of a GPU
    lines = [line for line in recompute.differences(found) if line.startswith(("energy", "gate", "passes", "cost_s"))]
    assert [line for line in lines if not line.startswith(("energy: present, but the cell", "cost_s.energy"))] == []
    assert metered.now_s > 7_000


@pytest.mark.slow
def test_a_card_without_a_counter_does_not_cost_the_session(measure, metered, tiny_job):
    metered.card.unsupported = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage")
    found = measure(changes=of_card(tiny_job))
    assert found["valid"], found["reasons"]
    assert found["energy"] == {"unavailable": "NVML reports neither an energy counter nor the power of this card"}
    assert [each["name"] for each in found["gate"]["tokens"]] == ["wall", "revisit"]


@pytest.mark.slow
@pytest.mark.usefixtures("metered")
def test_a_step_that_is_wrong_only_while_energy_is_measured_makes_the_session_invalid(measure, tiny_job, monkeypatch):
    """It chooses another token once in all of these steps."""
    repeated = energy.Repeated
    calls = []

    class Wrong(repeated):
        def run(self):
            super().run()
            calls.append(1)
            if len(calls) == 100:  # the counter's interval took 22
                self.tokens[-1] = (self.tokens[-1] + 1) % tiny_job.shape.vocab

    monkeypatch.setattr(energy, "Repeated", Wrong)
    found = measure(changes=of_card(tiny_job), cache="static")
    assert any("energy" in reason for reason in found["reasons"]), found["reasons"]
    assert "energy/joules_per_token" not in metrics.values(typed(found))
