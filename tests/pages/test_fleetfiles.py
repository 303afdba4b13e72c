"""The cluster files and commands of docs/fleet.md, as Ray reads them."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from tests.pages.markdown import ROOT

PAGE = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
OF_RAY_UP, OF_KUBERAY = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def resources(command: str) -> Any:
    """Returns the resources that a command of `ray start` declares."""
    (text,) = (word.partition("=")[2] for word in shlex.split(command) if word.startswith("--resources="))
    return json.loads(text)


def test_every_command_that_starts_a_node_declares_its_resource() -> None:
    by_hand = re.findall(r"^    (RAY_worker_niceness=0 ray start .*)$", PAGE, re.MULTILINE)
    commands = [*by_hand, OF_RAY_UP["worker_start_ray_commands"][-1]]
    assert [resources(command) for command in commands] == [{"decode_floor": 1}] * 2
    assert json.loads(json.loads(OF_KUBERAY["rayStartParams"]["resources"])) == {"decode_floor": 1}


@pytest.mark.slow
def test_ray_up_takes_its_file_and_its_head_starts_the_workers() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    prepared = util.prepare_config(dict(OF_RAY_UP))
    util.validate_config(prepared)
    (kind,) = prepared["available_node_types"].values()
    assert (kind["min_workers"], kind["max_workers"]) == (2, 2)
    # the command starts the head alone; without this option Ray warns, and no worker is ever started
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in OF_RAY_UP["head_start_ray_commands"][-1]
