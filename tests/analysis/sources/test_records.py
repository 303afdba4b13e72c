"""Sessions from record files: what is read, and what is left out."""

import json
import shutil

import pytest

from analysis import ab
from analysis.sources import records
from analysis.sources.records import Folder
from runner.errors import BadValue
from runner.record import record
from tests.support.records import as_session, example_record


@pytest.mark.medium
def test_an_ab_that_is_in_two_folders_is_shown_once(folder, tmp_path):
    (ab_folder,) = (path.parent for path in folder.rglob("ab.json"))
    for name in ("one", "two"):
        shutil.copytree(ab_folder, tmp_path / name)
    frame = Folder(tmp_path).compared(ab.NEEDED)
    assert len(frame.manifests) == 1
    said = f"{tmp_path}/two/ab.json: A/B {frame.manifests[0].id} is in another file as well: remove one of them"
    assert said in frame.left_out


@pytest.mark.medium
def test_a_record_is_named_by_its_place_in_the_folder_and_what_is_damaged_by_its_fault(tmp_path):
    for number, place in enumerate(("a.json", "inner/b.json")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(as_session(example_record(), number)))
    shutil.copy(tmp_path / "a.json", tmp_path / "z.json")
    (tmp_path / "cut.json").write_text("{")
    read, files, rejected = records.read_folder(tmp_path)
    assert read.keys() == files.keys()
    assert sorted(files.values()) == ["a.json", "inner/b.json"]
    assert [line.split(":")[0] for line in sorted(rejected)] == [f"{tmp_path}/cut.json", f"{tmp_path}/z.json"]
    assert Folder(tmp_path).frame(("step_wall_ms",)).record_files == files


def test_a_folder_without_a_record_says_so(tmp_path):
    with pytest.raises(BadValue, match=r"no records \(\*\.json\) there"):
        Folder(tmp_path)


@pytest.mark.medium
def test_an_ab_whose_record_is_gone_is_left_out_by_name(folder, tmp_path):
    (ab_folder,) = (path.parent for path in folder.rglob("ab.json"))
    shutil.copytree(ab_folder, tmp_path / "ab")
    gone = next(path for path in (tmp_path / "ab").glob("*.json") if path.name != "ab.json")
    session = json.loads(gone.read_text())["session"]["id"]
    gone.unlink()
    frame = Folder(tmp_path).compared(ab.NEEDED)
    fault = f"session {session} ({gone.name}) is not among the records that can be used"
    said = f"{tmp_path}/ab/ab.json: {fault}: {record.RESTORE}"
    assert (frame.manifests, frame.left_out) == ((), (said,))
