"""The Dockerfile and the scripts of images/, as their linters see them, and what no linter knows."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from runner.redaction.redact import redact
from tests.images.programs import program
from tests.images.settings import ROOT

FOLDER = ROOT / "images"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
LABELS = ["arch", "stack", "arch-list", "min-driver", "tree-key"]


@pytest.mark.medium
def test_hadolint_has_nothing_to_say() -> None:
    hadolint = program("hadolint", "make env")
    done = subprocess.run([hadolint, str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.medium
def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = program("shellcheck", "make env")
    scripts = [*sorted(FOLDER.rglob("*.sh")), ROOT / "requirements" / "lock.sh", ROOT / ".ci" / "run"]
    done = subprocess.run(
        [shellcheck, "--external-sources", "--source-path", str(FOLDER), *map(str, scripts)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def stage(name: str) -> str:
    """The instructions of a stage."""
    return re.split(r"^FROM ", DOCKERFILE.split(f" AS {name}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_architecture_is_named_only_where_it_is_compiled_for() -> None:
    """Named earlier, every architecture would install torch and the compiler again."""
    for shared in ("base", "venv", "tools", "sources", "rest"):
        assert "ARCH" not in stage(shared), shared
    for family in ("exllamav2", "gptqmodel"):
        assert stage(family).index("ARG ARCH_LIST") < stage(family).index("RUN ")


def test_the_runtime_is_made_from_the_environment_and_not_a_copy_of_it() -> None:
    assert "FROM venv AS runtime" in DOCKERFILE
    assert not re.search(r"COPY --from=venv", DOCKERFILE)


def test_the_worker_starts_as_nobody_special_with_all_labels() -> None:
    runtime = stage("runtime")
    assert re.search(r"^USER 10001:10001$", runtime, re.MULTILINE)
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", runtime, re.MULTILINE)[-1]) == ["python", "-m", "runner.worker"]
    assert "HEALTHCHECK " in runtime
    # files of a clone that was made under umask 077 are its owner's alone, until this
    assert "find /opt/decode-floor ! -perm -o=r -exec chmod a+rX {} +" in runtime
    for label in LABELS:
        assert f"decode-floor.{label}=" in runtime


def test_the_images_user_has_a_name_that_no_message_of_the_projects_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes its user's name out of what it says."""
    (name,) = re.findall(r"^ +USER=(\S+)", stage("runtime"), re.MULTILINE)
    assert re.search(rf"useradd .* {re.escape(name)}$", stage("runtime"), re.MULTILINE)
    monkeypatch.setenv("USER", name)
    monkeypatch.delenv("LOGNAME", raising=False)
    message = "decode-floor:cpu: python -m runner cell --gpu cpu; see https://github.com/decode-floor/decode-floor"
    assert redact(message) == message


def test_secrets_are_mounted_and_never_arguments() -> None:
    whole = DOCKERFILE.replace("\\\n", " ")  # an instruction may go on in the next line
    settings = re.findall(r"^(?:ARG|ENV) .*$", whole, re.MULTILINE)
    assert any("XDG_CACHE_HOME=" in line for line in settings)  # the second line of one
    assert [line for line in settings if re.search(r"TOKEN|PASSWORD|PIP_|CERT", line)] == []
    assert not re.search(r"^COPY .*(pip\.conf|\.crt|\.pem)", DOCKERFILE, re.MULTILINE)


def test_only_what_is_built_from_is_sent_to_the_engine() -> None:
    """Everything is left out but what is named; each source of a COPY is named."""
    lines = [line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    named = [line[1:] for line in lines if line.startswith("!")]
    for instruction in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in instruction.split()[:-1]:
            assert any(source.startswith(name.split("*")[0].rstrip("/")) for name in named), source
