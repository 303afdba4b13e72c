"""The checkpoint that `weights=` names."""

from __future__ import annotations

import os
import re

from runner.cell import vocabulary
from runner.cell.catalogue import Model
from runner.cell.vocabulary import AUTO
from runner.checkpoints import checkpoint, readable
from runner.checkpoints.checkpoint import Checkpoint
from runner.errors import BadCheckpoint
from runner.plan.request import FROM_ENVIRONMENT, HUB, SYNTHETIC, Request, weights_folder

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # an owner and a repository


def checkpoint_of(request: Request, model: Model, quant: str) -> Checkpoint | None:
    """Returns the checkpoint that a request names, or None for synthetic weights. Raises BadCheckpoint."""
    if request.weights in (AUTO, SYNTHETIC):
        return None
    if request.weights != HUB:
        return _local(weights_folder(request.weights), model, quant)
    entry = model.checkpoints.get(quant)
    if entry is None:
        quants = ", ".join(model.checkpoints) or "none"
        raise BadCheckpoint(
            f"the catalogue has no hub checkpoint of {model.key} in {quant} (it has: {quants}): "
            "add it to models.yaml, or give a local folder with weights=PATH"
        )
    with readable.checked(entry.hub):
        return checkpoint.on_hub(entry, model.shape, quant)


def _local(path: str, model: Model, quant: str) -> Checkpoint:
    try:
        with readable.checked(f"weights={path}"):
            return checkpoint.local(path, model.shape, quant)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{error}{_suggestion(path)} (weights is synthetic, hub, a folder or env:NAME)") from error


def _suggestion(path: str) -> str:
    """Returns a suggestion for a folder that does not exist, or "" if it exists."""
    if os.path.exists(os.path.expanduser(path)):
        return ""
    if HUB_NAME.fullmatch(path):
        return "; for a checkpoint on the hub, add it to models.yaml and use weights=hub"
    if "/" in path:
        return ""
    # a plain word is more likely a mistyped `synthetic` or `hub` than a folder
    word, colon, name = path.partition(":")
    return vocabulary.suggestion(path, (f"{FROM_ENVIRONMENT}{name}",) if colon and len(word) < 5 else (SYNTHETIC, HUB))
