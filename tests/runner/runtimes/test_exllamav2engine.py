"""The engine's step over a pretended package: what it is told, what it leaves, and when its graphs are captured."""

import math
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from runner import runtimes
from runner.cell.floors import kv_alloc_tokens
from runner.declarations import POISON
from runner.worker import packedfolder, tokens

VOCAB, PADDED, LAYERS, HEADS, DIM = 50, 64, 2, 2, 4
ENGINE = "runner.runtimes._exllamav2engine"


class Config:
    def __init__(self, folder):
        self.folder, self.max_seq_len = folder, 2048
        self.vocab_size, self.no_sdpa, self.no_graphs = VOCAB, False, False
        self.no_flash_attn = self.no_xformers = False
        self.max_input_len, self.max_attention_size = 2048, 2048**2


class Cache:
    def __init__(self, engine, max_seq_len, lazy):
        assert lazy
        self.engine, self.max_seq_len, self.current_seq_len = engine, max_seq_len, -1
        size = (1, max_seq_len, HEADS, DIM)
        self.key_states = [torch.zeros(size) for _ in range(LAYERS)]
        self.value_states = [torch.zeros(size) for _ in range(LAYERS)]


class Engine:
    """Its logits count what it was asked: the best token after a token t at position p is (t + p) modulo VOCAB. The
    padding behind the vocabulary has larger logits still."""

    def __init__(self, config):
        self.config, self.calls, self.loaded = config, [], None
        self.modules = [SimpleNamespace(device=lambda: "cpu")]
        self.device_context = [SimpleNamespace(scratch_bytes=700), None, SimpleNamespace(scratch_bytes=77)]

    def load_autosplit(self, cache):
        self.loaded = cache

    def forward(self, ids, cache, last_id_only):
        assert last_id_only
        assert ids.device.type == "cpu"
        start, count = cache.current_seq_len, ids.shape[1]
        self.calls.append((start, ids[0].tolist(), self.config.no_sdpa))
        for index, states in enumerate([*cache.key_states, *cache.value_states]):
            states[0, start : start + count] = index + 1
        cache.current_seq_len += count
        logits = torch.zeros(1, 1, PADDED)
        logits[0, 0, VOCAB:] = 9.0
        logits[0, 0, (int(ids[0, -1]) + start + count - 1) % VOCAB] = 5.0
        return logits


@pytest.fixture
def module(monkeypatch):
    """The module of the step, which finds the pretended package."""
    package = ModuleType("exllamav2")
    package.ExLlamaV2, package.ExLlamaV2Cache, package.ExLlamaV2Config = Engine, Cache, Config
    package.attn = SimpleNamespace(has_flash_attn=False, has_xformers=False)
    monkeypatch.setitem(sys.modules, "exllamav2", package)
    monkeypatch.delitem(sys.modules, ENGINE, raising=False)
    monkeypatch.delattr(runtimes, "_exllamav2engine", raising=False)
    from runner.runtimes import _exllamav2engine

    yield _exllamav2engine
    sys.modules.pop(ENGINE, None)
    vars(runtimes).pop("_exllamav2engine", None)


@pytest.fixture
def drawn():
    return tokens.draw(VOCAB, 128, 0, torch.device("cpu"))


@pytest.fixture
def step(module, drawn):
    engine = Engine(Config("folder"))
    return module.EngineStep(engine, Cache(engine, 128, lazy=True), drawn)


def best(drawn, position):
    """What the engine answers to the trace's token at the position."""
    return (int(drawn.sequence[position]) + position) % VOCAB


def test_a_prompt_begins_with_an_empty_cache_and_each_step_follows_it(step, drawn):
    assert int(step.prefill(20)) == best(drawn, 19)
    assert [int(step()) for _ in range(3)] == [best(drawn, position) for position in (20, 21, 22)]
    assert int(step.prefill(5)) == best(drawn, 4)
    trace = drawn.sequence.tolist()
    assert [(start, ids) for start, ids, _ in step._engine.calls] == [
        (0, trace[:20]),
        (20, trace[20:21]),
        (21, trace[21:22]),
        (22, trace[22:23]),
        (0, trace[:5]),
    ]


def test_a_prompt_takes_the_way_that_has_a_causal_mask_and_a_step_the_fast_one(step):
    step.prefill(20)
    step()
    step.prefill(1)
    assert [no_sdpa for *_, no_sdpa in step._engine.calls] == [True, False, False]


