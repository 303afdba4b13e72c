"""A manifest as tags of a run, and back."""

from dataclasses import replace
from pathlib import Path

import pytest

from runner.ab import manifest
from runner.errors import BadRecord
from runner.store import manifesttags
from runner.store.session_run import TAG_LENGTH

ROOT = Path(__file__).parents[3]
COMMITTED = sorted((ROOT / "experiments" / "records").rglob("ab.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_a_manifest_comes_back_from_among_other_tags(path):
    whole = manifest.read(path)
    tags = {"study": "cuda-graphs", "ab": whole.id, **manifesttags.manifest_tags(whole)}
    assert manifesttags.manifest_from_tags(tags, "run 1") == whole


def test_one_longer_than_a_tag_may_be_takes_several():
    whole = manifest.read(COMMITTED[0])
    longer = replace(whole, blocks=whole.blocks * 20)
    tags = manifesttags.manifest_tags(longer)
    assert len(tags) > 1
    assert max(map(len, tags.values())) == TAG_LENGTH
    assert manifesttags.manifest_from_tags(dict(reversed(tags.items())), "run 1") == longer


@pytest.mark.medium
def test_more_than_nine_tags_are_put_together_in_their_order():
    whole = manifest.read(COMMITTED[0])
    longer = replace(whole, blocks=whole.blocks * 60)
    tags = manifesttags.manifest_tags(longer)
    assert len(tags) > 11
    assert manifesttags.manifest_from_tags(dict(reversed(tags.items())), "run 1") == longer


def test_a_run_without_it_is_told():
    with pytest.raises(BadRecord, match="run 1: not a manifest"):
        manifesttags.manifest_from_tags({"ab": "0123"}, "run 1")
