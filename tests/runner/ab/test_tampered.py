"""Edits of a committed A/B, each with its id made again: caught, or named in its table (docs/verify.md, "A/Bs")."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars
import pytest

from analysis import ab, abrows
from analysis.sources.frame import Frame
from analysis.sources.records import Folder
from analysis.tables import graphs
from runner.ab import check, manifest
from runner.cell.jsonform import to_json
from runner.errors import BadRecord
from runner.record import record
from runner.record.verify import older, recompute
from tests.support.derive import derive, env_key, file_name, is_measured, judge

RECORDS = Path(__file__).parents[3] / "experiments" / "records" / "h200"
RATIOS = {"2048": 2.754, "16384": 1.727}
Told = dict[str, Any]
Edit = Callable[[Told, Path], object]


@pytest.fixture(autouse=True, scope="module")
def _verified_once() -> Any:
    """A record that no test changed is verified once: forty take seconds."""
    known: dict[str | None, Any] = {}
    verified = recompute.read_verified

    def remembered(path: Path) -> Any:
        text = path.read_text() if path.exists() else None
        if text is None:
            return verified(path)
        if text not in known:
            known[text] = verified(path)
        return known[text]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recompute, "read_verified", remembered)
        yield


def copied(to: Path, ctx: str) -> Path:
    (source,) = RECORDS.glob(f"ab-qwen2.5-7b-{ctx}-eager-graph-*")
    return Path(shutil.copytree(source, to / source.name))


def read(folder: Path) -> Told:
    found: Told = json.loads((folder / "ab.json").read_text())
    return found


def tampered(folder: Path, edit: Edit) -> Path:
    """The manifest with the edit, and the id that it has then."""
    told = read(folder)
    edit(told, folder)
    unnamed = manifest.parse(json.dumps(told), "ab.json")
    manifest.write(replace(unnamed, id=unnamed.computed_id), folder)
    return folder / "ab.json"


def entry(told: Told, block: int, place: int) -> Told:
    found: Told = told["blocks"][block]["sessions"][place]
    return found


def invalid(told: Told, folder: Path, block: int, place: int) -> None:
    """Collect garbage inside a window of that session's: a reason that `runner verify` derives."""
    change(told, folder, block, place, lambda found: found["passes"]["wall"].update(collected=2))


def change(told: Told, folder: Path, block: int, place: int, edit: Callable[[Told], object]) -> None:
    path = folder / entry(told, block, place)["file"]
    found = record.read(path)
    edit(found)
    if is_measured(found):
        found["keys"]["env_key"] = env_key(found["environment"])
        derive(found)
        judge(found)
    path.unlink()
    named = entry(told, block, place)
    named["file"] = file_name(found)
    record.write(found, folder / named["file"])


def move(found: Told, to_ms: int) -> None:
    """The whole session begins at another time."""
    later_ms = to_ms - found["session"]["started_ms"]
    for moment in (found["session"], *found["snapshots"].values()):
        moment |= {
            name: moment[name] + later_ms for name in ("started_ms", "finished_ms", "taken_ms") if name in moment
        }


def with_other_code(found: Told) -> None:
    """Code of before version 2 of the gate, as this session's own."""
    found["keys"]["code_key"] = next(key for key in sorted(older.gate_1_keys()) if key != found["keys"]["code_key"])


def swap(a: Told, b: Told, *names: str) -> None:
    for name in names:
        a[name], b[name] = b[name], a[name]


def cut_entry(told: Told, folder: Path, block: int) -> None:
    (folder / told["blocks"][block]["sessions"].pop()["file"]).unlink()


def cut_block(told: Told, folder: Path) -> None:
    for each in told["blocks"].pop()["sessions"]:
        (folder / each["file"]).unlink()


def renumber(told: Told) -> None:
    for number, each in enumerate(one for block in told["blocks"] for one in block["sessions"]):
        each["index"] = number


def reindex(told: Told, folder: Path) -> None:
    for number, block in enumerate(told["blocks"]):
        for place, each in enumerate(block["sessions"]):
            change(told, folder, number, place, lambda found, index=each["index"]: found["session"].update(index=index))


