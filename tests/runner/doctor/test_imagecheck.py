"""Engines and images, asked of programs that answer as the real clients were seen to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.doctor import imagecheck
from runner.doctor.finding import NOTE, OK, PROBLEM
from runner.errors import BadValue
from tests.runner.launch.container.fake import ABSENT, AWAY, FakeEngine, path_of, present


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts fakes on PATH, and nothing else: `engines(podman=answers)`."""

    def put(**answers: Any) -> list[FakeEngine]:
        made = [FakeEngine(tmp_path, name, each) for name, each in answers.items()]
        monkeypatch.setenv("PATH", path_of(*made))
        monkeypatch.delenv("DECODE_FLOOR_ENGINE", raising=False)
        return made

    return put


@pytest.mark.medium
def test_both_images_of_a_gpu_are_listed(engines: Any) -> None:
    (podman,) = engines(podman=present(min_driver="580"))
    images = imagecheck.look("l4")
    assert images.is_present
    assert images.finding.state == OK
    assert images.finding.finding == "podman has decode-floor:ada-modern, decode-floor:ada-paper"
    assert [told[-1] for told in podman.told()] == ["decode-floor:ada-modern", "decode-floor:ada-paper"]


@pytest.mark.medium
def test_an_absent_image_is_no_problem(engines: Any) -> None:
    engines(podman=ABSENT)
    images = imagecheck.look("cpu")
    assert not images.is_present
    assert images.finding.state == NOTE
    assert images.finding.finding == "podman has no image decode-floor:cpu: cells are measured in this interpreter"
    assert images.finding.remedy == "make image-cpu"


@pytest.mark.medium
def test_an_engine_that_is_not_running_does_not_hide_another(engines: Any) -> None:
    engines(docker=AWAY, podman=present())
    assert imagecheck.look("cpu").finding.finding == "podman has decode-floor:cpu"


@pytest.mark.medium
def test_an_engine_that_is_not_running_is_no_problem(engines: Any) -> None:
    engines(docker=AWAY)
    found = imagecheck.look("cpu").finding
    assert found.state == NOTE
    assert "docker is installed but does not answer" in found.finding


@pytest.mark.medium
def test_an_engine_that_hangs_is_given_up(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker,) = engines(docker={})
    docker.program.write_text("#!/bin/sh\n[ $1 = --version ] || exec /bin/sleep 60\n")
    monkeypatch.setattr(imagecheck, "PATIENCE_S", 0.2)
    assert "docker does not answer within 0.2 s" in imagecheck.look("cpu").finding.finding


def test_containers_may_be_absent_or_switched_off(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engines()
    assert imagecheck.look("cpu").finding.finding.startswith("no Docker or Podman on PATH")
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "none")
    assert imagecheck.look("cpu").finding.finding.startswith("DECODE_FLOOR_ENGINE=none switches them off")


def test_a_mistake_in_the_variable_is_a_problem(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engines()
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "dokcer")
    found = imagecheck.look("cpu").finding
    assert (found.state, found.exit_code) == (PROBLEM, BadValue.exit_code)


@pytest.mark.medium
@pytest.mark.parametrize("gpu", ["gb10", "nvidia-x1"])
def test_a_gpu_may_have_no_image(engines: Any, gpu: str) -> None:
    engines(podman=ABSENT)
    found = imagecheck.look(gpu).finding
    assert found.state == NOTE
    assert found.finding.startswith("there is no image for this GPU")
