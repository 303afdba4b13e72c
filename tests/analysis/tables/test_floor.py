"""The floor table from record files."""

import json

import pytest

from analysis.tables import floor
from runner.record import record
from runner.record.flags import FLAG_MEANINGS
from tests.support import commands, damaged
from tests.support.derive import judge
from tests.support.energies import with_energy
from tests.support.frames import frame_of
from tests.support.older import of_code
from tests.support.records import as_session, example_record, of_gate_version_1, packed_record

ROW_FIELDS = {
    *("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "sessions", "valid", "flags"),
    *("step_wall_ms", "step_wall_ms_low", "step_wall_ms_high"),
    *("floor_ms", "r_floor", "r_floor_paper", "r_floor_achievable"),
}


def rows_of(records, every_code=False):
    return floor.rows(frame_of(records), every_code)


def command(*arguments):
    return commands.command("floor", *arguments)


@pytest.mark.medium
def test_a_price_of_ones_own_replaces_the_catalogues():
    frame = frame_of([example_record()])
    (listed,), (own,) = floor.rows(frame), floor.rows(frame, prices={"h200": 7.0})
    assert listed.usd_per_mtok / own.usd_per_mtok == pytest.approx(3.5 / 7)  # the catalogue's 3.50 $ an hour


def test_three_sessions_show_their_range():
    (row,) = rows_of([example_record(step_ms=ms) for ms in (30.0, 36.0, 33.0)])
    steps = sorted(example_record(step_ms=ms)["latency"]["step_wall_ms"] for ms in (30.0, 33.0, 36.0))
    assert row.sessions == 3
    assert row.interval == "range"
    assert [row.step_wall_ms_low, row.step_wall_ms, row.step_wall_ms_high] == steps
    assert row.to_json().keys() >= ROW_FIELDS


def disturbed(step_ms):
    """A session during which others kept 4 of 16 cores busy."""
    found = example_record(step_ms=step_ms)
    found["passes"]["wall"]["other_cpu_cores"] = 4.0
    judge(found)
    return found


@pytest.mark.medium
def test_a_session_that_others_disturbed_stays_out_of_the_median_and_is_counted():
    (row,) = rows_of([example_record(step_ms=ms) for ms in (36.0, 36.3)] + [disturbed(869.0)])
    assert (row.sessions, row.disturbed) == (2, 1)
    assert 35 < row.step_wall_ms < 37
    assert row.step_wall_ms_high < 37
    assert "disturbed" in row.flags
    assert "| disturbed |" in floor.TABLE.markdown([row])


@pytest.mark.medium
def test_where_all_were_disturbed_they_are_shown():
    (row,) = rows_of([disturbed(80.0), disturbed(82.0)])
    assert (row.sessions, row.disturbed) == (2, None)
    assert row.step_wall_ms > 79


@pytest.mark.medium
def test_a_wide_range_alone_takes_no_session_out():
    (row,) = rows_of([example_record(step_ms=ms) for ms in (83.0, 869.0)])
    assert row.sessions == 2
    assert "wide-range" in row.flags
    (row,) = rows_of([example_record(step_ms=ms) for ms in (83.0, 240.0)])
    assert "wide-range" not in row.flags


@pytest.mark.medium
def test_a_session_of_gate_2_supersedes_those_of_gate_1_of_its_cell_whatever_their_environment():
    older = of_gate_version_1(example_record(step_ms=30.0))
    older["keys"] |= {"env_key": "0" * 12, "code_key": "1" * 12}
    older["session"]["started_ms"] += 10**9  # measured later, by older code
    (row,) = rows_of([example_record(), older])
    assert (row.sessions, row.superseded) == (1, 1)
    assert row.flags == []
    (row,) = rows_of([older])
    assert row.flags == ["gate-1"]


@pytest.mark.medium
def test_invalid_sessions_never_enter_a_valid_row():
    bad = example_record(step_ms=1e-3)
    invalid(bad)
    table = rows_of([example_record(), bad])
    assert [row.valid for row in table] == [True, False]
    assert table[0].sessions == 1
    assert "Invalid, 1 session" in floor.TABLE.markdown(table)


@pytest.mark.medium
def test_of_two_codes_the_newest_is_shown_and_the_others_are_counted():
    # two sessions of code a, one of b, then one of c
    records = [of_code("c", 3), of_code("a", 0), of_code("b", 2), of_code("a", 1)]
    (row,) = rows_of(records)
    assert (row.code_key, row.sessions, row.superseded) == ("c" * 12, 1, 3)
    assert header(rows_of(records))[:6] == ["gpu", "model", "ctx", "quant", "runtime", "cache"]
    assert header(rows_of(records))[6:9] == ["n", "hosts", "superseded"]


def invalid(found):
    found["gate"]["checks"][0]["errors"][0] = 1.0
    judge(found)
    return found


@pytest.mark.medium
def test_what_older_code_got_right_is_not_shown_where_newer_code_fails():
    records = [of_code("a", 0), of_code("a", 1), invalid(of_code("b", 2))]
    assert [(row.code_key[0], row.valid, row.superseded) for row in rows_of(records)] == [("b", False, 0)]
    # what older code got wrong stays told, in the row of what the newer gets wrong or in one of its own
    records = [invalid(of_code("a", 0)), of_code("b", 1), invalid(of_code("b", 2)), of_code("a", 0)]
    assert [(row.code_key[0], row.valid, row.superseded) for row in rows_of(records)] == [
        ("b", True, 1),
        ("b", False, 1),
    ]
    assert len(rows_of(records, every_code=True)) == 4
    records = [invalid(of_code("a", 0)), invalid(of_code("a", 1)), of_code("b", 2)]
    right, wrong = rows_of(records)
    assert (right.code_key[0], right.valid, right.older_code) == ("b", True, False)
    assert (wrong.code_key[0], wrong.valid, wrong.older_code) == ("a", False, True)
    said = floor.TABLE.markdown([right, wrong])
    assert "- Invalid, 2 sessions of older code: h200 qwen2.5-7b 2048 " in said
    assert "exceeds the bound" in said


@pytest.mark.slow
def test_the_ranges_come_in_every_form():
    found = json.loads(command("--records", "experiments/records", "--ranges", "--format", "json").stdout)
    table = command("--records", "experiments/records", "--ranges").stdout
    assert len(table.splitlines()) - 2 == len(found)
    dynamic = next(row for row in found if (row["cache"], row["options"]) == ("dynamic", ""))
    assert (dynamic["gpu"], dynamic["cells"]) == ("h200", 12)
    assert dynamic["r_floor_low"] < dynamic["r_floor_median"] < dynamic["r_floor_high"]


@pytest.mark.medium
def test_asked_for_all_each_code_has_a_row_of_its_own():
    records = [of_code("c", 3), of_code("a", 0), of_code("b", 2), of_code("a", 1)]
    table = rows_of(records, every_code=True)
    assert [(row.code_key[0], row.sessions, row.superseded) for row in table] == [
        ("a", 2, 0),
        ("b", 1, 0),
        ("c", 1, 0),
    ]
    assert header(table)[6:9] == ["code_key", "n", "hosts"]


def header(table):
    return [title.strip() for title in floor.TABLE.markdown(table).splitlines()[0].strip("| ").split("|")]


@pytest.mark.medium
def test_rows_that_look_alike_are_told_apart_by_what_differs():
    usual, other = example_record(), example_record()
    other["keys"]["env_key"] = "f" * 12
    assert "env_key" not in header(rows_of([usual]))
    table = rows_of([usual, other])
    assert header(table)[6:8] == ["env_key", "n"]
    assert sorted(row.env_key for row in table) == sorted([usual["keys"]["env_key"], "f" * 12])
    # another dtype is told by its name: the keys of these rows are equal
    assert header(rows_of([usual, example_record(cell={"dtype": "fp16"})]))[6:8] == ["dtype", "n"]
    # what differs between rows that differ in the shown columns anyhow is not needed
    assert header(rows_of([usual, example_record(cell={"dtype": "fp16", "ctx": 4096})]))[6] == "n"
    tail = example_record(protocol={"name": "tail", "steps": 300})
    assert [row.protocol for row in rows_of([usual, tail])] == ["paper-5-30", "tail-5-300"]
    assert header(rows_of([usual, tail]))[6:8] == ["protocol", "n"]


@pytest.mark.medium
def test_rows_that_share_one_packed_quant_name_it():
    (row,) = rows_of([packed_record("awq", "marlin", "fp16")])
    assert "| awq |" in floor.TABLE.markdown([row])


@pytest.mark.medium
def test_without_an_unquantised_cell_the_command_says_why_there_is_no_range(tmp_path):
    record.write(packed_record(), tmp_path / "packed.json")
    finished = command("--records", str(tmp_path), "--ranges")
    told = "No range: no valid unquantised cell has an `r_floor`.\n"
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, told, "")


