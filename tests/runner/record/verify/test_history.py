"""`verify --since` lists the committed records that git shows as changed or deleted."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from runner.cli import program
from runner.errors import BadRecord, BadValue
from runner.record.verify import history

ROOT = Path(__file__).parents[4]
FIRST, SECOND = sorted((ROOT / "experiments" / "records" / "h100").glob("qwen2.5-7b-2048-bf16-graph-*.json"))[:2]


def git(folder, *words):
    own = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *own, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, text="more"):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """A repository with one record, and a README beside it."""
    git(tmp_path, "init", "-q")
    (tmp_path / "records").mkdir()
    shutil.copy(FIRST, tmp_path / "records")
    (tmp_path / "records" / "README.md").write_text("one")
    return tmp_path


@pytest.fixture
def since(repository):
    return commit(repository)


@pytest.fixture
def records(repository):
    return repository / "records"


def edit(records):
    path = records / FIRST.name
    path.write_text(path.read_text().replace('"valid": true', '"valid": false'))


@pytest.mark.medium
def test_an_untouched_folder_has_no_changes(repository, records, since):
    shutil.copy(SECOND, records)
    (records / "README.md").write_text("two")
    assert history.changed(since, [records]) == []
    commit(repository)
    assert history.changed(since, [records]) == []


@pytest.mark.parametrize("is_committed", [False, True])
def test_an_edited_record_is_listed(repository, records, since, is_committed):
    edit(records)
    if is_committed:
        commit(repository)
    (line,) = history.changed(since, [records])
    assert line == f"{records / FIRST.name}: changed since {since}: restore the record, or measure a new one"


@pytest.mark.medium
@pytest.mark.parametrize("is_committed", [False, True])
def test_a_deleted_record_is_listed(repository, records, since, is_committed):
    (records / FIRST.name).unlink()
    if is_committed:
        commit(repository)
    (line,) = history.changed(since, [records])
    assert "deleted since" in line


@pytest.mark.medium
def test_a_record_that_was_added_and_then_edited_or_edited_and_restored_is_listed(repository, records, since):
    shutil.copy(SECOND, records)
    commit(repository)
    before = (records / FIRST.name).read_text()
    edit(records)
    (records / SECOND.name).unlink()
    commit(repository)
    (records / FIRST.name).write_text(before)
    commit(repository)
    lines = history.changed(since, [records])
    named = [line.partition(": ")[0] for line in lines]
    assert named == sorted(str(records / each.name) for each in (FIRST, SECOND))


@pytest.mark.medium
def test_a_record_may_move_within_its_folder_and_not_out_of_it(repository, records, since):
    (records / "h100").mkdir()
    (records / FIRST.name).rename(records / "h100" / FIRST.name)
    commit(repository)
    assert history.changed(since, [records]) == []
    (records / "h100" / FIRST.name).rename(repository / FIRST.name)
    commit(repository)
    (line,) = {line.partition(": ")[2] for line in history.changed(since, [records])}
    assert line.startswith("deleted since")


@pytest.mark.medium
@pytest.mark.parametrize("name", [f"{FIRST.name}.bak", f".{FIRST.name}", "renamed.json", f".old/{FIRST.name}"])
def test_a_record_that_is_hidden_or_renamed_is_listed_as_deleted(repository, records, since, name):
    (records / name).parent.mkdir(exist_ok=True)
    (records / FIRST.name).rename(records / name)
    commit(repository)
    (line,) = history.changed(since, [records])
    assert line.startswith(f"{records / FIRST.name}: deleted since")


@pytest.mark.medium
def test_a_record_that_moved_and_was_edited_is_listed(repository, records, since):
    (records / "h100").mkdir()
    edit(records)
    (records / FIRST.name).rename(records / "h100" / FIRST.name)
    commit(repository)
    (line,) = history.changed(since, [records])
    assert line.startswith(f"{records / FIRST.name}: deleted since")


@pytest.mark.medium
def test_a_record_beside_one_that_moved_is_listed(repository, records):
    shutil.copy(SECOND, records)
    since = commit(repository)
    (records / "h100").mkdir()
    first, second = sorted((FIRST.name, SECOND.name))
    (records / first).rename(records / "h100" / first)
    (records / second).unlink()
    commit(repository)
    (line,) = history.changed(since, [records])
    assert line.startswith(f"{records / second}: deleted since")


@pytest.mark.medium
def test_a_record_that_became_a_link_is_listed(repository, records, since):
    (records / FIRST.name).rename(repository / "elsewhere")
    (records / FIRST.name).symlink_to(repository / "elsewhere")
    commit(repository)
    (line,) = history.changed(since, [records])
    assert line.startswith(f"{records / FIRST.name}: changed since")


@pytest.mark.medium
def test_a_record_that_was_added_and_is_edited_now_is_listed(repository, records, since):
    shutil.copy(SECOND, records)
    commit(repository)
    (records / SECOND.name).write_text("{}")
    (line,) = history.changed(since, [records])
    assert line.startswith(f"{records / SECOND.name}: changed since")


@pytest.mark.medium
def test_a_branch_that_left_before_the_record_is_held_against_it_all_the_same(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "README.md").write_text("one")
    before = commit(tmp_path)
    shutil.copy(FIRST, tmp_path)
    since = commit(tmp_path)
    git(tmp_path, "reset", "-q", "--hard", before)
    (line,) = history.changed(since, [tmp_path])
    assert line.startswith(f"{tmp_path / FIRST.name}: deleted since")


@pytest.mark.medium
def test_the_manifest_of_an_ab_may_grow_and_not_go(repository, records):
    manifest = records / "ab.json"
    manifest.write_text("{}")
    since = commit(repository)
    manifest.write_text('{"blocks": []}')
    commit(repository)
    assert history.changed(since, [records]) == []
    manifest.unlink()
    assert len(history.changed(since, [records])) == 1


def test_the_command_fails_with_the_list(records, since):
    edit(records)
    result = CliRunner().invoke(program, ["verify", "--since", since, str(records)])
    assert isinstance(result.exception, BadRecord)
    assert str(result.exception) == (
        f"1 committed record was changed or deleted since {since}: `git checkout {since} -- FILE` restores one"
    )
    assert f"{FIRST.name}: changed since" in result.output.replace("\n", "")


@pytest.mark.medium
def test_a_commit_that_git_does_not_know_and_a_folder_without_git_are_said(records, since, tmp_path_factory):
    with pytest.raises(BadValue, match="--since nowhere: no such commit in this repository"):
        history.changed("nowhere", [records])
    with pytest.raises(BadValue, match="--since --all"):
        history.changed("--all", [records])
    bare = tmp_path_factory.mktemp("bare")
    with pytest.raises(BadRecord, match="not in a git repository"):
        history.changed(since, [bare])
    with pytest.raises(BadRecord, match="not a folder"):
        history.changed(since, [records / FIRST.name])


def test_blank_fields_between_commits_hide_no_later_one():
    """Versions of git separate the commits of a log in different ways."""
    output = "\0M\0a.json\0\0\nD\0b.json\0\n\0R100\0c.json\0h100/c.json\0R100\0d.json\0e.json\0T\0f.json\0"
    entries = [("M", "a.json"), ("D", "b.json"), ("D", "d.json"), ("T", "f.json")]
    assert list(history._entries(output)) == entries
    assert list(history._entries("")) == []
