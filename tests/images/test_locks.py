"""requirements/images/: every package by hash, and the packages that kernels and workers need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from images import declared
from runner import registry
from tests.images.settings import IMAGES, ROOT, STACKS

FOLDER = ROOT / "requirements" / "images"
LOCKS = sorted(FOLDER.glob("*.txt"))
WORKER = {"torch", "transformers", "accelerate", "safetensors", "bitsandbytes", "numpy", "nvidia-ml-py", "pyyaml"}
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+) \\$")


def pins(file: Path) -> dict[str, str]:
    """Versions by name."""
    matched = (PIN.match(line) for line in file.read_text(encoding="utf-8").splitlines())
    return {found[1].lower().replace("_", "-"): found[2] for found in matched if found}


def stack_pins(stack: str) -> dict[str, str]:
    """What an image of the stack has, built from source or not."""
    found: dict[str, str] = {}
    for end in ("", "-torch", "-kernels"):
        if (file := FOLDER / f"{stack}{end}.txt").exists():
            found |= pins(file)
    return found


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_each_package_is_pinned_by_hash(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    blocks = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    assert len(blocks) == len(pins(file)) > 0
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert not re.search(r"://|--(index|extra|find)", "\n".join(lines)), f"{file} names an address"


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_has_what_its_worker_imports(stack: str) -> None:
    assert set(stack_pins(stack)) >= WORKER


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", registry.kernel_names())
def test_a_stack_has_the_packages_of_the_kernels_that_live_in_it(stack: str, name: str) -> None:
    kernel = registry.kernel(name).DECLARATION
    lives = "cpu" in kernel.devices if stack == "cpu" else stack in kernel.stacks
    if kernel.package is not None and lives:
        assert kernel.package in stack_pins(stack)
        for version in re.findall(rf"{kernel.package}==([\w.]+)", kernel.remedy or ""):
            assert version == stack_pins(stack)[kernel.package], "the version that its remedy names"


@pytest.mark.parametrize("stack", ["modern", "paper"])
def test_a_stack_has_the_packages_of_the_runtimes(stack: str) -> None:
    for runtime in registry.runtime_declarations():
        kernels = runtime.kernels or registry.kernel_names()
        has_kernel = any(stack in registry.kernel(name).DECLARATION.stacks for name in kernels)
        assert runtime.package is None or not has_kernel or runtime.package in stack_pins(stack)


@pytest.mark.parametrize(
    ("stack", "exact"),
    [
        ("modern", {"torch": "2.11.0", "transformers": "5.17.0", "gptqmodel": "7.3.6", "exllamav2": "0.3.2"}),
        ("paper", {"torch": "2.5.1", "transformers": "4.51.3", "autoawq": "0.2.9", "autoawq-kernels": "0.0.9"}),
        ("cpu", {"torch": "2.13.0+cpu", "transformers": "5.17.0"}),
    ],
)
def test_a_stack_is_the_one_that_was_seen_to_work(stack: str, exact: dict[str, str]) -> None:
    assert exact.items() <= stack_pins(stack).items()


@pytest.mark.parametrize("stack", ["modern", "cpu"])
def test_an_image_measures_with_the_versions_of_make_env(stack: str) -> None:
    """Where both have a package, a record from the image and one from .venv/ have the same env_key."""
    beside = (ROOT / "requirements" / f"{stack}.txt").read_text(encoding="utf-8")
    own = dict(re.findall(r"^([^ #=]+)==(\S+)", beside, re.MULTILINE))
    image = stack_pins(stack)
    differing = {name: (version, image[name]) for name, version in own.items() if name in image and name != "torch"}
    assert {name: both for name, both in differing.items() if both[0] != both[1]} == {}
    assert image["torch"].split("+")[0] == own["torch"]


@pytest.mark.parametrize("stack", ["modern", "paper"])
def test_the_compiler_is_of_the_cuda_that_torch_was_built_with(stack: str) -> None:
    """Its headers by the lock; of CUDA 12 the compiler itself by images/stack/paper.env."""
    cuda = STACKS[stack]["CUDA_VERSION"]
    compiler = pins(FOLDER / f"{stack}-compiler.txt")
    toolkit = {name: version for name, version in compiler.items() if name.startswith("nvidia-")}
    toolkit.pop("nvidia-cuda-cuobjdump")  # reads what any version compiled
    assert toolkit
    assert all(version.startswith(f"{cuda}.") for version in toolkit.values()), toolkit
    if url := STACKS[stack]["COMPILER_URL"]:
        assert f"_{cuda}." in url


def test_every_image_has_its_locks() -> None:
    for _, stack in IMAGES:
        assert (FOLDER / f"{stack}.txt").exists()


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_has_the_pins_that_are_declared_for_it(stack: str) -> None:
    pinned = stack_pins(stack)
    for installation in declared.installations(stack):
        for requirement in (*installation.wheels, *installation.sources):
            name, _, version = requirement.partition("==")
            assert name in pinned
            assert version in ("", pinned[name]), "run `make lock`"