def split(told: Told) -> None:
    block = told["blocks"][0]
    first, second = ({**block, "order": order} for order in ("ab", "ba"))
    first["sessions"], second["sessions"] = block["sessions"][:2], block["sessions"][2:]
    told["blocks"][:1] = [first, second]


def join(told: Told) -> None:
    first, second = told["blocks"][:2]
    told["blocks"][:2] = [{**first, "order": "abbabaab", "sessions": first["sessions"] + second["sessions"]}]


def remove_block(told: Told, number: int) -> None:
    del told["blocks"][number]
    renumber(told)


def move_entry(told: Told) -> None:
    told["blocks"][1]["sessions"].append(told["blocks"][0]["sessions"].pop())


def swap_arms(told: Told) -> None:
    told["arms"] = {"a": told["arms"]["b"], "b": told["arms"]["a"]}


def swap_arms_and_entries(told: Told) -> None:
    swap_arms(told)
    for block in told["blocks"]:
        block["order"] = block["order"].translate(str.maketrans("ab", "ba"))
        for each in block["sessions"]:
            each["arm"] = "ab"[each["arm"] == "a"]


def copy_over(told: Told, folder: Path) -> None:
    shutil.copy(folder / entry(told, 0, 0)["file"], folder / entry(told, 0, 3)["file"])


def name_another(told: Told) -> None:
    for name in ("session", "file"):
        entry(told, 0, 3)[name] = entry(told, 1, 1)[name]


def rehost(told: Told, folder: Path, block: int) -> None:
    """All sessions of a block, and the block, as if of another host."""
    told["blocks"][block]["host_id"] = "0" * 12
    for place in range(len(told["blocks"][block]["sessions"])):
        change(told, folder, block, place, lambda found: found["keys"].update(host_id="0" * 12))


