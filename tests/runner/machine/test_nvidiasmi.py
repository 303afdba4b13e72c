"""Cards as nvidia-smi lists them, read from a program that answers as the real one, fails, hangs or prints rubbish."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import GpuNotFound
from runner.machine import nvidiasmi
from runner.machine.installedgpu import InstalledGpu
from tests.fakes.nvidia_smi import L4, LOST, UUID, install, put

pytestmark = pytest.mark.medium


@pytest.fixture(autouse=True)
def _all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_card_is_described_as_nvml_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, L4, "1, GPU-2, NVIDIA GB10, [N/A], 580.95.05, Enabled")
    assert nvidiasmi.list_gpus() == (
        InstalledGpu(0, UUID, "NVIDIA L4", 23034 * 2**20, None, "580.65.06", False),
        InstalledGpu(1, "GPU-2", "NVIDIA GB10", 0, None, "580.95.05", True),
    )


def test_the_processes_on_a_card_have_the_names_of_their_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, L4, users=("4711, /home/someone/bin/python3", "12, trainer"))
    assert nvidiasmi.users(UUID) == ("4711 (python3)", "12 (trainer)")


def test_a_variable_hides_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, L4, L4.replace("0,", "1,", 1).replace("1111", "2222"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [card.index for card in nvidiasmi.list_gpus()] == [1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert nvidiasmi.list_gpus() == ()


def test_without_the_program_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidiasmi.list_gpus() == ()


def test_a_lost_card_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, LOST, L4, code=15)
    assert [card.name for card in nvidiasmi.list_gpus()] == ["NVIDIA L4"]


def test_a_driver_without_cards_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "No devices were found", code=6)
    assert nvidiasmi.list_gpus() == ()


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        ((LOST,), 15, "GPU is lost"),
        (("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",), 9, "has failed"),
        (("<html>, a, b, c, d, e",), 0, "<html>"),
        ((), 3, "no text"),
    ],
)
def test_another_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: tuple[str, ...], code: int, said: str
) -> None:
    install(monkeypatch, tmp_path, *lines, code=code)
    with pytest.raises(GpuNotFound, match=r"^nvidia-smi lists no GPU \(.*\): run it, and repair the driver$") as caught:
        nvidiasmi.list_gpus()
    assert said in str(caught.value)


def test_bytes_that_are_no_text_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(monkeypatch, tmp_path, "#!/bin/sh\n/usr/bin/head -c 5000 /dev/urandom\n")
    with pytest.raises(GpuNotFound, match="lists no GPU"):
        nvidiasmi.list_gpus()


@pytest.mark.parametrize("script", ["exec /bin/sleep 60", "/bin/sleep 60; true"])
def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    put(monkeypatch, tmp_path, f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(nvidiasmi, "PATIENCE_S", 0.2)
    with pytest.raises(GpuNotFound, match=r"^nvidia-smi does not answer within 0\.2 s"):
        nvidiasmi.list_gpus()


def test_a_program_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(monkeypatch, tmp_path, "#!/no/such/interpreter\n")
    with pytest.raises(GpuNotFound, match=r"^nvidia-smi cannot be started \(No such file or directory\)"):
        nvidiasmi.list_gpus()