def test_logits_are_of_the_vocabulary_without_its_padding(step, drawn):
    chosen = step.prefill(20)
    assert step.logits.shape == (VOCAB,)
    assert step.logits.argmax() == int(chosen) == best(drawn, 19)


def test_going_back_consumes_the_same_token_again(step, drawn):
    step.prefill(20)
    first = int(step())
    step()
    step.restart(20)
    assert int(step()) == first == best(drawn, 20)
    assert step._engine.calls[-1][:2] == (20, [int(drawn.sequence[20])])


def test_a_choice_is_consumed_where_the_trace_is_not_forced(step, drawn):
    chosen = int(step.prefill(20))
    drawn.forced.fill_(False)
    step()
    assert step._engine.calls[-1][:2] == (20, [chosen])


def test_rows_from_the_position_on_are_spoilt_in_keys_and_values(step):
    step.prefill(20)
    step.poison(18)
    assert all(map(math.isnan, step.logits.tolist()))
    left = step.rows(16, 22)
    assert left.shape == (6, 2 * LAYERS, HEADS * DIM)
    # what the engine wrote: 1 and 2 as keys, 3 and 4 as values
    assert left[:2].tolist() == [[[float(index + 1)] * 8 for index in range(4)]] * 2
    assert (left[2:] == POISON).all()


def test_settings_tell_what_the_package_chose_here(step, module, monkeypatch):
    assert dict(step.settings) == {
        "attention": "sdpa, a prompt by products with a mask",
        "embedding": "cpu",
        "graphs": "on",
        "max_input_len": "2048",
        "max_attention_size": "4194304",
        module.SCRATCH: "777",
        "cache": "Cache of 128",
    }
    step._engine.config.no_graphs = True
    assert step.settings["graphs"] == "off"
    monkeypatch.setattr(module.attn, "has_xformers", True)
    assert step.settings["attention"] == "xformers"
    monkeypatch.setattr(module.attn, "has_flash_attn", True)
    assert step.settings["attention"] == "flash-attn"
    step._engine.config.no_flash_attn = step._engine.config.no_xformers = True
    assert step.settings["attention"].startswith("sdpa")


@pytest.fixture
def built(module, drawn, tiny_job, monkeypatch):
    """A function that builds the step of a job: the step, and what was done with the model meanwhile."""
    done = []
    monkeypatch.setattr(packedfolder, "write", lambda *given: done.append(("write", given[-1].is_dir())))
    monkeypatch.setattr(packedfolder, "link", lambda *given: done.append(("link", given[-2].name)))
    monkeypatch.setattr(packedfolder, "release", lambda _model: done.append("release"))
    monkeypatch.setattr(module._sdpa, "allow_only", lambda backend: done.append(backend))

    def build(**changes):
        fields = {name: getattr(tiny_job, name) for name in ("shape", "protocol", "checkpoint")} | changes
        cell = SimpleNamespace(ctx=64, options={"sdpa": "flash"})
        return module.build(None, drawn, SimpleNamespace(cell=cell, **fields)), done

    return build


@pytest.mark.medium
@pytest.mark.parametrize(
    ("checkpoint", "way"), [(None, ("write", True)), ("/models/own", ("link", "own"))], ids=["synthetic", "checkpoint"]
)
def test_the_model_leaves_the_device_before_the_engine_is_loaded(built, checkpoint, way):
    step, done = built(checkpoint=checkpoint)
    assert done == ["flash", way, "release"]
    assert step._engine.loaded is step._cache


@pytest.mark.medium
def test_the_cache_holds_prompt_and_trace_and_the_engine_knows_it(built):
    step, _ = built()
    rows = kv_alloc_tokens(64, 5, 30)
    assert step._cache.max_seq_len == step._engine.config.max_seq_len == rows == 128


@pytest.mark.medium
def test_its_graphs_are_captured_before_anything_is_timed(built):
    """The package captures a graph at its 205th call (cuda/graph.cuh); a prompt's calls have none."""
    step, _ = built()
    single = [start for start, ids, _ in step._engine.calls if len(ids) == 1]
    assert len(single) >= 205
    assert set(single) == set(range(17, 25))  # of positions that the gate drives as well