CAUGHT: dict[str, tuple[Edit, str]] = {
    "a session is called invalid": (
        lambda m, _: entry(m, 2, 1).update(valid=False),
        "the manifest says that it is not",
    ),
    "a block's sessions all are": (
        lambda m, _: [each.update(valid=False) for each in m["blocks"][1]["sessions"]],
        "the manifest says that it is not|is none of abba",
    ),
    "an invalid session is called valid": (lambda m, f: invalid(m, f, 0, 3), "it is not valid: 2 garbage collections"),
    "an invalid session in a block's middle": (
        lambda m, f: (invalid(m, f, 1, 1), entry(m, 1, 1).update(valid=False)),
        "continues after|is none of abba",
    ),
    "the first block is removed": (lambda m, _: m["blocks"].pop(0), "sessions are numbered"),
    "the first block is removed, the rest renumbered": (lambda m, _: remove_block(m, 0), "is none of abba"),
    "a middle block is removed": (lambda m, _: m["blocks"].pop(1), "sessions are numbered"),
    "two middle blocks are removed, the rest renumbered": (
        lambda m, _: (remove_block(m, 0), remove_block(m, 0)),
        "is none of|session.index is",
    ),
    "the last block is removed": (lambda m, _: m["blocks"].pop(), "was measured and is in no block"),
    "the last session is removed": (lambda m, _: m["blocks"][-1]["sessions"].pop(), "was measured and is in no block"),
    "a session of the first block is removed": (lambda m, _: m["blocks"][0]["sessions"].pop(), "are numbered"),
    "the same, and the rest renumbered": (
        lambda m, _: (m["blocks"][0]["sessions"].pop(), renumber(m)),
        "session.index is|is none of abba",
    ),
    "the same, with all that tells its number": (
        lambda m, f: (m["blocks"][-2]["sessions"].pop(), renumber(m), reindex(m, f)),
        "not complete, but the next block began on the same host|is none of",
    ),
    "the blocks change places": (lambda m, _: m["blocks"].reverse(), "are numbered"),
    "they do, and are renumbered": (
        lambda m, _: (m["blocks"].__setitem__(slice(0, 2), m["blocks"][1::-1]), renumber(m)),
        "is none of",
    ),
    "a block is there twice": (lambda m, _: m["blocks"].append(m["blocks"][0]), "are numbered"),
    "it is, and the rest renumbered": (
        lambda m, _: (m["blocks"].append(json.loads(json.dumps(m["blocks"][0]))), renumber(m)),
        "is listed twice",
    ),
    "a block is split": (lambda m, _: split(m), "order ab is none of abba"),
    "blocks are joined": (lambda m, _: join(m), "order abbabaab is none of"),
    "a session goes to another block": (lambda m, _: move_entry(m), "are numbered"),
    "sessions change arms": (
        lambda m, _: swap(entry(m, 0, 0), entry(m, 0, 1), "session", "file"),
        "session.index is",
    ),
    "they do, with their numbers": (
        lambda m, _: swap(entry(m, 0, 0), entry(m, 0, 1), "session", "file", "index"),
        "are numbered",
    ),
    "sessions of one arm change places": (
        lambda m, _: swap(entry(m, 0, 0), entry(m, 0, 3), "session", "file"),
        "session.index is",
    ),
    "a session gets the other arm": (lambda m, _: entry(m, 0, 0).update(arm="b"), "not in the order"),
    "it does, and the order with it": (
        lambda m, _: (entry(m, 0, 0).update(arm="b"), m["blocks"][0].update(order="bbba")),
        "order bbba is none of abba",
    ),
    "all of a block change arms": (
        lambda m, _: (
            m["blocks"][0].update(order="baab"),
            [each.update(arm="ab"[each["arm"] == "a"]) for each in m["blocks"][0]["sessions"]],
        ),
        "order baab is none of abba",
    ),
    "the arms change names": (lambda m, _: swap_arms(m), "another cell than declared"),
    "all change arms": (lambda m, _: swap_arms_and_entries(m), "order baab is none of abba"),
    "an arm's value is another word": (
        lambda m, _: m["arms"]["a"].update(value="compile"),
        "is not the runtime of its",
    ),
    "the values change places": (
        lambda m, _: swap(m["arms"]["a"], m["arms"]["b"], "value"),
        "is not the runtime of its",
    ),
    "an arm's cell is another": (lambda m, _: m["arms"]["a"]["cell"].update(ctx=4096), "not the key of its cell"),
    "the field is another": (lambda m, _: m.update(field="cache"), "arms: field=cache"),
    "the host is another": (lambda m, _: m["blocks"][0].update(host_id="0" * 12), "keys.host_id is"),
    "the study is another": (lambda m, _: m.update(study="other"), "session.study is cuda-graphs"),
    "the seed is another": (lambda m, _: m.update(seed=1), "session.seed is 0"),
    "the protocol is another": (lambda m, _: m["protocol"].update(steps=31, name="custom"), "protocol is"),
    "fewer were declared": (lambda m, _: m["declared"].update(sessions=3), "the first must be the declared number, 3"),
    "fewer were declared and asked for": (
        lambda m, _: (m["declared"].update(sessions=3), m.update(asked=[3])),
        "but at most 3 were requested",
    ),
    "none were declared": (
        lambda m, _: (m["declared"].update(sessions=0), m.update(asked=[0])),
        r"\[0\] requested",
    ),
    "nothing was asked for": (lambda m, _: m.update(asked=[]), "requested"),
    "the extension is below none": (lambda m, _: m["declared"].update(extension=-1), "-1 more sessions declared"),
    "a number was asked for twice": (lambda m, _: m.update(asked=[*m["asked"], m["asked"][0]]), "none repeated"),
    "a record is another's copy": (lambda m, f: copy_over(m, f), "session.id is"),
    "a session is named twice": (lambda m, _: name_another(m), "is listed twice"),
    "a record is gone": (lambda m, f: (f / entry(m, 0, 1)["file"]).unlink(), "no such file"),
    "the times of two sessions change places": (
        lambda m, f: change(
            m,
            f,
            0,
            1,
            lambda r: move(r, record.read(f / entry(m, 0, 0)["file"])["session"]["started_ms"]),
        ),
        "began before the previous one had ended",
    ),
    "one library is another": (
        lambda m, f: change(m, f, 1, 0, lambda r: r["environment"].update(transformers="4.0")),
        "transformers is 4.0, and was",
    ),
    "the kernel's package is another": (
        lambda m, f: change(m, f, 1, 0, lambda r: r["environment"].update(kernel_package="marlin 9.9")),
        "kernel_package is marlin 9.9, and was",
    ),
    "the code is another": (
        lambda m, f: change(m, f, 1, 0, with_other_code),
        "code has changed since",
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("ctx", RATIOS)
@pytest.mark.parametrize("name", CAUGHT)
def test_an_edit_is_caught_by_verify_and_import(name: str, ctx: str, tmp_path: Path) -> None:
    edit, said = CAUGHT[name]
    path = tampered(copied(tmp_path, ctx), edit)
    with pytest.raises(BadRecord, match=said):
        check.read_whole(path)


NAMED: dict[str, tuple[Edit, str]] = {
    "the last block is removed with its records": (cut_block, "planned sessions of each arm are missing"),
    "the last session is, with its record": (
        lambda m, f: cut_entry(m, f, -1),
        r"; block \d: \d of its \d sessions are there; .* planned sessions of each arm are missing",
    ),
    "the last block is removed, its records left": (
        lambda m, _: m["blocks"].pop(),
        r"are missing; \d measured sessions in its folder belong to no block: \w{16}, \w{16}",
    ),
    "the last session is removed, its record left": (
        lambda m, _: m["blocks"][-1]["sessions"].pop(),
        r"are missing; 1 measured session in its folder belongs to no block: \w{16}",
    ),
    "more were asked for": (
        lambda m, _: m["asked"].append(24),
        "of the 24 planned sessions of each arm are missing.*more sessions were requested than declared",
    ),
    "its last session is invalid": (
        lambda m, f: (invalid(m, f, -1, -1), entry(m, -1, -1).update(valid=False)),
        r"; block \d: session \w{16}: it is not valid: 2 garbage collections inside the wall window",
    ),
    "its last session was measured in another environment": (
        lambda m, f: (
            change(m, f, -1, -1, lambda r: r["environment"].update(torch="9.9")),
            entry(m, -1, -1).update(valid=False),
        ),
        r"; block \d: session \w{16}: torch is 9.9, and was",
    ),
    "a session ended without a measurement": (
        lambda _, f: record.write(failed(f), f / "failed.json"),
        "ended without a measurement: 1 oom",
    ),
}


def failed(folder: Path) -> Told:
    """The record that a session of arm a leaves when memory runs out."""
    found = record.read(folder / entry(read(folder), 0, 0)["file"])
    head = {name: found[name] for name in (*record.ALWAYS_PRESENT, "schema_version", "given_flags") if name in found}
    outcome = found["outcome"] | {"status": "oom", "reason": "out-of-memory", "message": "the card is full"}
    session = {"id": "f" * 16, **{name: found["session"][name] for name in ("study", "index", "seed", "started_ms")}}
    keys = {"cell_key": found["keys"]["cell_key"]}
    ended = {"outcome": outcome, "session": session, "keys": keys, "valid": False, "reasons": [outcome["message"]]}
    return {**head, **ended, "flags": []}


@pytest.mark.medium
@pytest.mark.parametrize("ctx", RATIOS)
@pytest.mark.parametrize("name", NAMED)
def test_what_else_can_be_gone_is_named_in_the_table(name: str, ctx: str, tmp_path: Path) -> None:
    edit, said = NAMED[name]
    path = tampered(copied(tmp_path, ctx), edit)
    assert re.search(said, graphs.markdown([abrows.row(ab.read(path))]))
    of_folder, left_out = ab.from_frame(Folder(path.parent).frame(ab.NEEDED), bootstrapped=False)
    assert left_out == []
    assert re.search(said, graphs.markdown([abrows.row(each) for each in of_folder]))


@pytest.mark.medium
def test_a_second_file_of_a_session_is_no_other_session(tmp_path: Path) -> None:
    """`runner verify` names it, as of any record."""
    folder = copied(tmp_path, "16384")
    shutil.copy(folder / entry(read(folder), 0, 0)["file"], folder / "again.json")
    assert check.read_whole(folder / "ab.json").beside.measured == ()


@pytest.mark.medium
def test_more_declared_than_measured_is_named_as_missing(tmp_path: Path) -> None:
    path = tampered(copied(tmp_path, "2048"), lambda m, _: (m["declared"].update(sessions=22), m.update(asked=[22])))
    assert "2 of the 22 planned sessions of each arm are missing" in graphs.markdown([abrows.row(ab.read(path))])


@pytest.mark.medium
@pytest.mark.parametrize(("ctx", "ratio"), RATIOS.items())
def test_the_committed_abs_are_whole_and_have_their_ratios(ctx: str, ratio: float) -> None:
    (path,) = RECORDS.glob(f"ab-qwen2.5-7b-{ctx}-eager-graph-*/ab.json")
    check.read_whole(path)
    row = abrows.row(ab.read(path))
    assert row.ratio == pytest.approx(ratio, abs=5e-4)
    assert (row.missing, row.unused_reasons, row.unnamed, row.unmeasured) == (0, [], [], {})


@pytest.fixture(scope="module")
def frame() -> Frame:
    """What a store tells of an A/B, too: its sessions' rows and the manifest of its run."""
    (folder,) = RECORDS.glob("ab-qwen2.5-7b-16384-*")
    return Folder(folder).frame(ab.NEEDED)


def of_rows(frame: Frame, edit: Callable[[Told], object], **columns: Any) -> str:
    """What is said of an A/B of a store whose manifest has the edit; `columns` are the last session's in its run."""
    told = to_json(frame.manifests[0])
    edited = json.loads(json.dumps(told))
    edit(edited)
    unnamed = manifest.parse(json.dumps(edited), "a run")
    is_last = polars.col("session") == told["blocks"][-1]["sessions"][-1]["session"]
    changed = [
        polars.when(is_last).then(polars.lit(value)).otherwise(polars.col(name)).alias(name)
        for name, value in columns.items()
    ]
    of_store = replace(
        frame,
        sessions=frame.sessions.with_columns(changed),
        manifests=(replace(unnamed, id=unnamed.computed_id),),
        beside={},
        facts={},
    )
    found, left_out = ab.from_frame(of_store, bootstrapped=False)
    return graphs.markdown([abrows.row(each) for each in found]) + "".join(left_out)


@pytest.mark.parametrize(
    ("edit", "columns", "said"),
    [
        (lambda m: entry(m, -1, -1).update(valid=False), {}, "it is valid, but the manifest says that it is not"),
        (lambda _: None, {"valid": False, "reasons": "gate"}, "of arm b: it is not valid: gate"),
        (lambda _: None, {"status": "oom", "valid": False, "reasons": "full"}, "ended without a measurement: full"),
        (lambda _: None, {"host_id": "0" * 12}, "keys.host_id is 000000000000"),
        (lambda _: None, {"code_key": "0" * 12}, "the project's code has changed since"),
        (lambda _: None, {"env_key": "0" * 12}, "env_key is 000000000000, and was"),
        (
            lambda _: None,
            {"image_digest": "sha256:0"},
            "measured in the image sha256:0, the earlier sessions in the runner's",
        ),
        (lambda _: None, {"started_ms": 0}, "began before the previous one had ended"),
        (lambda m: m["blocks"].pop(0), {}, "sessions are numbered"),
        (lambda m: m["blocks"].pop(), {}, "1 of the 5 planned sessions of each arm are missing"),
        (
            lambda m: entry(m, -1, -1).update(valid=False),
            {"valid": False, "reasons": "gate"},
            r"block 2: session \w{16}: it is not valid: gate; 1 of the 5 planned",
        ),
    ],
)
def test_an_ab_of_a_store_is_derived_from_its_sessions_runs(
    frame: Frame, edit: Callable[[Told], object], columns: Told, said: str
) -> None:
    assert re.search(said, of_rows(frame, edit, **columns))
