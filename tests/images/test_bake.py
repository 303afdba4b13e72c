"""images/docker-bake.hcl: buildx plans the same images as images/build.sh, from the same settings."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.images.programs import program
from tests.images.settings import ARCHITECTURES, IMAGES, ROOT, STACKS

FROM_STACK = ("MIN_DRIVER", "EXTRA_INDEX_URL", "COMPILER_URL", "COMPILER_SHA256")


@pytest.fixture(scope="module")
def plan() -> Any:
    buildx = program("docker-buildx", ".ci/run fetches it from Debian")
    command = [buildx, "bake", "--file", "images/docker-bake.hcl", "--print"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def target_of(arch: str, stack: str) -> str:
    return "cpu" if arch == "cpu" else f"{arch}-{stack}"


@pytest.mark.medium
def test_it_plans_every_image_and_no_other(plan: Any) -> None:
    assert set(plan["target"]) == {target_of(arch, stack) for arch, stack in IMAGES}


@pytest.mark.parametrize(("arch", "stack"), IMAGES)
def test_an_image_is_planned_with_its_settings(plan: Any, arch: str, stack: str) -> None:
    target = plan["target"][target_of(arch, stack)]
    assert (target["context"], target["dockerfile"]) == (".", "images/Dockerfile")
    assert target["tags"] == [f"decode-floor:{target_of(arch, stack)}"]
    arguments = target["args"]
    assert (arguments["ARCH"], arguments["STACK"]) == (arch, stack)
    assert arguments["ARCH_LIST"] == ARCHITECTURES[arch]["ARCH_LIST"]
    for name in FROM_STACK:
        assert arguments.get(name, "") == STACKS[stack][name], name


def test_each_argument_is_one_of_the_dockerfile(plan: Any) -> None:
    """Another is only warned of, and then has no effect."""
    dockerfile = (ROOT / "images" / "Dockerfile").read_text(encoding="utf-8")
    for target in plan["target"].values():
        for name in target["args"]:
            assert f"\nARG {name}" in dockerfile, name
