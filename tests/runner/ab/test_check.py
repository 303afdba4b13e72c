"""A manifest that does not follow from its sessions is named by what is wrong with it; an honest one is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.ab import check, facts, manifest
from runner.ab.facts import Facts
from runner.ab.manifest import Block, Declared, Manifest
from runner.record import written

ROOT = Path(__file__).parents[3] / "experiments" / "records" / "h200"
Told = Mapping[str, Facts]
Edit = Callable[[Manifest, dict[str, Facts]], Manifest]


@pytest.fixture(scope="module")
def whole() -> tuple[Manifest, Told]:
    """Four sessions of eager and of graph, in two blocks."""
    (folder,) = ROOT.glob("ab-qwen2.5-7b-16384-*")
    read = manifest.read(folder / "ab.json")
    found = replace(read, blocks=read.blocks[:2], declared=Declared(4, 0), asked=(4,))
    return found, {each.session: facts.record_facts(written.read(folder / each.file)) for each in found.sessions}


def named(found: Manifest) -> Manifest:
    return replace(found, id=found.computed_id)


def with_block(found: Manifest, number: int, **changes: Any) -> Manifest:
    blocks = list(found.blocks)
    blocks[number] = replace(blocks[number], **changes)
    return replace(found, blocks=tuple(blocks))


def with_entry(found: Manifest, number: int, at: int, **changes: Any) -> Manifest:
    entries = list(found.blocks[number].sessions)
    entries[at] = replace(entries[at], **changes)
    return with_block(found, number, sessions=tuple(entries))


def of_cells(found: Manifest, told: dict[str, Facts], field: str, **arms: Any) -> Manifest:
    """An A/B of another field; for each arm the value, and what its cell and all its sessions have."""
    made = {}
    for name, (value, changes) in arms.items():
        cell = replace(found.arms["a"].cell, **changes)
        made[name] = replace(found.arms[name], value=value, cell=cell, cell_key=cell.key)
    for entry in found.sessions:
        told[entry.session] = replace(told[entry.session], cell_key=made[entry.arm].cell_key)
    return named(replace(found, field=field, arms=made, implied={}))


def of_options(found: Manifest, told: dict[str, Facts], a: str, b: str) -> Manifest:
    flash = {"options": {"sdpa": "flash"}}
    return of_cells(found, told, "options", a=(a, {"options": {}}), b=(b, flash))


def of_weights(found: Manifest, told: dict[str, Facts]) -> Manifest:
    ids = ({"weights_id": f"content-{letter * 16}"} for letter in "01")
    return of_cells(found, told, "weights", a=("local", next(ids)), b=("hub", next(ids)))


def of_one_cell(found: Manifest, told: dict[str, Facts]) -> Manifest:
    return of_cells(found, told, "none", a=("eager", {}), b=("eager", {}))


def cut(found: Manifest, told: dict[str, Facts]) -> Manifest:
    """The first block ends with its third session, and those of the next are numbered on."""
    entries = found.blocks[0].sessions[:3]
    rest = [replace(each, index=each.index - 1) for each in found.blocks[1].sessions]
    blocks = (replace(found.blocks[0], sessions=entries), replace(found.blocks[1], sessions=tuple(rest)))
    for each in rest:
        own = told[each.session]
        told[each.session] = replace(own, stated={**own.stated, "session.index": each.index})
    return replace(found, blocks=blocks)


def on_another_host(found: Manifest, told: dict[str, Facts]) -> Manifest:
    for each in found.blocks[1].sessions:
        told[each.session] = replace(told[each.session], host_id="0" * 12)
    return with_block(found, 1, host_id="0" * 12)


def unused(found: Manifest, told: dict[str, Facts], number: int, at: int, **changes: Any) -> Manifest:
    """A session that does not count, for what its record says, and is called so."""
    session = found.blocks[number].sessions[at].session
    told[session] = replace(told[session], **changes)
    return with_entry(found, number, at, valid=False)


def begun(found: Manifest, told: dict[str, Facts], later_ms: int) -> Manifest:
    """The second session begins so much after the end of the first."""
    first, second = (each.session for each in found.sessions[:2])
    told[second] = replace(told[second], started_ms=told[first].finished_ms + later_ms)
    return found


def renumbered(found: Manifest, told: dict[str, Facts], *chosen: Block) -> Manifest:
    """The A/B of these blocks, with its sessions numbered from 0."""
    index, blocks = 0, []
    for block in chosen:
        entries = []
        for entry in block.sessions:
            own = told[entry.session]
            told[entry.session] = replace(own, stated={**own.stated, "session.index": index})
            entries.append(replace(entry, index=index))
            index += 1
        blocks.append(replace(block, sessions=tuple(entries)))
    return replace(found, blocks=tuple(blocks))


BROKEN: dict[str, tuple[Edit, str]] = {
    "another id": (lambda m, _: replace(m, id="0" * 12), "id 000000000000 is not the hash of what is compared"),
    "a field that no arms differ in": (
        lambda m, _: named(replace(m, field="gpu")),
        "field gpu is not a field that arms can differ in",
    ),
    "something implied that is not": (
        lambda m, _: replace(m, implied={"dtype": ("bf16", "fp16")}),
        "implied: not what runtime implies",
    ),
    "an option that its cell has not": (
        lambda m, told: of_options(m, told, "none", "sdpa:math"),
        "arms.b.value: sdpa:math is not the options of its cell",
    ),
    "none declared, one asked for": (
        lambda m, _: replace(m, declared=Declared(0, 0), asked=(1,)),
        "0 and 0 more sessions declared, [1] requested",
    ),
    "less than none asked for again": (
        lambda m, _: replace(m, asked=(4, 0)),
        "4 and 0 more sessions declared, [4, 0] requested",
    ),
    "a block that ended for no reason": (cut, "block 0: it is not complete, but the next block began on the same"),
    "a block that ended for no reason before one on another host": (
        lambda m, told: renumbered(
            m,
            told,
            Block(m.blocks[0].host_id, "abba", m.blocks[0].sessions[:3]),
            Block(m.blocks[0].host_id, "baab", m.blocks[1].sessions[:2]),
            Block("0" * 12, "abba", m.blocks[1].sessions[2:]),
        ),
        "block 0: it is not complete, but the next block began on the same",
    ),
    "a block that goes on after what did not count": (
        lambda m, told: unused(m, told, 1, 1, is_valid=False, reasons="gate"),
        "block 1: it continues after a session that is not valid",
    ),
    "one that goes on after its last but one": (
        lambda m, told: unused(m, told, 1, 2, is_valid=False, reasons="gate"),
        "block 1: it continues after a session that is not valid",
    ),
    "a failure that is called valid": (
        lambda m, told: with_entry(unused(m, told, 1, 3, is_measured=False, reasons="full"), 1, 3, valid=True),
        "of arm b: it ended without a measurement: full",
    ),
    "a session under a condition of the host": (
        lambda m, told: with_entry(unused(m, told, 1, 3, host_condition="busy:8"), 1, 3, valid=True),
        "of arm b: it had host_condition=busy:8, and an A/B compares sessions on the host as it is",
    ),
    "the first of the other arm in another environment": (
        lambda m, told: with_entry(unused(m, told, 0, 1, place="elsewhere"), 0, 1, valid=True),
        "it was measured in elsewhere, the earlier sessions in the runner's own interpreter",
    ),
    "a session in the one before": (lambda m, told: begun(m, told, -1), "began before the previous one had ended"),
}
HONEST: dict[str, Edit] = {
    "as it is": lambda m, _: m,
    "one session of each arm": lambda m, _: replace(
        m,
        declared=Declared(1, 0),
        asked=(1,),
        blocks=(Block(m.blocks[0].host_id, "ab", m.blocks[0].sessions[:2]),),
    ),
    "more that were declared": lambda m, _: replace(m, declared=Declared(4, 4), asked=(4, 8)),
    "options and none": lambda m, told: of_options(m, told, "none", "sdpa:flash"),
    "weights by name": of_weights,
    "one cell in both arms": of_one_cell,
    "a block left on another host": lambda m, told: on_another_host(cut(m, told), told),
    "one left there, and three of each arm asked for": lambda m, told: replace(
        on_another_host(cut(m, told), told), declared=Declared(3, 0), asked=(3,)
    ),
    "one left there, and two of each arm asked for": lambda m, told: replace(
        on_another_host(cut(m, told), told), declared=Declared(2, 0), asked=(2,)
    ),
    "one block left there at its first session, and one of each arm asked for": lambda m, told: renumbered(
        replace(on_another_host(m, told), declared=Declared(1, 0), asked=(1,)),
        told,
        Block(m.blocks[0].host_id, "ab", m.blocks[0].sessions[:1]),
        Block("0" * 12, "ba", m.blocks[1].sessions[:2]),
    ),
    "a last session that does not count": lambda m, told: unused(m, told, 1, 3, is_valid=False, reasons="gate"),
    "a last session that was not measured": lambda m, told: unused(m, told, 1, 3, is_measured=False, is_valid=False),
    "a session that begins where another ends": lambda m, told: begun(m, told, 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_fit_is_named(name: str, whole: tuple[Manifest, Told]) -> None:
    edit, line = BROKEN[name]
    told = dict(whole[1])
    said = list(check.manifest_errors(edit(whole[0], told), told))
    assert any(line in one for one in said), said


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_ab_is_right(name: str, whole: tuple[Manifest, Told]) -> None:
    told = dict(whole[1])
    assert list(check.manifest_errors(HONEST[name](whole[0], told), told)) == []


def test_why_a_block_is_not_used_is_told(whole: tuple[Manifest, Told]) -> None:
    found, told = whole[0], dict(whole[1])
    assert list(check.unused_blocks(found, told)) == []
    left = on_another_host(cut(found, told), told)
    (said,) = check.unused_blocks(left, told)
    assert said == "block 0: 3 of its 4 sessions are there, and the next were measured on another host"
    ended = with_block(found, 1, sessions=found.blocks[1].sessions[:2])
    assert list(check.unused_blocks(ended, whole[1])) == ["block 1: 2 of its 4 sessions are there"]
    wrong = dict(whole[1])
    bad = unused(found, wrong, 0, 3, is_valid=False, reasons="gate")
    (said,) = check.unused_blocks(bad, wrong)
    assert said == f"block 0: session {found.blocks[0].sessions[3].session}: it is not valid: gate"


@pytest.mark.medium
def test_the_period_is_that_of_the_blocks_that_count() -> None:
    (path,) = ROOT.glob("ab-qwen2.5-7b-16384-*/ab.json")
    checked = check.read_checked(path)
    used = [checked.records[each.session].session for block in checked.manifest.complete for each in block.sessions]
    assert check.period_ms(checked) == (used[0].started_ms, used[-1].finished_ms)
    assert used[0].started_ms < used[-1].started_ms
