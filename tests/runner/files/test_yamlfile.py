"""YAML that people edit, on the catalogue: numbers as they write them, and one line for what is no mapping of names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.cell import catalogue
from runner.errors import BadValue
from tests.support.catalogues import model_entry, write
from tests.support.processes import ROOT


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("rms_norm_eps", "1e-5", 1e-5),
        ("rms_norm_eps", "1E-05", 1e-5),
        ("rms_norm_eps", "1.0e-5", 1e-5),
        ("rope_theta", "1e6", 1e6),
        ("rope_theta", "5.e5", 5e5),
        ("rope_theta", "1000000", 1e6),
        ("vocab", "1_000", 1000),
        ("vocab", "0x200", 512),
        ("vocab", "0512", 512),  # YAML 1.1 takes that for 330
    ],
)
def test_numbers_are_read_as_people_write_them(folder: Path, field: str, text: str, value: float) -> None:
    lines = yaml.safe_dump({"m": {**model_entry(), field: "HERE"}})
    (folder / "models.yaml").write_text(lines.replace("HERE", text))
    assert getattr(catalogue.models()["m"].shape, field) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:30", "'1:30' is not a number: write one"),
        ("1e-5x", "'1e-5x' is not a number: write one"),
        ("e5", "'e5' is not a number: write one"),
        ("1.2.3", "'1.2.3' is not a number: write one"),
        ("'1e-5'", "'1e-5' is not a number: write 1.0e-5"),
        ("'1e6'", "'1e6' is not a number: write 1000000.0"),
        ("'nan'", "'nan' is not a number: write one"),
        (".nan", "nan is not a positive number: write one"),
        (".inf", "inf is not a positive number: write one"),
        ("1e400", "inf is not a positive number: write one"),
    ],
)
def test_what_is_no_number_is_none(folder: Path, text: str, said: str) -> None:
    lines = yaml.safe_dump({"m": {**model_entry(), "rope_theta": "HERE"}})
    (folder / "models.yaml").write_text(lines.replace("HERE", text))
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value) == f"models.yaml: m.rope_theta: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m: {a: 1}\nn: {a: 1}\nm: {a: 2}\n", "models.yaml: 'm' occurs twice, in lines 1 and 3: keep one of them"),
        ("m:\n  a: 1\n  b: 2\n  'a': 3\n", "models.yaml: 'a' occurs twice, in lines 2 and 4: keep one of them"),
        ("m: &x {a: 1}\nn: {<<: *x, b: 1, b: 2}\n", "models.yaml: 'b' occurs twice, in lines 2 and 2: keep one of"),
    ],
)
def test_a_name_that_stands_twice_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "models.yaml").write_text(text)
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value).startswith(said)


def test_a_name_of_its_own_may_replace_one_that_is_merged_in(folder: Path) -> None:
    text = yaml.safe_dump({"m": model_entry()}).replace("m:\n", "m: &m\n", 1) + "n:\n  <<: *m\n  layers: 3\n"
    (folder / "models.yaml").write_text(text + "o:\n  <<: *m\n  layers: 4\n")
    assert [model.shape.layers for model in catalogue.models().values()] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"m: " + b"[" * 900, "its brackets or lists are nested too deeply"),
        (b"- " * 5000, "its brackets or lists are nested too deeply"),
        (b"m: {a: 1\n", "not YAML (line 2, column 1: did not find expected ',' or '}'"),
        (b"m: \x00\n", "not YAML (position 3: control characters are not allowed)"),
        (b"m: \xff\n", "not YAML (position 3: invalid leading UTF-8 octet)"),
        (b"m: 2026-02-30\n", "not YAML (line 1, column 4: no such timestamp (day is out of range for month))"),
        (b"m: !!int x\n", "not YAML (line 1, column 4: no such int (invalid literal"),
        (b"m: !!bool x\n", "not YAML (line 1, column 4: no such bool ('x'))"),
        (b"m: " + b"9" * 5000, "not YAML (line 1, column 4: no such int (more than 1000 digits))"),
        (b"m: 0x" + b"f" * 5000, "not YAML (line 1, column 4: no such int (more than 1000 digits))"),
        (b"{[1]: 2}\n", "not YAML (line 1, column 2: found unhashable key)"),
        (b"1: {}\n", "the name 1 is not text to YAML: write it in quotes"),
        (b"no: {}\n", "the name false is not text to YAML: write it in quotes"),
        (b"~: {}\n", "the name null is not text to YAML: write it in quotes"),
        (b"2026-02-01: {}\n", "the name datetime.date(2026, 2, 1) is not text to YAML: write it in quotes"),
    ],
)
def test_what_is_no_catalogue_is_one_line_with_the_place(folder: Path, text: bytes, said: str) -> None:
    (folder / "models.yaml").write_bytes(text)
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert said in str(caught.value)
    assert "byte string" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_merges_of_merges_are_as_long_as_their_names(folder: Path) -> None:
    """Each mapping merges nine copies of the one before it: with every copy kept, the last would fill any memory."""
    entry = yaml.safe_dump({"m0": model_entry()}).replace("m0:\n", "m0: &m0\n", 1)
    merges = (f"m{i}: &m{i}\n  <<: [{', '.join([f'*m{i - 1}'] * 9)}]\n" for i in range(1, 12))
    (folder / "models.yaml").write_text(entry + "".join(merges))
    assert len({model.shape for model in catalogue.models().values()}) == 1


@pytest.mark.medium
def test_without_libyaml_the_catalogue_is_the_same() -> None:
    script = "import sys; sys.modules['yaml._yaml'] = None; from runner.files import yamlfile; print(yamlfile.Events); "
    script += "from runner.cell import catalogue; print((catalogue.gpus(), catalogue.models()))"
    made = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.splitlines() == ["<class 'runner.files.yamlfile.Events'>", repr((catalogue.gpus(), catalogue.models()))]


def test_a_value_of_many_copies_is_shown_short(folder: Path) -> None:
    """Each list has nine times the one before it: written out, the last would fill any memory."""
    copies: list[Any] = ["x"]
    for _ in range(12):
        copies = [copies] * 9
    write(folder, "models.yaml", {"m": model_entry(name=copies)})
    with pytest.raises(BadValue, match=r"m\.name: \[.* is not text: write one$") as caught:
        catalogue.models()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("text", ["- a list\n", "a: [\n", ""])
def test_a_file_that_is_no_mapping_is_one_line(folder: Path, text: str) -> None:
    (folder / "gpus.yaml").write_text(text)
    with pytest.raises(BadValue, match=r"gpus\.yaml: (not YAML|must be a mapping)") as caught:
        catalogue.gpus()
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(BadValue, match=f"{folder}/gpus.yaml: cannot be read"):
        catalogue.gpus()
