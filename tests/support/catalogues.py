"""Catalogues of a test's own: entries, and the folder that the project reads them from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.cell import catalogue

TINY = catalogue.models()["tiny"].shape.to_json()
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA = {"model_type": "llama", "qkv_bias": False}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, data: Any) -> None:
    (folder / name).write_text(yaml.safe_dump(data))


def figure(value: float | None = 300.0) -> dict[str, Any]:
    return {"value": value, "source": "a page"}


def gpu_entry(**changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": "NVIDIA L4",
        "nvml": "NVIDIA L4",
        "compute_capability": "8.9",
        "compute_capability_source": "a page",
        "image": "ada",
        "image_reason": None,
        "shared_memory": False,
        **{name: figure() for name in catalogue.FIGURES},
        "price_usd_per_hour": {**figure(), "date": "2026-11"},
    }
    return {**entry, **changes}


def model_entry(**changes: Any) -> dict[str, Any]:
    return {"name": "m", **TINY, "source": "here", "checkpoints": {}, **changes}
