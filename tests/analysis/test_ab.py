"""A/Bs read from manifests and records: those that do not fit are refused."""

import json

import pytest

from analysis import ab
from runner.errors import BadRecord
from tests.support.commands import command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda m: m["blocks"][0]["sessions"][0].update(arm="b"), "not in the order"),
        (lambda m: m["blocks"][0]["sessions"][0].update(session="0" * 16), "session.id is"),
        (lambda m: m["blocks"][0].update(host_id="0" * 12), "keys.host_id is"),
        (lambda m: m.update(seed=7), "is not the hash of what is compared"),
        (lambda m: m["blocks"][1]["sessions"][0].update(index=3), "numbered"),
        (lambda m: m["blocks"][0].update(order="aabb"), "is none of"),
        (lambda m: m["arms"]["a"]["cell"].update(ctx=4096), "not the key of its cell"),
        (lambda m: m.update(schema_version=2), "this version reads 1"),
        (lambda m: m.pop("blocks"), "damaged manifest"),
        (lambda m: m["blocks"][0]["sessions"][0].update(file="../x.json"), "is not a plain file name"),
        (lambda m: m.update(implied={"kernel": ["cublas", "marlin"]}), "not what runtime implies"),
        (lambda m: m["blocks"].append(m["blocks"][0]), "numbered"),
    ],
)
def test_a_manifest_that_does_not_fit_its_records_is_refused(copied, damage, said):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    damage(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadRecord, match=said):
        ab.read(path)
    finished = command("graphs", "--records", str(copied))
    assert finished.returncode == 24
    assert "left out" in finished.stderr


def test_a_record_that_is_gone_is_told(copied):
    next(copied.glob("qwen*-0-*.json")).unlink()
    with pytest.raises(BadRecord, match="no such file"):
        ab.read(copied / "ab.json")


def test_a_falsified_record_of_it_is_refused(copied):
    path = next(copied.glob("qwen*-0-*.json"))
    found = json.loads(path.read_text())
    found["latency"]["step_wall_ms"] /= 2
    path.write_text(json.dumps(found))
    with pytest.raises(BadRecord, match="step_wall_ms"):
        ab.read(copied / "ab.json")
