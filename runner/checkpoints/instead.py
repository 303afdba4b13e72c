"""Advice for a folder without the expected files: what it contains instead, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

AGAIN = "fetch or save the checkpoint again"
SHARDS = re.compile(r"^model-\d+-of-\d+\.safetensors$")
VARIANT = re.compile(r"^model\.(?P<variant>[\w-]+?)(-\d+-of-\d+)?\.safetensors$")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
OTHERS = (".gguf", ".h5", ".msgpack", ".onnx", ".nemo")
SNAPSHOTS = "snapshots"  # in the hub's cache, the folder of a repository's commits


def remedy(folder: Path) -> str:
    """Returns what the folder contains and what to do, as the end of an error message."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    advice = (kind(folder, names) for kind in KINDS)
    return next((text for text in advice if text is not None), AGAIN)


def _snapshot(folder: Path, names: list[str]) -> str | None:
    if SNAPSHOTS not in names or not (folder / SNAPSHOTS).is_dir():
        return None
    commits = [path.name for path in (folder / SNAPSHOTS).iterdir()]
    commit = commits[0] if len(commits) == 1 else "<commit>"
    return f"it is a repository in the hub's cache: give its folder {SNAPSHOTS}/{commit}"


def _adapter(_folder: Path, names: list[str]) -> str | None:
    if not any(name in names for name in ADAPTER):
        return None
    return "only an adapter (as LoRA's) is there: merge it into its base model, save that whole, and give its folder"


def _shards(_folder: Path, names: list[str]) -> str | None:
    shards = [name for name in names if SHARDS.match(name)]
    if not shards:
        return None
    number = f"{len(shards)} shards are" if len(shards) > 1 else "a shard is"
    return f"{number} there ({shards[0]}, …), but not their index: fetch that, too, or save the model again"


def _variant(_folder: Path, names: list[str]) -> str | None:
    for name in names:
        if match := VARIANT.match(name):
            variant = match["variant"]
            return (
                f"only the variant {variant} is there ({name}): rename its files without `.{variant}` (in an index, "
                "too), or fetch the model without variant"
            )
    return None


def _release(_folder: Path, names: list[str]) -> str | None:
    if file := _first(names, lambda name: name.startswith("consolidated") and name.endswith(".safetensors")):
        return (
            f"only {file} is there, with the release's own names of tensors: convert it with transformers' script, "
            "or fetch model*.safetensors of the same repository"
        )
    return None


def _other_format(_folder: Path, names: list[str]) -> str | None:
    file = _first(names, lambda name: name.endswith(OTHERS))
    return None if file is None else f"only {file} is there: convert it to safetensors, or fetch those"


def _other_name(_folder: Path, names: list[str]) -> str | None:
    file = _first(names, lambda name: name.endswith(".safetensors"))
    return None if file is None else f"{file} is there: if it is the whole model, rename it to model.safetensors"


def _folders(folder: Path, names: list[str]) -> str | None:
    inner = [name for name in names if (folder / name / "config.json").is_file()]
    return None if not inner else f"give the folder of one model, such as {inner[-1]} in it"


def _first(names: Iterable[str], fits: Callable[[str], bool]) -> str | None:
    return next(filter(fits, names), None)


# more specific ones first
KINDS = (_snapshot, _adapter, _shards, _variant, _release, _other_format, _other_name, _folders)
