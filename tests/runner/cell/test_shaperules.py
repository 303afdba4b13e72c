"""A shape of the catalogue that no model has, or that cannot be measured, is named by its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.cell import catalogue
from runner.errors import BadValue
from tests.support.catalogues import LLAMA, LLAMA3, model_entry, write


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers: 0 is not a positive number"),
        ({"vocab": -512}, "vocab: -512 is not a positive number"),
        ({"layers": 10**5}, "layers: 100000 is too large (at most 10000)"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: nan is not a positive number"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps: 0.0 is not a positive number"),
        ({"rope_theta": float("inf")}, "rope_theta: inf is not a positive number"),
        ({"rope_theta": -1.0}, "rope_theta: -1.0 is not a positive number"),
        ({"kv_heads": 3}, "kv_heads: 4 heads cannot share 3 KV heads evenly"),
        ({"kv_heads": 8}, "kv_heads: 4 heads cannot share 8 KV heads evenly"),
        ({"hidden": 130}, "hidden: 130 is not a multiple of 4 heads"),
        ({"head_dim": 33}, "head_dim: 33 is odd, but a rotary embedding needs pairs"),
        (
            {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
            "rope_scaling.rope_type: 'yarn' is not supported, only llama3: choose another model; if its config.json "
            "scales nothing, write rope_scaling: null",
        ),
        ({"rope_scaling": {}}, "rope_scaling.rope_type: null is not supported, only llama3"),
        ({"rope_scaling": {"type": "llama3"}}, "rope_scaling.type: an older name: write rope_type"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_scaling.factor: missing"),
        ({"rope_scaling": {**LLAMA3, "factor": "8"}}, "rope_scaling.factor: '8' is not a number: write 8.0"),
        ({"rope_scaling": {**LLAMA3, "factor": 0}}, "rope_scaling.factor: 0 is not a positive number"),
        ({"rope_scaling": {**LLAMA3, "beta": 1}}, "rope_scaling.beta: unknown field"),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": 1}}, "rope_scaling.high_freq_factor: not above low_freq"),
    ],
)
def test_a_shape_that_no_model_has_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    entry = model_entry(**changes)
    write(folder, "models.yaml", {"m": entry})
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value).startswith("models.yaml: m.")
    assert message in str(caught.value)
