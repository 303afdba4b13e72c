"""The places of a session's findings in the record: bytes, facts of the device, keys and the cost by phase."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import to_json
from runner.record import record
from runner.record.sections.head import MeasuredKeys
from runner.worker import assemble, timing
from runner.worker.assemble import Findings
from runner.worker.progress import Clock
from tests.support.derive import typed
from tests.support.records import cpu_record

EXAMPLE = typed(cpu_record())


def findings(job, **changes):
    """The findings of a session whose sections are those of an example."""
    timed = timing.Timed(EXAMPLE.passes, (), EXAMPLE.actual, EXAMPLE.gate)
    names = ("snapshots", "probes", "prefill", "phases", "energy", "memory", "environment")
    sections = {name: getattr(EXAMPLE, name) for name in names}
    return Findings(**{"job": job, "weight_bytes": 222, "timed": timed, **sections, **changes})


@pytest.mark.medium
def test_accounted_and_measured_bytes_go_where_they_belong(monkeypatch, tiny_job):
    monkeypatch.setattr(assemble.registry, "weight_bytes", lambda *_: 111)
    clock = Clock(1_000, 0.0)
    clock.seconds |= {"prefill": 1.0, "steps": 2.0}
    made = assemble.measured(findings(tiny_job), clock)
    assert (made.bytes.weights, made.bytes.weights_measured) == (111, 222)
    assert not made.valid
    assert made.reasons == ("weights take 222 bytes on the device, accounted 111",)
    assert made.memory == EXAMPLE.memory
    assert made.environment == EXAMPLE.environment


def test_facts_of_a_card_are_its_own(monkeypatch, tiny_job):
    properties = SimpleNamespace(total_memory=80, major=9, minor=0, L2_cache_size=50)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    card = assemble.device_info(replace(tiny_job.device, kind="cuda"))
    assert (card.last_level_cache_bytes, card.memory_bytes, card.compute_capability) == (50, 80, "9.0")
    processor = assemble.device_info(tiny_job.device)
    assert (processor.key, processor.memory_bytes, processor.compute_capability) == ("cpu", ABSENT, ABSENT)


def test_the_cost_is_by_phase_and_in_all_from_the_commands_start(monkeypatch, tiny_job):
    """The command began 5 s ago."""
    monkeypatch.setattr(assemble.codekey, "code_key", lambda: "code")
    monkeypatch.setattr(assemble.codekey, "code_files", lambda: ("cell/cell.py", "job.py"))
    monkeypatch.setattr(assemble.codekey, "tree_key", lambda: "tree")
    monkeypatch.setattr(assemble.host, "host_id", lambda uuid: f"host of {uuid}")
    started_ms = int((time.time() - 5) * 1e3)
    job = replace(
        tiny_job,
        session=replace(tiny_job.session, started_ms=started_ms),
        device=replace(tiny_job.device, uuid="GPU-1"),
    )
    clock = Clock(started_ms, time.monotonic() - 5)
    clock.seconds = {"build": 1.23456, "prefill": 1.0, "steps": 2.0}
    made = assemble.measured(findings(job), clock)
    env_key = record.env_key(EXAMPLE.environment)
    assert made.keys == MeasuredKeys(
        job.cell.key, "code", "tree", env_key, host_id="host of GPU-1", code_files=("cell/cell.py", "job.py")
    )
    assert made.outcome.status == "measured"
    assert made.cost_s.build == 1.235
    assert 5 <= made.cost_s.total < 60
    assert made.cost_s.fixed == pytest.approx(made.cost_s.total - 3.0)
    assert 5_000 <= made.session.finished_ms - started_ms < 60_000


@pytest.mark.medium
def test_files_outside_the_package_are_not_named(monkeypatch, tiny_job):
    monkeypatch.setattr(assemble.codekey, "code_files", lambda: None)
    clock = Clock(1_000, 0.0)
    clock.seconds |= {"prefill": 1.0, "steps": 2.0}
    assert "code_files" not in to_json(assemble.measured(findings(tiny_job), clock).keys)
