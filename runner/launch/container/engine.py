"""Docker and Podman, by their command lines: which are installed, their images, and the removal of a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from runner.errors import BadValue, NoContainer
from runner.redaction.redact import redact

DOCKER, PODMAN = "docker", "podman"
ENGINES = (DOCKER, PODMAN)
VARIABLE, NONE = "DECODE_FLOOR_ENGINE", "none"
PATIENCE_S = 30.0
USE_ANOTHER = f"update it, or name another engine in {VARIABLE}"
# the engines' messages for an image that they do not have; any other message is a failure
ABSENT = re.compile(r"no such image|image not known|no such object", re.IGNORECASE)
GONE = re.compile(r"no such container|no container with", re.IGNORECASE)


class NoAnswer(NoContainer):
    """An engine that is installed but does not answer."""


@dataclass(frozen=True)
class Image:
    """An image that an engine has.

    `digest` is the engine's id: `sha256:` and 64 hexadecimal digits. It is a hash of the image's configuration, and so
    of all its layers; Docker with the containerd store gives a hash of the manifest.
    """

    name: str
    digest: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Engine:
    """An engine's client: its name, its program, and the seconds that one of its answers may take."""

    name: str
    program: str
    patience_s: float = PATIENCE_S

    def image(self, name: str) -> Image | None:
        """Returns the image, or None if the engine does not have it. Raises NoContainer if the engine does not
        answer."""
        done = self._call("image", "inspect", name)
        if done.returncode == 0:
            return _image(name, done.stdout)
        if ABSENT.search(done.stderr):
            return None
        raise self._silent(done)

    def security(self) -> tuple[str, ...]:
        """Returns the names of Docker's security options, such as `seccomp` and `rootless`.

        Podman has no engine apart from its client. Raises NoContainer if Docker's engine does not answer.
        """
        done = self._call("info", "--format", "{{json .SecurityOptions}}")
        if done.returncode != 0:
            raise self._silent(done)
        return _security(done.stdout)

    def remove(self, container: str) -> None:
        """Kills and removes a container if it exists. Raises NoContainer if it may still exist."""
        doubt = f"the container {container} may still be running"
        remedy = f"`{self.name} rm --force {container}` removes it"
        at_once = ("--time", "0") if self.name == PODMAN else ()  # Podman would wait 10 s after a SIGTERM
        try:
            done = self._call("rm", "--force", *at_once, container)
        except NoContainer as error:
            raise NoContainer(f"{doubt}: {error}; {remedy}") from error
        if done.returncode != 0 and not GONE.search(done.stderr):
            raise NoContainer(f"{doubt}: {_first_line(done.stderr)}; {remedy}")

    def _silent(self, done: subprocess.CompletedProcess[str]) -> NoAnswer:
        return NoAnswer(f"{self.name} is installed but does not answer ({_first_line(done.stderr)}): start it")

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.patience_s,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
                start_new_session=True,  # this process handles Ctrl-C, also while it removes a container
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"{self.name} does not answer within {self.patience_s:g} s: restart it") from error
        except OSError as error:
            raise NoAnswer(f"{self.name} cannot be started ({error}): check that `{self.name} info` runs") from error


def _image(name: str, text: str) -> Image:
    try:
        (answer,) = json.loads(text)
        labels = answer["Config"].get("Labels") or {}
        return Image(name, _digest(answer), {str(key): str(value) for key, value in labels.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoContainer(
            f"the engine's answer about the image {name} cannot be read ({error}): {USE_ANOTHER}"
        ) from error


def _security(text: str) -> tuple[str, ...]:
    """Returns the names. The engine's text is a JSON list such as `["name=seccomp,profile=builtin"]`, or null."""
    try:
        options = [dict(field.partition("=")[::2] for field in option.split(",")) for option in json.loads(text) or ()]
        return tuple(option["name"] for option in options)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoContainer(
            f"the engine's answer about its security options cannot be read ({error}): {USE_ANOTHER}"
        ) from error


def _digest(answer: Mapping[str, Any]) -> str:
    """Returns the id with its algorithm: Docker writes `sha256:` before it, Podman does not."""
    return f"sha256:{str(answer['Id']).removeprefix('sha256:')}"


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return redact(line)[:200]


def is_off() -> bool:
    """Returns whether DECODE_FLOOR_ENGINE switches containers off."""
    return os.environ.get(VARIABLE) == NONE


def installed() -> tuple[Engine, ...]:
    """Returns the engine that DECODE_FLOOR_ENGINE names (`none`: no engine), or else all on PATH, Docker first.

    Raises BadValue if the named engine is unknown or not on PATH.
    """
    named = os.environ.get(VARIABLE, "")
    if is_off():
        return ()
    if named and named not in ENGINES:
        raise BadValue(f"{VARIABLE}={named}: choose {', '.join(ENGINES)} or {NONE}")
    programs = {name: shutil.which(name) for name in ([named] if named else ENGINES)}
    if named and programs[named] is None:
        raise BadValue(f"{VARIABLE}={named}, but there is no {named} on PATH: install it, or unset {VARIABLE}")
    return tuple(Engine(_kind(name, program), program) for name, program in programs.items() if program)


def _kind(name: str, program: str) -> str:
    """Returns `podman` for a Podman installed as the program `docker`, or else `name`."""
    if name != DOCKER:
        return name
    try:
        file = os.stat(program)
        return PODMAN if _is_podman(program, file.st_ino, file.st_mtime_ns) else name
    except (OSError, subprocess.TimeoutExpired):
        return name


@cache
def _is_podman(program: str, _inode: int, _mtime_ns: int) -> bool:
    """Returns whether a program says that it is Podman. Each session of a command asks: the same file says the same."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return PODMAN in done.stdout.lower()
