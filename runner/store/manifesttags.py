"""Manifest of an A/B as tags of its run, which the tables read without downloading artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from runner.ab.manifest import Manifest, parse
from runner.cell.jsonform import to_json
from runner.store.session_run import TAG_LENGTH

PREFIX = "decode_floor.ab_json."


def manifest_tags(manifest: Manifest) -> dict[str, str]:
    """Returns the manifest's JSON, split into numbered tags of at most TAG_LENGTH characters."""
    text = json.dumps(to_json(manifest), separators=(",", ":"))
    starts = range(0, len(text), TAG_LENGTH)
    return {f"{PREFIX}{number:03d}": text[start : start + TAG_LENGTH] for number, start in enumerate(starts)}


def manifest_from_tags(tags: Mapping[str, str], name: str) -> Manifest:
    """Returns the manifest in a run's tags, see `manifest_tags`. Raises BadRecord with `name` without one."""
    return parse("".join(tags[key] for key in sorted(tags) if key.startswith(PREFIX)), name)
