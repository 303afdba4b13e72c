"""The CUDA Graphs table from manifests and records."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import ab, abrow, paper
from analysis.sources.records import Folder
from analysis.tables import graphs
from runner.errors import BadRecord
from runner.record import record
from tests.support.records import example_record

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "experiments" / "records"
ROW_FIELDS = {
    *("gpu", "model", "ctx", "arm_a", "arm_b", "sessions", "ratio", "ratio_low", "ratio_high", "verdict"),
    *("interval", "hosts", "cv_a", "cv_b", "kernels_a", "kernels_b", "launch_us", "paper"),
}


def command(*arguments):
    whole = [sys.executable, "-m", "analysis", *arguments]
    return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def table():
    return graphs.rows(ab.from_frame(Folder(RECORDS).frame(ab.NEEDED))[0])


@pytest.fixture
def copied(tmp_path):
    """The folder of the committed A/B at ctx 2048, to be damaged."""
    (source,) = (RECORDS / "h200").glob("ab-qwen2.5-7b-2048-eager-graph-*")
    return Path(shutil.copytree(source, tmp_path / source.name))


@pytest.mark.slow
def test_the_committed_ab_has_ten_sessions_an_arm_at_2048_and_five_at_16384(table):
    assert [(row.ctx, row.arm_a, row.arm_b) for row in table] == [
        (2048, "eager", "graph"),
        (16384, "eager", "graph"),
    ]
    assert table[0].sessions >= 10
    assert table[1].sessions >= 5
    for row in table:
        assert row.to_json().keys() >= ROW_FIELDS
        assert row.cache == "static"
        assert row.ratio_low < row.ratio < row.ratio_high
        assert row.ratio == pytest.approx(row.a_ms / row.b_ms)


@pytest.mark.slow
def test_the_readme_has_what_the_command_prints():
    finished = command("graphs", "--records", "experiments/records")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_paper_stands_beside_what_it_measured():
    assert paper.graphs_row("h100", "qwen2.5-7b", 2048).ratio == 1.259
    assert paper.graphs_row("h200", "qwen2.5-7b", 2048) is None
    finished = command("graphs", "--records", "experiments/records").stdout
    assert "The paper, h100 qwen2.5-7b 2048: 14.828 → 11.776 ms, 1.259× [1.253, 1.267]" in finished


@pytest.mark.slow
def test_a_row_of_the_papers_own_cell_has_it_in_a_column(table):
    ours = replace(table[0], gpu="h100", paper=paper.graphs_row("h100", "qwen2.5-7b", 2048))
    text = graphs.TABLE.markdown([ours])
    assert "14.828 → 11.776 ms, 1.259× [1.253, 1.267]" in text.splitlines()[2]
    assert "The paper, h100" not in text


@pytest.mark.slow
def test_rows_that_differ_in_the_weights_do_not_look_alike(table):
    packed = replace(table[0], quant="awq", kernel="marlin")
    header, _, *lines = graphs.markdown([table[0], packed]).splitlines()
    assert header.startswith("| gpu | model | ctx | a | b | quant | n |")
    assert [line.split(" | ")[5] for line in lines[:2]] == ["bf16", "awq"]


def test_a_declared_extension_that_is_due_is_told(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    assert manifest["declared"] == {"sessions": 10, "extension": 10}
    manifest["asked"] = [10]
    manifest["blocks"] = manifest["blocks"][:5]
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert row.extension_due == 10
    assert "the declared 10 more sessions are due" in graphs.markdown([row])
    manifest["asked"] = [10, 13]
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert (row.extension_due, row.as_declared) == (0, False)
    assert "more sessions were requested than declared" in graphs.markdown([row])


def test_a_block_that_is_not_complete_is_counted_and_not_used(copied):
    path = copied / "ab.json"
    manifest = json.loads(path.read_text())
    manifest["blocks"] = manifest["blocks"][:5]
    manifest["blocks"][-1]["sessions"].pop()
    path.write_text(json.dumps(manifest))
    row = abrow.row(ab.read(path))
    assert (row.sessions, row.unused) == (8, 1)


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


def test_a_folder_without_an_ab_is_one_line(tmp_path):
    finished = command("ab", str(tmp_path))
    assert finished.returncode == 24
    assert "no A/B there" in finished.stderr
    record.write(example_record(), tmp_path / "one.json")
    finished = command("graphs", "--records", str(tmp_path))
    assert (finished.returncode, finished.stdout) == (24, "")
    assert "error: no A/B between runtimes was measured" in finished.stderr