@pytest.mark.medium
def test_the_texts_of_a_disturbed_session_hold_for_a_row_of_disturbed_sessions_too():
    (help_text,) = [column.help for column in floor.VALUE_COLUMNS if column.key == "disturbed"]
    assert "a row with only such sessions excludes none" in help_text
    assert "unless all of its sessions are disturbed" in FLAG_MEANINGS["disturbed"]
    (row,) = rows_of([disturbed(80.0), disturbed(82.0)])
    assert (row.sessions, row.flags) == (2, ["disturbed", "host-busy"])


@pytest.mark.medium
def test_a_group_over_several_hosts_is_flagged():
    here, there = example_record(), example_record()
    there["keys"]["host_id"] = "f" * 12
    (row,) = rows_of([here, there])
    assert (row.sessions, row.hosts, row.flags) == (2, 2, ["mixed-host"])
    (row,) = rows_of([here, here])
    assert (row.sessions, row.hosts, row.flags) == (2, 1, [])


def test_invalid_groups_that_look_alike_are_told_apart_too():
    bad, other = example_record(bytes={"weights_measured": 1}), example_record(bytes={"weights_measured": 1})
    other["keys"]["env_key"] = "f" * 12
    said = floor.TABLE.markdown(rows_of([bad, other])).splitlines()
    lines = [line for line in said if line.startswith("- Invalid, 1 session: h200 qwen2.5-7b")]
    assert len(lines) == 2
    assert sum("f" * 12 in line for line in lines) == 1


