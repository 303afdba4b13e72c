"""What is taken out of a text before it is published, and what must stay as it is."""

from __future__ import annotations

import getpass
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.machine import host
from runner.redaction import redact

UUID = "8f6b2c1a-03d4-4e5f-9a7b-0c1d2e3f4a5b"
NVIDIA_SMI = """\
|    0   N/A  N/A            1234      C   python train.py --key abc def          5012MiB |
|    1    1    0              77    C+G   /usr/lib/xorg/Xorg                        N/A  |
"""
NVIDIA_SMI_Q = """\
    Serial Number                         : 1654923012345
    GPU UUID                              : GPU-8f6b2c1a-03d4-4e5f-9a7b-0c1d2e3f4a5b
    Processes
        GPU instance ID                   : N/A
        Process ID                        : 1234
            Type                          : C
            Name                          : python train.py
            Used GPU Memory               : 5012 MiB
    Driver Version                        : 580.159.04
"""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host, a user and a home folder that are the same wherever the tests run."""
    be(monkeypatch, node="gpu-box-17.lab.example.org", user="jane.doe", home="/data/people/jane.doe")


def check(text: str, expected: str) -> None:
    assert redact.redact(text) == expected
    assert redact.redact(expected) == expected, "redacted again it changes"


def be(monkeypatch: pytest.MonkeyPatch, node: str, user: str, home: str = "/root") -> None:
    monkeypatch.setattr(platform, "node", lambda: node)
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    monkeypatch.setattr(host, "machine_id", lambda: "3d1219c7c4c5404aaa1f6d2a48adfda4")
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("HOSTNAME", raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"card GPU-{UUID}, next", "card <gpu-uuid>, next"),
        (f"CUDA_VISIBLE_DEVICES=MIG-{UUID}", "CUDA_VISIBLE_DEVICES=<gpu-uuid>"),
        (f"MIG-GPU-{UUID}/7/0", "<gpu-uuid>"),
        ("CUDA_VISIBLE_DEVICES=GPU-8f6b2c1a", "CUDA_VISIBLE_DEVICES=<gpu-uuid>"),
        (
            f"_CudaDeviceProperties(name='NVIDIA H200', uuid={UUID})",
            "_CudaDeviceProperties(name='NVIDIA H200', uuid=<uuid>)",
        ),
        ('"serial": "1654923012345"', '"serial": "<serial>"'),
        ("Serial Number : N/A", "Serial Number : N/A"),
        ("machine 3d1219c7c4c5404aaa1f6d2a48adfda4", "machine <machine-id>"),
    ],
)
def test_cards_and_machines_lose_their_identity(text: str, expected: str) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on gpu-box-17:", "on <host>:"),
        ("http://gpu-box-17.lab.example.org:5000/x", "http://<host>:5000/x"),
        ("GPU-BOX-17.lab.example.org failed", "<host> failed"),
        ("gpu-box-170 and my_gpu-box-17", "gpu-box-170 and my_gpu-box-17"),
        ("owner jane.doe.", "owner <user>."),
        ("/data/people/jane.doe/models/x", "<home>/models/x"),
        ("/home/bob/.cache/hf and '/Users/eve'", "<home>/.cache/hf and '<home>'"),
        ("-I/home/bob/include file:///home/bob/mlruns", "-I<home>/include file://<home>/mlruns"),
        (
            "/root/.cache, file:///root/x, /rootfs, /chroot/root",
            "<home>/.cache, file://<home>/x, /rootfs, /chroot/root",
        ),
        ("ask a.b+c@mail.example.org.", "ask <email>."),
    ],
)
def test_hosts_and_people_lose_their_names(text: str, expected: str) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listening on 10.1.22.3:8080", "listening on <ip>:8080"),
        ("http://192.168.0.7/x (172.16.4.5).", "http://<ip>/x (<ip>)."),
        ("torch 2.11.0+cu130 10.1.22.3", "torch 2.11.0+cu130 <ip>"),
        ("peer fe80::1ff:fe23:4567:890a%eth0", "peer <ip>"),
        ("[2001:db8:0:1::7]:5000", "[<ip>]:5000"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "<ip>"),
        ("fd12::9", "<ip>"),
        ("ether 0a:1B:2c:3d:4e:5f", "ether <mac>"),
        ("0a-1b-2c-3d-4e-5f", "<mac>"),
    ],
)
def test_addresses_are_replaced(text: str, expected: str) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HF_TOKEN=hf_abcdefABCDEF0123456789", "HF_TOKEN=<token>"),
        ("token hf_abcdefABCDEF0123456789 refused", "token <token> refused"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer <token>"),
        ('{"Authorization": "Basic dXNlcjpwdw=="}', '{"Authorization": "Basic <token>"}'),
        ("sent Bearer s3cr3t.value", "sent Bearer <token>"),
        ("AKIAIOSFODNN7EXAMPLE", "<token>"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = <token>"),
        ("MLFLOW_TRACKING_PASSWORD: hunter2", "MLFLOW_TRACKING_PASSWORD: <token>"),
        ("postgresql://me:p@ss@db.example/mlflow", "postgresql://<credentials>@db.example/mlflow"),
        ("https://ghp_abc@github.com/x", "https://<credentials>@github.com/x"),
        ("https://x.example/f?a=1&token=abc&b=2", "https://x.example/f?a=1&token=<token>&b=2"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "<token>"),
    ],
)
def test_secrets_are_replaced(text: str, expected: str) -> None:
    check(text, expected)


def test_secrets_of_the_environment_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct horse")
    monkeypatch.setenv("LONGER_PASSWORD", "correct horse!")
    monkeypatch.setenv("ANOTHER_TOKEN", "short")
    monkeypatch.setenv("SSH_KEY", "/etc/keys/id")
    assert redact.redact("correct horse, correct horse!") == "<secret>, <secret>"
    assert redact.redact("short /etc/keys/id") == "short /etc/keys/id"


def test_programs_of_others_leave_nvidia_smis_table() -> None:
    clean = redact.redact(NVIDIA_SMI)
    assert "train.py" not in clean
    assert "Xorg" not in clean
    assert clean.count("<process>") == 2
    assert "5012MiB |" in clean


def test_programs_cards_and_serials_leave_nvidia_smis_long_form() -> None:
    clean = redact.redact(NVIDIA_SMI_Q)
    assert [line.partition(": ")[2] for line in clean.splitlines()] == [
        "<serial>",
        "<gpu-uuid>",
        "",
        "N/A",
        "1234",
        "C",
        "<process>",
        "5012 MiB",
        "580.159.04",
    ]


def test_programs_leave_nvidia_smis_csv() -> None:
    assert redact.redact("1234, python a, b.py, 512 MiB") == "1234, <process>, 512 MiB"
    assert redact.redact(f"GPU-{UUID}, 77, /opt/x, [N/A]") == "<gpu-uuid>, 77, <process>, [N/A]"


@pytest.mark.parametrize(
    "text",
    [
        "torch 2.11.0+cu130, transformers 5.17.0, driver 580.159.04, CUDA 13.0",
        "nvidia-cudnn-cu13==9.10.2.21 and nvidia-cublas-cu12        12.8.4.1",
        "nvidia_cudnn_cu12-9.10.2.21-py3-none-manylinux_2_27_x86_64.whl, nccl 2.27.3.1, version 1.2.3.4",
        "libcudnn.so.9.10.2.21; VBIOS Version : 96.00.89.00.01; 1.2.3.4.5; 999.1.1.1",
        "| NVIDIA-SMI 580.159.04    Driver Version: 580.159.04    CUDA Version: 13.0 |",
        "|   0  NVIDIA H100 80GB HBM3   On  |   00000000:17:00.0 Off |       0 |",
        "2026-11-13 12:34:56,789 INFO step 17: 14.83 ms, ratio 0.27, 12:34:56.7",
        "x[::2], y[1::3], std::vector, c10::Error, at::native::add, tests/a.py::test_b",
        "attn = q@k.transpose(-1, -2); y = x @ w.T; z = self.q@self.k.T",
        "tokens: 5, token: 17, next token = 3, max_tokens=8, a key: value pair, keyboard = qwerty",
        "GPU-accelerated, MIG-enabled, GPU-0, serial execution: slow, bearer of news",
        "cell_key 3f2a9c01b7de, sha256:" + "ab" * 32 + ", commit 88ceb8a",
        "Qwen/Qwen2.5-7B@main, mailto, user@localhost, pkg @ file:///tmp/x.whl",
        "17, 42, 5 MB; 1, 2, 3",
        "void gemv2T_kernel_val<int, int, __nv_bfloat16, 128, 16, 4, 4, false>(cublasGemvParams<...>)",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact.redact(text) == text


@pytest.mark.parametrize("name", ["h200", "H100", "l40s", "rtx-4090", "root", "Ubuntu", "vm", "4711", "model"])
def test_a_machine_or_user_with_an_ordinary_name_spoils_no_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    be(monkeypatch, node=name, user=name)
    text = f"gpu {name}, {name} model"
    assert redact.redact(text) == text


def test_a_domain_behind_the_hosts_short_name_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, node="gpu-box-17", user="root")
    check("gpu-box-17.lab.example.org:22, gpu-box-17.", "<host>:22, <host>.")


def test_a_container_without_a_user_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert redact.redact("on gpu-box-17") == "on <host>"


def test_a_hosts_name_is_not_taken_for_a_machine_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "machine_id", lambda: "vm")
    assert redact.redact("vm") == "vm"


NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False)).map(str)
PART = st.integers(0, 999).map(str)
VERSIONS = st.lists(PART, min_size=1, max_size=3).map(".".join)
LOCAL = st.tuples(VERSIONS, st.sampled_from(["", "+cu130", "+cpu", "rc1", ".dev0", ".post1"])).map("".join)
DRIVERS = st.tuples(st.integers(300, 999), st.integers(0, 999), st.integers(0, 99)).map(
    lambda parts: f"{parts[0]}.{parts[1]:02d}.{parts[2]:02d}"
)
PINS = st.lists(PART, min_size=4, max_size=4).map(lambda parts: "nvidia-x==" + ".".join(parts))
WORDS = st.sampled_from(
    ["step", "GB/s", "kernel_name<float4>", "[INFO]", "warm-up:", "5/30", "r_floor=0.27", "cuda:0", "->", "it's"]
)
SECRETS = st.sampled_from(
    [
        f"GPU-{UUID}",
        "10.20.30.40",
        "fe80::1ff:fe23:4567:890a",
        "0a:1b:2c:3d:4e:5f",
        "hf_abcdefABCDEF0123456789",
        "jane.doe",
        "gpu-box-17",
        "/home/bob",
        "me@mail.example.org",
        "https://me:pw1@x.example/",
    ]
)


@pytest.mark.medium
@given(st.lists(st.one_of(NUMBERS, LOCAL, DRIVERS, PINS, WORDS)))
def test_any_text_of_numbers_versions_and_log_words_stays(words: list[str]) -> None:
    text = " ".join(words)
    assert redact.redact(text) == text


@pytest.mark.medium
@given(
    st.lists(st.one_of(NUMBERS, LOCAL, WORDS)),
    SECRETS,
    st.lists(WORDS),
    st.sampled_from([" ", "\n", ", ", "'"]),
)
def test_a_secret_is_found_in_any_surroundings(before: list[str], secret: str, after: list[str], between: str) -> None:
    clean = redact.redact(f"{' '.join(before)}{between}{secret}{between}{' '.join(after)}")
    assert secret not in clean
    assert "bob" not in clean
    assert "pw1" not in clean


@pytest.mark.medium
@given(st.text(alphabet="aB1:.@/=-_<> \n'\"{}|,", max_size=80))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact.redact(text)
    assert redact.redact(once) == once


@pytest.mark.medium
@given(st.lists(st.one_of(SECRETS, WORDS, st.sampled_from(["Authorization:", "token=", "password:", "Bearer"]))))
def test_redacting_secrets_twice_changes_nothing(words: list[str]) -> None:
    once = redact.redact(" ".join(words))
    assert redact.redact(once) == once


@pytest.mark.medium
def test_a_megabyte_takes_no_time() -> None:
    text = Path(redact.__file__).read_text() + "a1:" * 10**5 + "\n" + "9" * 10**5 + "\n" + "ab.cd-" * 10**5
    assert redact.redact(text).endswith("ab.cd-")


@pytest.mark.parametrize(("name", "telling"), [("mia", False), ("mona", True), ("1234", False), ("h200", False)])
def test_a_name_of_four_letters_points_at_somebody(name: str, telling: bool) -> None:
    assert redact._is_identifying(name) is telling
