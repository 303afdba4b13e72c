"""Keys name a cell for ever."""

import json
from pathlib import Path

import pytest

from runner.cell.cell import KEY_DEFAULTS, Cell
from runner.record import spool

RECORDS = Path(__file__).parents[3] / "experiments" / "records"


def cell(**changes):
    named = {
        "gpu": "h200", "model": "qwen2.5-7b", "ctx": 2048, "quant": "bf16", "kernel": "cublas", "runtime": "eager",
        "attention": "sdpa", "cache": "dynamic", "dtype": "bf16", "weights_id": "synthetic-v1",
    }  # fmt: skip
    return Cell(**(named | changes))


@pytest.mark.medium
def test_committed_keys_stay():
    for path in spool.record_files(RECORDS):
        found = json.loads(path.read_text())
        assert Cell.from_json(found["cell"]).key == found["keys"]["cell_key"], path.name


def test_the_key_of_one_cell_is_pinned():
    files = RECORDS.rglob("qwen2.5-7b-2048-bf16-eager-dynamic-[0-9]-*.json")
    assert {json.loads(path.read_text())["keys"]["cell_key"] for path in files} == {cell().key}


def test_every_field_changes_the_key():
    changes = {name: "other" for name in cell().to_json() if name not in ("ctx", "options")}
    keys = {cell(**{name: value}).key for name, value in changes.items()}
    keys |= {cell(ctx=4096).key, cell(options={"a": "b"}).key}
    assert len(keys | {cell().key}) == len(changes) + 3


def test_key_defaults_are_frozen():
    assert KEY_DEFAULTS == {"quant": "bf16", "runtime": "eager", "weights_id": "synthetic-v1", "options": {}}


def test_a_title_says_what_differs_from_the_plain_cell():
    assert cell().title == "qwen2.5-7b 2048 bf16 eager dynamic h200"
    assert cell(dtype="fp32").title == "qwen2.5-7b 2048 fp32 eager dynamic h200"
    assert cell(quant="awq", kernel="marlin").title == "qwen2.5-7b 2048 awq marlin eager dynamic h200"
    assert cell(quant="awq", kernel="marlin", dtype="fp16").title == (
        "qwen2.5-7b 2048 awq fp16 marlin eager dynamic h200"
    )
    changed = cell(attention="flash-attn", weights_id="a09a35458c702b33", options={"mode": "max", "a": "1"})
    assert changed.title == "qwen2.5-7b 2048 bf16 eager dynamic flash-attn a09a3545 a:1 mode:max h200"


def test_every_field_changes_the_title():
    names = [name for name in cell().to_json() if name not in ("ctx", "options")]
    titles = {cell(**{name: name}).title for name in names}
    titles |= {cell().title, cell(ctx=4096).title, cell(options={"a": "b"}).title}
    assert len(titles) == len(names) + 3


def test_a_local_checkpoint_is_told_by_its_hash() -> None:
    assert all("01234567" in cell(weights_id=f"{kind}-0123456789ab").words for kind in ("content", "headers"))
