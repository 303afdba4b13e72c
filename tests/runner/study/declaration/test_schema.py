"""docs/study.schema.json is what the declarations say, and agrees with the reader about what a study file is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runner.errors import DecodeFloorError
from runner.plan import fieldvalues
from runner.study.declaration import schema
from tests.support.processes import ROOT
from tests.support.studyfiles import read

COMMITTED: dict[str, Any] = json.loads((ROOT / "docs" / "study.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(COMMITTED)


def without_examples(value: Any) -> Any:
    """Returns a schema without its examples: a new GPU, model, format, kernel or runtime is no change of the schema."""
    if isinstance(value, dict):
        return {name: without_examples(item) for name, item in value.items() if name != "examples"}
    return value


def test_the_committed_file_is_what_the_command_prints() -> None:
    printed = json.loads(schema.text())
    assert without_examples(printed) == without_examples(COMMITTED), (
        "run: python -m runner.study.declaration.schema > docs/study.schema.json"
    )


def test_every_example_is_a_name_that_a_file_may_use() -> None:
    examples = {name: value["examples"] for name, value in COMMITTED["$defs"].items() if "examples" in value}
    assert examples.keys() == fieldvalues.WORDS.keys() - {*schema.FIXED}
    assert [(field, word) for field, words in examples.items() for word in words if not _is_known(field, word)] == []


def _is_known(field: str, word: str) -> bool:
    return fieldvalues.checked(field, word) == word


@pytest.mark.medium
def test_the_schema_is_one_and_every_key_and_field_is_described() -> None:
    VALIDATOR.check_schema(COMMITTED)
    assert [place for place, described in _properties(COMMITTED) if not described] == []


def _properties(value: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    for owner in (value, value["$defs"]["fields"]):
        yield from ((name, bool(item.get("description"))) for name, item in owner["properties"].items())


GOOD = (
    "matrix: {gpu: [h100, l4], ctx: [2048, '4096', auto], weights: [hub, ./folder], options: 'sdpa:math'}",
    "name: qwen2.5-7b\ndescription: text\nsessions: 1\nprotocol: tail\nmatrix: {device: 0, stack: modern}",
    "matrix: {gpu: [h100, l4]}\nexclude: [{gpu: l4}]\ninclude: [{gpu: cpu, where: here}]",
    "include: [{quant: awq, dtype: fp16}]\narms: {a: {ctx: 64}, b: {ctx: 128}}\nextension: 5",
    "matrix: {seed: 0, warmup: 1, steps: 3, windows: [1, 20]}\narms: {a: {}, b: {}}",
)
BAD = (
    "{}",
    "[]",
    "matrix: {}",
    "matrix: {gpus: l4}",
    "matrix: {study: x}",
    "matrix: {protocol: tail}",
    "matrix: {gpu: []}",
    "matrix: {gpu: [l4, l4]}",
    "matrix: {gpu: [[l4]]}",
    "matrix: {gpu: true}",
    "matrix: {gpu: null}",
    "matrix: {gpu: 'a b'}",
    "matrix: {ctx: 0}",
    "matrix: {ctx: 2.5}",
    "matrix: {ctx: -1}",
    "matrix: {seed: -1}",
    "matrix: {windows: 0}",
    "matrix: {dtype: fp8}",
    "matrix: {options: mode}",
    "matrix: {options: 'a:b,'}",
    "matrix: {gpu: l4}\nsession: 3",
    "matrix: {gpu: l4}\nsessions: 0",
    "matrix: {gpu: l4}\nsessions: true",
    "matrix: {gpu: l4}\nsessions: 10001",
    "matrix: {gpu: l4}\nextension: 5",
    "matrix: {gpu: l4}\nprotocol: custom",
    "matrix: {gpu: l4}\nname: a b",
    "matrix: {gpu: l4}\nname: auto",
    "matrix: {gpu: l4}\nname: floor.2",
    "matrix: {gpu: l4}\ndescription: 1",
    "matrix: {gpu: l4}\ninclude: []",
    "matrix: {gpu: l4}\nexclude: {gpu: l4}",
    "include: [{gpu: l4}]\nexclude: [{gpu: l4}]",
    "matrix: {gpu: l4}\narms: {a: {}}",
    "matrix: {gpu: l4}\narms: {a: {}, b: {}, c: {}}",
    "matrix: {gpu: l4}\narms: {a: {gpu: l4}, b: {gpu: h100}}",
    "matrix: {gpu: l4}\narms: {a: {seed: 0}, b: {seed: 1}}",
    "matrix: {gpu: l4}\narms: {a: {runtime: auto}, b: {runtime: eager}}",
    "matrix: {gpu: l4}\narms: {a: {ctx: 64, cache: static}, b: {ctx: 65, cache: static}}",
    "matrix: {gpu: l4}\narms: {a: {ctx: [64]}, b: {ctx: 65}}",
)


@pytest.mark.parametrize("text", GOOD)
def test_a_good_file_is_good_to_the_schema_and_the_reader(tmp_path: Path, text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    assert read(tmp_path, text).entries


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_bad_to_the_schema_and_the_reader(tmp_path: Path, text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
    with pytest.raises(DecodeFloorError):
        read(tmp_path, text)
