"""images/build.sh: what it tells an engine to do, and its one line for each thing that can be wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.engines import ROOT, Machine
from tests.support.makefile import recipe

ONE_CPU_IMAGE = "sha256:86001e454b8e2a1d6b72d1ada3cfb8394351dabe1cd8aac6beb6686e3c2789e3"


def said(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line of a build that failed."""
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "usage: images/build.sh ARCH [STACK]: ARCH is ada, ampere, blackwell, cpu or hopper"),
        (("volta",), "Architecture 'volta' is not known: choose ada, ampere, blackwell, cpu or hopper"),
        (
            ("../ada",),
            "Architecture '../ada' is not known: choose ada, ampere, blackwell, cpu or hopper",
        ),
        (("blackwell", "paper"), "There is no image of the stack 'paper' for blackwell: choose STACK=modern"),
        (("ada", "paer"), "There is no image of the stack 'paer' for ada: choose STACK=modern or paper"),
        (("cpu", "modern"), "There is no image of the stack 'modern' for cpu: choose STACK=cpu"),
    ],
)
def test_an_image_that_does_not_exist_is_one_line_before_any_engine_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    machine = Machine(tmp_path, "buildah that builds")
    assert said(machine.build(*arguments)) == line
    assert machine.calls() == []


def test_without_an_engine_it_says_what_to_install(tmp_path: Path) -> None:
    needed = "No container engine found: install docker with buildx, podman or buildah"
    assert said(Machine(tmp_path, None).build("cpu")) == needed


@pytest.mark.medium
@pytest.mark.parametrize(
    ("transcript", "engine", "why"),
    [
        (
            "docker without its daemon",
            "docker",
            "docker is installed but does not work here: Cannot connect to the Docker daemon at "
            "unix:///var/run/docker.sock. Is the docker daemon running?",
        ),
        (
            "docker without buildx",
            "docker",
            "docker has no buildx here: install docker-buildx, or choose ENGINE=podman or buildah",
        ),
        (
            "buildah of a user without a home",
            "buildah",
            "buildah is installed but does not work here: Error: mkdir /nonexistent: permission denied",
        ),
    ],
)
def test_an_engine_that_does_not_work_says_why(tmp_path: Path, transcript: str, engine: str, why: str) -> None:
    machine = Machine(tmp_path, transcript)
    assert said(machine.build("cpu", ENGINE=engine)) == why
    found = f"No container engine found that works ({why}): install docker with buildx, podman or buildah"
    assert said(machine.build("cpu")) == found


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ("lxc", "ENGINE=lxc is not known: choose docker, podman or buildah"),
        ("podman", "ENGINE=podman is not installed here: install it or choose another"),
    ],
)
def test_an_engine_that_is_not_there_is_one_line(tmp_path: Path, engine: str, line: str) -> None:
    assert said(Machine(tmp_path, "buildah that builds").build("cpu", ENGINE=engine)) == line


@pytest.mark.medium
def test_a_client_without_its_daemon_does_not_hide_an_engine_that_works(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "buildah that builds")
    machine.install("docker", "#!/bin/sh\nexit 1\n")
    finished = machine.build("cpu")
    assert finished.returncode == 0, finished.stderr
    assert "with buildah" in finished.stdout