@pytest.mark.slow
def test_all_twelve_cells_have_three_sessions():
    rows = [
        row
        for row in json.loads(command("--records", "experiments/records", "--format", "json").stdout)
        if row["cache"] == "dynamic"
    ]
    assert len([row for row in rows if not row["options"]]) == 12
    assert [(row["sessions"], row["valid"]) for row in rows] == [(3, True)] * 13


@pytest.mark.medium
def test_a_copied_record_is_no_further_session(tmp_path):
    record.write(example_record(), tmp_path / "a.json")
    record.write(example_record(), tmp_path / "copy.json")
    finished = command("--records", str(tmp_path), "--format", "json")
    (row,) = json.loads(finished.stdout)
    assert row["sessions"] == 1
    assert "copy.json: session 0f3c9a52b7d1e846 is also in " in finished.stderr
    assert finished.returncode == 24


@pytest.mark.medium
@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_without_records_is_one_line(tmp_path, folder):
    finished = command("--records", str(tmp_path / folder))
    assert finished.returncode == 11
    assert finished.stderr.count("\n") == 1


@pytest.mark.medium
def test_what_verify_rejects_is_named_and_left_out_and_the_command_fails(tmp_path):
    record.write(example_record(), tmp_path / "z.json")
    wrong = damaged.write(tmp_path / "a")
    finished = command("--records", str(tmp_path), "--format", "json")
    (row,) = json.loads(finished.stdout)
    assert row["sessions"] == 1
    assert finished.returncode == 24
    *left_out, last = finished.stderr.splitlines()
    assert [line.split(": ")[0] for line in left_out] == [f"left out {path}" for path in wrong]
    assert last.startswith("error: files or runs are left out of the table")


@pytest.mark.slow
def test_all_shows_older_code(tmp_path):
    for index, found in enumerate((of_code("a"), of_code("b", 1))):
        record.write(as_session(found, index), tmp_path / f"{index}.json")
    (row,) = json.loads(command("--records", str(tmp_path), "--format", "json").stdout)
    assert (row["code_key"][0], row["superseded"]) == ("b", 1)
    rows = json.loads(command("--records", str(tmp_path), "--format", "json", "--all").stdout)
    assert [row["code_key"][0] for row in rows] == ["a", "b"]


@pytest.mark.medium
def test_joules_have_columns_only_where_they_were_measured():
    (row,) = rows_of([with_energy(example_record(step_ms=ms)) for ms in (30.0, 36.0, 33.0)])
    # 480 W · 33 ms = 15.84 J; the idle card 120 W
    assert row.joules_per_token == pytest.approx(15.84, rel=0.001)
    assert row.joules_per_token_above_idle == pytest.approx(11.88, rel=0.001)
    assert (row.joules_per_token_low, row.joules_per_token_high) == pytest.approx((14.4, 17.28), rel=0.001)
    titles = ("| J/token | J low | J high | J/token above idle |",)
    assert all(title in floor.TABLE.markdown([row]) for title in titles)
    (plain,) = rows_of([example_record()])
    assert "J/token" not in floor.TABLE.markdown([plain])
    assert plain.to_json()["joules_per_token"] is None
