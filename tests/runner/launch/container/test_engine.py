"""The engines' clients: which there are, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import BadValue, NoContainer
from runner.launch.container import engine
from runner.plan.sessionplan import Plan
from tests.runner.launch.container.fake import AWAY, FakeEngine, choose, present


@pytest.mark.medium
def test_podman_under_dockers_name_is_podman(engines: Callable[..., list[FakeEngine]]) -> None:
    engines(docker={**present(), "--version": {"out": "podman version 4.3.1\n"}})
    assert [each.name for each in engine.installed()] == ["podman"]
    (docker,) = engines(docker={**present(), "--version": {"out": "Docker version 28.2.2, build e6534b4\n"}})
    assert [each.name for each in engine.installed()] == ["docker"]
    asked = docker.told()
    assert [each.name for each in engine.installed()] == ["docker"]
    assert docker.told() == asked  # the same file is asked once


@pytest.mark.medium
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


@pytest.mark.medium
@pytest.mark.parametrize("out", ["", "{}", "[]", '[{"Id": "x"}]', "not json"])
def test_what_is_no_answer_is_one_line(out: str, tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, "podman", {"image inspect": {"out": out}})
    with pytest.raises(NoContainer, match="the engine's answer about the image decode-floor:cpu cannot be read"):
        engine.Engine("podman", str(fake.program)).image("decode-floor:cpu")


@pytest.mark.medium
def test_a_container_is_removed_at_once_and_one_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    gone = {"rm": {"err": "Error response from daemon: No such container: x\n", "code": 1}}
    fakes = {name: FakeEngine(tmp_path, name, gone) for name in engine.ENGINES}
    for name, fake in fakes.items():
        engine.Engine(name, str(fake.program)).remove("x")
    # Podman would give it 10 s after a SIGTERM
    assert fakes["podman"].told() == [["rm", "--force", "--time", "0", "x"]]
    assert fakes["docker"].told() == [["rm", "--force", "x"]]


@pytest.mark.medium
def test_a_container_that_may_still_run_is_named(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, "podman", {"rm": {"err": "\n  device is busy\nmore\n", "code": 2}})
    with pytest.raises(
        NoContainer, match=r"^the container x may still be running: device is busy; `podman rm --force x` removes it$"
    ):
        engine.Engine("podman", str(fake.program)).remove("x")
    with pytest.raises(NoContainer, match=r"^the container x may still be running: podman cannot be started \("):
        engine.Engine("podman", str(tmp_path / "no program")).remove("x")


@pytest.mark.medium
def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(NoContainer, match=r"^docker does not answer within 0\.2 s: restart it$"):
        engine.Engine("docker", str(program), patience_s=0.2).image("decode-floor:cpu")


@pytest.mark.medium
def test_security_options_are_read_by_their_names(tmp_path: Path) -> None:
    fake = FakeEngine(tmp_path, "docker", {"info": {"out": '["name=seccomp,profile=builtin","name=rootless"]\n'}})
    docker = engine.Engine("docker", str(fake.program))
    assert docker.security() == ("seccomp", "rootless")
    fake.answer({"info": {"out": "null\n"}})
    assert docker.security() == ()
    fake.answer({"info": {"out": '["profile=builtin"]'}})
    with pytest.raises(NoContainer, match="about its security options cannot be read"):
        docker.security()