@pytest.mark.medium
def test_the_engine_is_told_what_the_settings_say(tmp_path: Path) -> None:
    """Every argument is one word of the command line; what is secret goes in as a file, never as an argument."""
    machine = Machine(tmp_path, "buildah that builds")
    (tmp_path / "pip.conf").touch()
    finished = machine.build(
        "ada", "paper", PIP_CONF=str(tmp_path / "pip.conf"), BASE_IMAGE="base@sha256:1", MAX_JOBS="3"
    )
    assert finished.returncode == 0, finished.stderr
    (command,) = [call for call in machine.calls() if call[1] == "bud"]
    assert command[-1] == "."
    assert command[command.index("--tag") + 1] == "decode-floor:ada-paper"
    assert command[command.index("--secret") + 1] == f"id=pip-conf,src={tmp_path}/pip.conf"
    key = subprocess.run(
        [sys.executable, "-m", "runner.record.codekey"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    given = {word.removeprefix("--build-arg=") for word in command if word.startswith("--build-arg=")}
    assert {
        "ARCH=ada",
        "STACK=paper",
        "ARCH_LIST=8.9",
        "MIN_DRIVER=525",
        "MAX_JOBS=3",
        "BASE_IMAGE=base@sha256:1",
        f"TREE_KEY={key.stdout.strip()}",
    } <= given


@pytest.mark.medium
def test_no_password_of_the_checkout_gets_into_a_label(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "buildah that builds")
    machine.install("git", "#!/bin/sh\n[ $1 = remote ] && echo https://me:secret@example.org/decode-floor.git\n")
    assert machine.build("cpu").returncode == 0
    (command,) = [call for call in machine.calls() if call[1] == "bud"]
    assert "--build-arg=SOURCE=https://example.org/decode-floor.git" in command


@pytest.mark.medium
@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_a_build_ends_with_the_image_and_its_size(tmp_path: Path, engine: str) -> None:
    finished = Machine(tmp_path, f"{engine} that builds").build("cpu")
    assert finished.returncode == 0, finished.stderr
    last = finished.stdout.splitlines()[-1]
    assert last.startswith("Built decode-floor:cpu in ")
    assert ONE_CPU_IMAGE.removeprefix("sha256:") in last


@pytest.mark.medium
@pytest.mark.parametrize(
    ("transcript", "line"),
    [
        (
            "buildah on a full disk",
            "No space left while building decode-floor:cpu, which needs about 5 GB in /var/lib/containers/storage: "
            "free some (buildah rmi --prune)",
        ),
        (
            "buildah without its base image",
            "Building decode-floor:cpu failed: Error: creating build container: initializing source "
            "docker://python:3.11-slim-bookworm: pinging container registry registry-1.docker.io: Get "
            '"https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host '
            "(FOLDER/cpu-cpu.log has all of it)",
        ),
    ],
)
def test_a_build_that_fails_is_one_line_after_the_engines_own(tmp_path: Path, transcript: str, line: str) -> None:
    assert said(Machine(tmp_path, transcript).build("cpu")).replace(str(tmp_path), "FOLDER") == line


def test_too_little_space_is_said_before_hours_of_building(tmp_path: Path) -> None:
    """Where the storage's folder can be seen; 30 GB is what images/stack/modern.env asks for."""
    machine = Machine(tmp_path, None)
    machine.install("buildah", f'#!/bin/sh\n[ "$1" != info ] || echo {tmp_path}\n')
    machine.install("df", "#!/bin/sh\nprintf 'Avail\\n   12G\\n'\n")
    assert said(machine.build("hopper")) == (
        f"Too little space for decode-floor:hopper-modern: {tmp_path} has 12 GB free, building it needs about 30 GB: "
        "free some (buildah rmi --prune)"
    )


@pytest.mark.parametrize("name", ["PIP_CONF", "CA_BUNDLE"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    finished = Machine(tmp_path, "buildah that builds").build("cpu", **{name: "/no/such"})
    assert said(finished) == f"{name}=/no/such cannot be read"


def test_make_passes_architecture_and_stack_on() -> None:
    assert recipe("image-ada", "STACK=paper") == ["images/build.sh ada paper"]


@pytest.mark.medium
def test_without_a_folder_kernels_are_built_in_the_images_builders(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "buildah that builds")
    finished = machine.build("--kernels", str(tmp_path / "out"), "ada", "paper")
    assert finished.returncode == 0, finished.stderr
    (call,) = [each for each in machine.calls() if each[1] == "bud"]
    assert call[call.index("--target") + 1] == "kernels"
    assert call[call.index("--output") + 1] == f"type=local,dest={tmp_path / 'out'}"
    assert "--tag" not in call
