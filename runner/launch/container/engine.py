"""Docker or Podman, by their command lines: which are there, what they say of an image, how they end a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import BadValue, NoContainer
from runner.redaction.redact import redact

DOCKER, PODMAN = "docker", "podman"
ENGINES = (DOCKER, PODMAN)
VARIABLE, NONE = "DECODE_FLOOR_ENGINE", "none"
PATIENCE_S = 30.0
# what an engine says of an image that it has not got; whatever else it says, it could not look
ABSENT = re.compile(r"no such image|image not known|no such object", re.IGNORECASE)
GONE = re.compile(r"no such container|no container with", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """An image that an engine has. `digest` is the engine's id of it, a hash of its configuration and so of all its
    layers (where Docker keeps images in containerd, of its manifest): `sha256:` and 64 hexadecimal digits."""

    name: str
    digest: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Engine:
    """An engine's client: its name and the program."""

    name: str
    program: str

    def image(self, name: str) -> Image | None:
        """None where it has no such image. Raises NoContainer where it does not answer."""
        done = self._call("image", "inspect", name)
        if done.returncode == 0:
            return _image(name, done.stdout)
        if ABSENT.search(done.stderr):
            return None
        raise self._silent(done)

    def security(self) -> tuple[str, ...]:
        """Names of the security options that Docker's engine runs with, such as `seccomp` and `rootless`. Podman has no
        engine apart from its client. Raises NoContainer where Docker's does not answer."""
        done = self._call("info", "--format", "{{json .SecurityOptions}}")
        if done.returncode != 0:
            raise self._silent(done)
        return _security(done.stdout)

    def remove(self, container: str) -> None:
        """Kill and remove a container, if it is there. Raises NoContainer where it may be there still."""
        at_once = ("--time", "0") if self.name == PODMAN else ()  # Podman would wait 10 s for it to heed a SIGTERM
        try:
            done = self._call("rm", "--force", *at_once, container)
        except NoContainer as error:
            raise NoContainer(f"the container {container} may still be running: {error}") from error
        if done.returncode != 0 and not GONE.search(done.stderr):
            raise NoContainer(f"the container {container} may still be running: {_first_line(done.stderr)}")

    def _silent(self, done: subprocess.CompletedProcess[str]) -> NoContainer:
        return NoContainer(f"{self.name} is installed but does not answer ({_first_line(done.stderr)}): start it")

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE_S,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
                start_new_session=True,  # a Ctrl-C is ours to answer, also while a container is being ended
            )
        except subprocess.TimeoutExpired as error:
            raise NoContainer(f"{self.name} does not answer within {PATIENCE_S:g} s") from error
        except OSError as error:
            raise NoContainer(f"{self.name} cannot be started ({error})") from error


def _image(name: str, text: str) -> Image:
    try:
        (found,) = json.loads(text)
        labels = found["Config"].get("Labels") or {}
        return Image(name, _digest(found), {str(key): str(value) for key, value in labels.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoContainer(f"what the engine says of the image {name} cannot be read ({error})") from error


def _security(text: str) -> tuple[str, ...]:
    """Each is like `name=seccomp,profile=builtin`; null stands for none."""
    try:
        options = [dict(field.partition("=")[::2] for field in each.split(",")) for each in json.loads(text) or ()]
        return tuple(option["name"] for option in options)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoContainer(f"what the engine says of its security options cannot be read ({error})") from error


def _digest(found: Mapping[str, Any]) -> str:
    """Docker writes the algorithm before it, Podman does not."""
    return f"sha256:{str(found['Id']).removeprefix('sha256:')}"


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "it says nothing")
    return redact(line)[:200]


def is_off() -> bool:
    """Does DECODE_FLOOR_ENGINE say that none is to be used?"""
    return os.environ.get(VARIABLE) == NONE


def found() -> tuple[Engine, ...]:
    """The engine named in DECODE_FLOOR_ENGINE (`none` for none of them), else all that are on PATH, Docker first.

    Raises BadValue for a named one that is unknown or not there.
    """
    named = os.environ.get(VARIABLE, "")
    if is_off():
        return ()
    if named and named not in ENGINES:
        raise BadValue(f"{VARIABLE}={named}: choose {', '.join(ENGINES)} or {NONE}")
    programs = {name: shutil.which(name) for name in ([named] if named else ENGINES)}
    if named and programs[named] is None:
        raise BadValue(f"{VARIABLE}={named}, but there is no {named} on PATH")
    return tuple(Engine(_kind(name, program), program) for name, program in programs.items() if program)


def _kind(name: str, program: str) -> str:
    """Podman can be installed as a program called docker, and is told what to do as Podman is."""
    if name != DOCKER:
        return name
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return name
    return PODMAN if PODMAN in said.stdout.lower() else name
