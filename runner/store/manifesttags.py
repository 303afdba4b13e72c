"""A manifest as tags of the A/B's run: a table reads it from any store, without the artifacts of every run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from runner.ab.manifest import Manifest, parse
from runner.cell.jsonform import to_json
from runner.store.session_run import TAG_LENGTH

PREFIX = "decode_floor.ab_json."


def tags_of(manifest: Manifest) -> dict[str, str]:
    """The manifest's JSON, in as many tags as it takes."""
    text = json.dumps(to_json(manifest), separators=(",", ":"))
    starts = range(0, len(text), TAG_LENGTH)
    return {f"{PREFIX}{number:03d}": text[start : start + TAG_LENGTH] for number, start in enumerate(starts)}


def manifest_of(tags: Mapping[str, str], name: str) -> Manifest:
    """The inverse of `tags_of`, whatever other tags are there. Raises BadRecord, naming `name`, where it is none."""
    return parse("".join(tags[key] for key in sorted(tags) if key.startswith(PREFIX)), name)
