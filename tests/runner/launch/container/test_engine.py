"""The engines' clients: which there are, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import BadValue, NoContainer
from runner.launch.container import engine
from runner.plan.resolve import Plan
from tests.runner.launch.container.fake import AWAY, FakeEngine, choose, present


def test_podman_under_dockers_name_is_podman(engines: Callable[..., list[FakeEngine]]) -> None:
    engines(docker={**present(), "--version": {"out": "podman version 4.3.1\n"}})
    assert [each.name for each in engine.installed()] == ["podman"]
    engines(docker={**present(), "--version": {"out": "Docker version 28.2.2, build e6534b4\n"}})
    assert [each.name for each in engine.installed()] == ["docker"]


def test_an_engine_can_be_named_or_done_without(
    engines: Callable[..., list[FakeEngine]], monkeypatch: pytest.MonkeyPatch, cpu_plan: Plan
) -> None:
    engines(docker=AWAY, podman=present())
    assert [each.name for each in engine.installed()] == ["docker", "podman"]
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "podman")
    assert [each.name for each in engine.installed()] == ["podman"]
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "none")
    assert engine.installed() == ()
    with pytest.raises(NoContainer, match="DECODE_FLOOR_ENGINE=none switches containers off: unset it"):
        choose("container", "auto", cpu_plan)
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "buildah")
    with pytest.raises(BadValue, match="DECODE_FLOOR_ENGINE=buildah: choose docker, podman or none"):
        engine.installed()
    engines()
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "docker")
    with pytest.raises(BadValue, match="there is no docker on PATH"):
        engine.installed()


@pytest.mark.parametrize("out", ["", "{}", "[]", '[{"Id": "x"}]', "not json"])
def test_what_is_no_answer_is_one_line(out: str, tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, "podman", {"image inspect": {"out": out}})
    with pytest.raises(NoContainer, match="the engine's answer about the image decode-floor:cpu cannot be read"):
        engine.Engine("podman", str(fake.program)).image("decode-floor:cpu")
