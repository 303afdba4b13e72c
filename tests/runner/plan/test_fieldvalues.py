"""What can be said of a field's value without the other fields."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.errors import BadValue, DecodeFloorError, NotAvailable, UnknownName
from runner.plan import fieldvalues
from runner.plan.request import Request
from tests.support.catalogues import gpu_entry, write

FIELDS = [field.name for field in fields(Request)]


def test_every_field_of_a_request_is_described() -> None:
    assert [*fieldvalues.DESCRIPTIONS] == FIELDS
    assert {*fieldvalues.WORDS, *fieldvalues.LEAST} <= {*FIELDS}


@pytest.mark.parametrize("field", FIELDS)
def test_auto_is_a_value_of_every_field(field: str) -> None:
    assert fieldvalues.checked(field, "auto") == "auto"


@pytest.mark.parametrize("field", fieldvalues.WORDS)
def test_each_name_that_is_there_is_accepted_and_a_wrong_one_is_not(field: str) -> None:
    assert fieldvalues.WORDS[field]()
    assert [fieldvalues.checked(field, word) for word in fieldvalues.WORDS[field]()] == [*fieldvalues.WORDS[field]()]
    with pytest.raises(UnknownName, match=f"^unknown {field} 'no-such' .allowed: auto, "):
        fieldvalues.checked(field, "no-such")


@pytest.mark.parametrize(
    ("field", "value", "kind", "said"),
    [
        ("gpu", "h10", UnknownName, "unknown gpu 'h10'; did you mean h100?"),
        ("attention", "flash-attn", NotAvailable, "attention=flash-attn is not available in this version"),
        ("ctx", "0", BadValue, "ctx=0: must be at least 1"),
        ("warmup", "x", BadValue, "warmup=x: must be a whole number of at least 1"),
        ("seed", "-1", BadValue, "seed=-1: must be at least 0"),
        ("host_condition", "busy:257", BadValue, "host_condition=busy:257: must be pinned:K or busy:N, with a whole"),
        ("host_condition", "pinned:01", BadValue, "number from 1 to 256, or none"),
        ("options", "mode", BadValue, "options=mode: must be name:value,name:value"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: str, kind: type[DecodeFloorError], said: str) -> None:
    with pytest.raises(kind) as caught:
        fieldvalues.checked(field, value)
    assert said in str(caught.value)


def test_a_number_is_read() -> None:
    assert (fieldvalues.number("seed", "0"), fieldvalues.number("ctx", "2048")) == (0, 2048)


def test_fields_of_any_text_are_not_restricted() -> None:
    assert fieldvalues.checked("weights", "./folder") == "./folder"
    assert fieldvalues.checked("study", "mine") == "mine"


def test_the_names_of_an_own_catalogue_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, "gpus.yaml", {"mine": gpu_entry()})
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert fieldvalues.checked("gpu", "mine") == "mine"
