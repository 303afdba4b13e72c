"""The numbers of a bench follow from its raw steps; its file comes back the same, and is no record."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from runner.bench import result
from runner.bench.result import Bench, Ratio, Speed
from runner.cell.jsonform import from_json
from runner.errors import BadRecord
from runner.record import record
from tests.support.benches import ROUNDS, example_bench
from tests.support.processes import Main


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The file of the example."""
    path = tmp_path / "found.json"
    path.write_text(result.dump(example_bench()))
    return path


def test_a_speed_is_the_median_of_the_rounds_medians() -> None:
    # eager's medians are 20, 21 and 19.5; a floor of 3 ms is 3 / 20 of their median
    assert result.speed(ROUNDS["eager"], 3.0) == Speed(20.0, 19.5, 21.0, 0.15)
    assert result.speed(ROUNDS["fused"], None) == Speed(3.9, 3.5, 4.0, None)


def test_a_ratio_compares_the_medians_of_the_same_round() -> None:
    # 20 / 4 = 5, 21 / 3.5 = 6, 19.5 / 3.9 = 5: not 20 / 3.9 = 5.13
    assert result.ratios(ROUNDS) == (Ratio("eager", "fused", 5.0, 5.0, 6.0),)


def test_runtimes_of_other_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        result.ratios({"eager": ROUNDS["eager"], "fused": ROUNDS["fused"][:2]})


def test_each_pair_has_a_ratio_in_the_order_of_the_request() -> None:
    three = {"graph": ROUNDS["eager"], **ROUNDS}
    assert [(each.over, each.under) for each in result.ratios(three)] == [
        ("graph", "eager"),
        ("graph", "fused"),
        ("eager", "fused"),
    ]
    assert result.ratios({"eager": ROUNDS["eager"]}) == ()


def test_a_speed_beyond_the_cards_bandwidth_is_a_reason() -> None:
    assert not [*result.impossible(Speed(1.0, 1.0, 1.0, 1.02))]
    assert not [*result.impossible(Speed(1.0, 1.0, 1.0, None))]
    assert [*result.impossible(Speed(1.0, 1.0, 1.0, 1.03))] == ["r_floor 1.030 is impossible (above 1.02)"]


def test_rounds_go_forwards_and_backwards_and_then_from_the_next_runtime_on() -> None:
    assert ["".join(turn) for turn in result.turns("abcd", 5)] == ["abcd", "dcba", "bcda", "adcb", "cdab"]
    assert ["".join(turn) for turn in result.turns("ab", 4)] == ["ab", "ba", "ba", "ab"]
    assert result.turns("a", 2) == (("a",), ("a",))
    assert result.turns("", 4) == ()


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_no_runtime_has_always_the_same_place_or_the_same_one_before_it(names: str) -> None:
    turns = result.turns(names, 5)
    for name in names:
        assert len({turn.index(name) for turn in turns}) > 1
        before = {turn[turn.index(name) - 1] if turn[0] != name else None for turn in turns}
        assert len(before) > 1


def test_the_file_comes_back_the_same_and_begins_with_its_schema(written: Path) -> None:
    found = json.loads(written.read_text())
    assert from_json(Bench, found) == example_bench()
    assert [*found][:3] == ["schema", "version", "caveats"]
    assert (found["schema"], found["version"]) == ("decode-floor.bench", 1)


def test_a_number_that_json_lacks_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        result.dump(replace(example_bench(), floor_ms=math.nan))


def test_the_file_is_refused_as_a_record(written: Path) -> None:
    with pytest.raises(BadRecord, match=r"found.json: a file of the schema 'decode-floor.bench', not a record"):
        record.read(written)


@pytest.mark.parametrize("command", ["verify", "import"])
@pytest.mark.medium
def test_a_command_that_takes_records_says_that_it_is_none(written: Path, main: Main, command: str) -> None:
    code, out, err = main(command, str(written.parent))
    assert code == BadRecord.exit_code
    assert "a file of the schema 'decode-floor.bench', not a record" in out + err
