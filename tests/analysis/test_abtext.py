"""A/Bs as blocks for a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis import ab, abtext
from analysis.ab import Measured
from tests.support.commands import command
from tests.support.terminals import at_terminal

ROOT = Path(__file__).parents[2]
AB = next((ROOT / "experiments" / "records" / "h200").glob("ab-qwen2.5-7b-16384-eager-graph-*"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured() -> Measured:
    return ab.read(AB / "ab.json")


def fields(text: str) -> dict[str, str]:
    """Returns the texts by their labels."""
    return {line[2:12].strip(): line[12:] for line in text.splitlines()[1:]}


def test_a_block_has_arms_ratio_interval_verdict_and_flags(measured: Measured) -> None:
    text = abtext.text([measured], 200)
    found, compared = fields(text), measured.comparison
    assert text.startswith("A/B eager/graph qwen2.5-7b 16384 bf16 static h200\n")
    assert found["arm a"] == f"{compared.a_ms:.3f} ms  eager"
    assert found["arm b"] == f"{compared.b_ms:.3f} ms  graph"
    span = f"{compared.low:.3f}–{compared.high:.3f}"
    assert found["a / b"] == f"{compared.ratio:.3f}, 93.75 % interval {span}, from 5 sessions of each arm"
    assert found["verdict"] == f"FASTER: {compared.reason}"
    assert found["flags"] == "drifting, gate-1, passes-disagree (docs/flags.md)"


def test_below_five_sessions_there_is_a_range_and_no_verdict(measured: Measured) -> None:
    few = replace(measured.comparison, interval="range", verdict=None, sessions=2)
    found = fields(abtext.text([replace(measured, comparison=few)], 200))
    assert ", range " in found["a / b"]
    assert found["verdict"].startswith("none: ")
    found = fields(abtext.text([replace(measured, comparison=replace(few, interval="none"))], 200))
    assert found["a / b"] == f"{few.ratio:.3f}, from 2 sessions of each arm"


def test_several_blocks_are_apart_and_fit_the_width(measured: Measured) -> None:
    text = abtext.text([measured, measured], 60)
    assert text.count("\n\nA/B ") == 1
    assert max(map(len, text.splitlines())) <= 60


def on_a_terminal(*arguments: str) -> str:
    """Returns what `analysis ab` writes to a terminal of 80 columns."""
    return at_terminal(80, "ab", str(AB), *arguments)


def into_a_pipe(*arguments: str) -> str:
    return command("ab", str(AB), *arguments, COLUMNS="80").stdout


def test_a_terminal_gets_the_block_and_a_pipe_the_table(measured: Measured) -> None:
    block = abtext.text([measured], 80)
    assert on_a_terminal() == block
    assert into_a_pipe("--format", "text") == block
    assert into_a_pipe().startswith("| gpu | model | ctx |")
    assert on_a_terminal("--format", "md").startswith("| gpu | model | ctx |")
