"""The command `choose`: its table, its forms, its figure and its failures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analysis import cli
from runner.errors import BadRecord, DeadlineMissed, NoEvidence
from runner.record import record
from tests.support.records import example_record


def choose(folder: Path, *arguments: str) -> Result:
    record.write(example_record(), folder / "records" / "one.json")
    return CliRunner().invoke(cli.main, ["choose", "--records", str(folder / "records"), *arguments])


@pytest.mark.medium
def test_choose_prints_its_table_before_it_says_that_nothing_meets_the_deadline(tmp_path: Path) -> None:
    met = choose(tmp_path, "--gpu", "h200", "--deadline-ms", "50")
    assert (met.exit_code, met.exception) == (0, None)
    assert met.stdout.startswith("| gpu | quant | kernel | runtime | ")
    missed = choose(tmp_path, "--gpu", "h200", "--deadline-ms", "1")
    assert isinstance(missed.exception, DeadlineMissed)
    assert missed.stdout.count("| too slow |") > 1
    unknown = choose(tmp_path, "--gpu", "h200", "--miss", "0.001")
    assert isinstance(unknown.exception, NoEvidence)
    assert "| not enough steps |" not in met.stdout
    assert "| too few sessions |" in unknown.stdout


@pytest.mark.medium
@pytest.mark.parametrize("prefill", [("--prefill",), ("--prefill", "on")])
def test_choose_shows_the_first_token_on_request(tmp_path: Path, prefill: tuple[str, ...]) -> None:
    assert "first token ms" in choose(tmp_path, *prefill, "--tokens", "1").stdout
    assert "first token ms" not in choose(tmp_path).stdout


@pytest.mark.medium
@pytest.mark.parametrize("form", ["csv", "json", "text"])
def test_choose_has_other_forms(tmp_path: Path, form: str) -> None:
    done = choose(tmp_path, "--format", form, "--gpu", "h200,l4", "--price", "l4=0.35", "--price", "h200=3.6")
    assert done.exit_code == 0, done.output
    if form == "json":
        row = next(row for row in json.loads(done.stdout) if row["basis"] == "measured here")
        assert row["usd_per_mtok"] == pytest.approx(row["step_wall_ms"])  # 3.6 $/h are 1 $ per million ms
    assert ("--format md shows every column" in done.stdout) == (form == "text")


@pytest.mark.medium
def test_choose_draws_the_distribution_of_steps(tmp_path: Path) -> None:
    done = choose(tmp_path, "--figure", str(tmp_path / "steps.svg"))
    assert (tmp_path / "steps.svg").read_bytes().startswith(b"<svg ")
    assert "nothing to draw" not in done.stderr
    (tmp_path / "empty").mkdir()
    arguments = ["choose", "--records", str(tmp_path / "empty"), "--figure", str(tmp_path / "none.svg")]
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0
    assert "nothing to draw" in done.stderr
    assert not (tmp_path / "none.svg").exists()


@pytest.mark.medium
def test_choose_names_what_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "two.json").write_text("{")
    done = choose(tmp_path)
    assert isinstance(done.exception, BadRecord)
    assert "left out" in done.stderr
    assert "| h200 | " in done.stdout
