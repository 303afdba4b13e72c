"""A bench as a person reads it."""

from __future__ import annotations

import json
from dataclasses import replace

from runner.bench.lines import lines
from runner.bench.result import CAVEATS, Bench
from runner.cell.jsonform import from_json
from runner.record.sections.surroundings import Snapshots
from tests.support.benches import example_bench
from tests.support.processes import ROOT

DOCS = ROOT / "docs"


def test_the_lines_have_each_speed_each_ratio_each_reason_and_the_limits() -> None:
    bench = example_bench()
    assert [*lines(bench)] == [
        "qwen2.5-7b 2048 bf16 static h200: 3 rounds of 30 steps each, after 5 to warm up",
        f"a step reads {bench.bytes.streamed / 1e9:.3f} GB: 3.000 ms at the 4800 GB/s of the datasheet (NVIDIA H200)",
        "",
        "runtime  ms/step     of the rounds  r_floor",
        "eager     20.000  19.500 to 21.000    0.150",
        "fused      3.900    3.500 to 4.000    0.769",
        "compile has no speed: gate ctx: logit error 1 exceeds the bound 0.03",
        "",
        "ratio          median   of the rounds",
        "eager / fused   5.000  5.000 to 6.000",
        "",
        *(f"note: {text}" for text in CAVEATS),
    ]


def test_a_card_without_a_datasheet_has_no_floor() -> None:
    bench = example_bench()
    unknown = replace(bench, floor_ms=None, entries=bench.entries[-1:], ratios=())
    found = [*lines(unknown)]
    assert "NVIDIA H200 has no datasheet here, so no r_floor" in found[1]
    assert found[3:6] == [
        "runtime  ms/step  of the rounds  r_floor",
        "compile has no speed: gate ctx: logit error 1 exceeds the bound 0.03",
        "",
    ]


def test_what_may_have_disturbed_the_bench_is_noted() -> None:
    bench = example_bench()
    before = bench.snapshots.before
    after = replace(before, other_processes=1, throttle_reasons=("hw_slowdown",))
    eager = bench.entries[0]
    busy = replace(eager, rounds=(replace(eager.rounds[0], other_cpu_cores=0.75), *eager.rounds[1:]))
    found = [*lines(replace(bench, snapshots=Snapshots(before, after), entries=(busy, *bench.entries[1:])))]
    assert [line for line in found if line.startswith("note: ")][:3] == [
        "note: other processes were on the card (shared-card)",
        "note: the card ran with a lower clock than it could (throttled)",
        "note: other processes used up to 0.75 CPU cores while steps were timed (host-busy)",
    ]


def test_the_page_on_runtimes_shows_the_committed_bench() -> None:
    found = json.loads((DOCS / "evidence" / "bench" / "h200-qwen2.5-7b-2048.json").read_text())
    shown = "\n".join(f"    {line}".rstrip() for line in lines(from_json(Bench, found)))
    assert shown in (DOCS / "runtimes.md").read_text()
