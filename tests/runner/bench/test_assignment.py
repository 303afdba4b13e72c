"""The assignment crosses as JSON and comes back the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from runner import job as jobs
from runner.bench.assignment import Assignment, Refusal
from runner.cell.jsonform import to_json
from runner.job import Job


def test_an_assignment_is_the_same_after_its_file(tiny_job: Job, tmp_path: Path) -> None:
    graph = replace(tiny_job, cell=replace(tiny_job.cell, runtime="graph"))
    order = Assignment((tiny_job, graph), (Refusal("fused", "why"),), 5, "/somewhere/found.json")
    (tmp_path / "job.json").write_text(json.dumps(to_json(order)))
    assert jobs.read(Assignment, tmp_path / "job.json") == order
    assert order.runtimes == ("eager", "graph")
