"""The command line: usage errors without passwords, and the commands that are no tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import cli, pagetext
from analysis.statistics import coverage, tailcoverage
from runner import layout
from runner.errors import BadRecord, Usage
from runner.record import record
from tests.support.noises import COMMITTED
from tests.support.records import example_record


def refusal(*arguments: str) -> str:
    """Returns the message of a command line that cannot be parsed."""
    with pytest.raises(Usage) as caught:
        cli.run(arguments)
    return str(caught.value)


def test_an_unknown_option_is_a_usage_error() -> None:
    assert "unknown option '--nonsense'" in refusal("floor", "--nonsense")


def test_a_usage_error_quotes_no_password() -> None:
    said = refusal("floor", "postgresql://tester:s3cret@db.example/mlflow")
    assert "unexpected extra argument" in said
    assert "db.example" in said
    assert "s3cret" not in said


@pytest.mark.medium
def test_a_command_starts_without_packages_that_only_some_need(tmp_path: Path) -> None:
    slow = ("scipy", "matplotlib", "mlflow", "pandas")
    (tmp_path / "record.json").write_text(json.dumps(example_record()), encoding="utf-8")
    code = (
        "import sys; from analysis import cli; cli.run(sys.argv[1:]);"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "floor", "--records", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_command_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    names = {line.split()[0] for line in capsys.readouterr().out.partition("Commands:")[2].splitlines() if line.strip()}
    assert {
        "ab",
        "choose",
        "compare",
        "coverage",
        "tail-coverage",
        "report",
        "tables",
        "floor",
        "graphs",
        "quant",
        "budget",
        "paper",
    } <= names


@pytest.mark.medium
@pytest.mark.parametrize("form", ["md", "json"])
def test_coverage_is_that_of_the_records_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    record.write(example_record(), tmp_path / "one.json")
    groups: list[object] = []

    def report(simulated: object) -> object:  # a simulation takes minutes
        groups.append(simulated)
        return COMMITTED

    monkeypatch.setattr(coverage, "report", report)
    arguments = ["coverage", "--records", str(tmp_path), "--format", form]
    done = CliRunner().invoke(cli.main, arguments, catch_exceptions=False)
    assert groups == [[]]  # a single session has no scatter
    assert done.stdout == coverage.markdown(COMMITTED) if form == "md" else json.loads(done.stdout) == COMMITTED


@pytest.mark.parametrize("form", ["md", "json", "text", "auto"])
def test_tail_coverage_is_printed_as_a_page_or_as_its_figures(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    committed = json.loads((Path(__file__).parents[2] / "docs" / "evidence" / "tail-coverage.json").read_text())
    monkeypatch.setattr(tailcoverage, "report", lambda: committed)  # a simulation takes minutes
    done = CliRunner().invoke(cli.main, ["tail-coverage", "--format", form], catch_exceptions=False)
    page = tailcoverage.markdown(committed)
    forms = {"md": page, "auto": page, "text": pagetext.text(page, layout.width())}
    assert done.stdout == forms[form] if form in forms else json.loads(done.stdout) == committed


@pytest.mark.medium
def test_an_ab_that_cannot_be_read_is_named_below_the_table(copied: Path) -> None:
    manifest = copied / "ab.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "seed": 7}))
    done = CliRunner().invoke(cli.main, ["ab", str(copied)])
    assert done.stdout.startswith("| gpu | model | ctx |")
    assert done.stderr.startswith(f"left out {manifest}: ")
    assert isinstance(done.exception, BadRecord)
    assert "the lines above name each of them" in str(done.exception)


@pytest.mark.medium
def test_figures_writes_an_svg_for_each_figure_that_has_something_to_show(tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "records" / "one.json")
    out = tmp_path / "out"
    done = CliRunner().invoke(cli.main, ["figures", "--records", str(tmp_path / "records"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    made = sorted(out.iterdir())
    assert [path.name for path in made] == ["budget.svg", "choose.svg", "floor-bandwidth.svg", "latency.svg"]
    assert sorted(done.stdout.splitlines()) == [str(path) for path in made]
    assert all(path.read_bytes().startswith(b"<svg ") for path in made)
