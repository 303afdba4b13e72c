"""Inputs from outside, damaged at random: one of the project's own errors or a right answer, and no hang.

`make fuzz` runs these; each has EXAMPLES inputs. A failure prints the input and the seed that gives it again.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.cell import catalogue
from runner.checkpoints import checkpoint, modelconfig, tensorfile
from runner.errors import BadCheckpoint, BadRecord, DecodeFloorError
from runner.plan.request import LARGEST_NUMBER, Request, option_map
from runner.plan.resolve import resolve
from runner.record import record
from runner.record.verify import recompute
from runner.store import address, connection
from runner.store.look import spelling
from runner.study.declaration import studyfile
from tests.fuzz import damage
from tests.fuzz.deadline import in_memory, in_time
from tests.support import checkpoints
from tests.support.checkpoints import safetensors as written
from tests.support.records import cpu_record, example_record, failed_record, packed_record

pytestmark = pytest.mark.fuzz

EXAMPLES = 2000
FUZZED = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[*HealthCheck], print_blob=True
)
ROOT = Path(__file__).resolve().parents[2]
RECORDS = [json.loads(json.dumps(make())) for make in (example_record, packed_record, cpu_record, failed_record)]
STUDIES = [path.read_bytes() for path in sorted((ROOT / "experiments").glob("*.yaml"))]
TINY = catalogue.models()["tiny"].shape
CONFIG = modelconfig.config_of(TINY)
QUANTISED = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"},
    "bnb-nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
CONFIGS = {
    "bf16": checkpoints.CONFIG,
    **{quant: {**checkpoints.CONFIG, "quantization_config": fields} for quant, fields in QUANTISED.items()},
}
TENSORS = {"a.weight": ("BF16", (2, 3)), "b.bias": ("F32", (2,)), "c": ("I32", ())}


@pytest.fixture(autouse=True, scope="module")
def _limited() -> Iterator[None]:
    with in_memory():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@FUZZED
@given(data=st.data())
def test_the_bytes_of_a_record(folder: Path, data: st.DataObject) -> None:
    original = data.draw(st.sampled_from(RECORDS))
    content = data.draw(damage.damaged_bytes(damage.as_json(original)))
    path = folder / "record.json"
    path.write_bytes(content)
    with in_time(), suppress(BadRecord):
        recompute.differences(record.read(path))


@FUZZED
@given(data=st.data())
def test_a_truncated_record_is_never_accepted(folder: Path, data: st.DataObject) -> None:
    content = damage.as_json(data.draw(st.sampled_from(RECORDS)))
    path = folder / "record.json"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with in_time(), pytest.raises(BadRecord):
        record.read(path)


@FUZZED
@given(data=st.data())
def test_the_text_of_a_record(folder: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(RECORDS).flatmap(damage.damaged_texts))
    path = folder / "record.json"
    path.write_bytes(text.content)
    with in_time():
        try:
            found = recompute.differences(record.read(path))
        except BadRecord:
            return
    assert found or not text.is_refused


@FUZZED
@given(data=st.data())
def test_the_values_of_a_record(data: st.DataObject) -> None:
    """A value of another kind is always a difference, whatever the field, except for null: some fields may have it."""
    original = data.draw(st.sampled_from(RECORDS))
    place = data.draw(st.sampled_from(list(damage.places(original))))
    value = data.draw(damage.VALUES)
    with in_time():
        found = recompute.differences(damage.replaced(original, place, value))
        recompute.differences(damage.without(original, place))
    kinds = {_kind(value), _kind(damage.value_at(original, place))}
    if len(kinds) == 2 and "null" not in kinds:
        assert found, place


def _kind(value: Any) -> str:
    """Returns the JSON type of a value: whole and other numbers are one type."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


@FUZZED
@given(data=st.data())
def test_the_bytes_of_a_safetensors_file(folder: Path, data: st.DataObject) -> None:
    """A file that is accepted is one to the safetensors library, too, with the same tensors."""
    path = folder / "model.safetensors"
    path.write_bytes(data.draw(damage.damaged_bytes(written(TENSORS))))
    with in_time():
        try:
            found = tensorfile.tensors_of(path)
        except BadCheckpoint:
            return
    with safetensors.safe_open(path, "pt") as opened:
        assert {*opened.keys()} == {*found}
        assert {name: tuple(opened.get_slice(name).get_shape()) for name in found} == {
            name: tensor.shape for name, tensor in found.items()
        }


@FUZZED
@given(data=st.data())
def test_the_header_of_a_safetensors_file(folder: Path, data: st.DataObject) -> None:
    content = written(TENSORS)
    length = int.from_bytes(content[:8], "little")
    header = damage.as_json(data.draw(damage.damaged_documents(json.loads(content[8 : 8 + length]))))
    path = folder / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    with in_time():
        try:
            found = tensorfile.tensors_of(path)
        except BadCheckpoint:
            return
    with safetensors.safe_open(path, "pt") as opened:
        assert {*opened.keys()} == {*found}


@FUZZED
@given(data=st.data())
def test_the_places_of_a_safetensors_file(folder: Path, data: st.DataObject) -> None:
    """The safetensors library accepts what is accepted here, with any dtype, and sizes near the limits of 64 bits."""
    sizes = st.sampled_from([0, 1, 2, 3, 7, 8, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64]) | st.integers(0, 9)
    shapes = st.lists(sizes, max_size=4)
    entries = {}
    for name in data.draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3)):
        span = data.draw(st.tuples(st.integers(0, 24), st.integers(0, 24)) | st.tuples(sizes, sizes))
        dtype = data.draw(st.sampled_from(sorted(tensorfile.DTYPE_BITS)))
        entries[name] = {"dtype": dtype, "shape": data.draw(shapes), "data_offsets": span}
    header = (
        data.draw(st.sampled_from(["", " ", "\n"])) + json.dumps(entries) + data.draw(st.sampled_from(["", "  ", "\0"]))
    )
    if entries:
        texts = damage.damaged_texts(entries).map(lambda text: text.content)
        header = data.draw(st.just(header) | texts.map(lambda text: text.decode("latin-1")))
    content = header.encode("latin-1")
    path = folder / "model.safetensors"
    length = data.draw(st.just(len(content)) | sizes).to_bytes(9, "little")[:8]
    path.write_bytes(length + content + bytes(data.draw(st.integers(0, 24))))
    with in_time():
        try:
            found = tensorfile.tensors_of(path)
        except BadCheckpoint:
            return
    with safetensors.safe_open(path, "pt") as opened:
        assert {*opened.keys()} == {*found}


@FUZZED
@given(data=st.data())
def test_the_config_of_a_checkpoint(folder: Path, data: st.DataObject) -> None:
    """The whole look at a checkpoint, packed or not, whose config.json is damaged."""
    quant, config = data.draw(st.sampled_from(sorted(CONFIGS.items())))
    text = data.draw(damage.damaged_texts(config))
    path = checkpoints.write(folder / quant)
    (path / "config.json").write_bytes(text.content)
    with in_time():
        try:
            checkpoint.local(str(path), TINY, quant)
        except DecodeFloorError:
            return
    assert not text.is_refused


@FUZZED
@given(data=st.data())
def test_a_models_config(folder: Path, data: st.DataObject) -> None:
    """A config without a difference has the sizes of the model."""
    sizes = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size", "num_key_value_heads")
    content = data.draw(
        damage.damaged_documents(CONFIG).map(damage.as_json) | damage.damaged_bytes(damage.as_json(CONFIG))
    )
    (folder / "config.json").write_bytes(content)
    with in_time():
        try:
            config = modelconfig.read(folder, "a model")
            found = list(modelconfig.differences(config, TINY))
        except (BadCheckpoint, TypeError, ValueError, ArithmeticError, RecursionError):
            return  # `checkpoint` turns these errors of `differences` into BadCheckpoint
    if not found:
        assert [config[name] for name in sizes if name in config] == [CONFIG[name] for name in sizes if name in config]


@FUZZED
@given(data=st.data())
def test_a_study_file(folder: Path, data: st.DataObject) -> None:
    path = folder / "study.yaml"
    path.write_bytes(data.draw(st.sampled_from(STUDIES).flatmap(damage.damaged_bytes)))
    with in_time(), suppress(DecodeFloorError):
        studyfile.read(path)


@FUZZED
@given(data=st.data())
def test_the_values_of_a_study_file(folder: Path, data: st.DataObject) -> None:
    path = folder / "study.yaml"
    path.write_bytes(data.draw(st.sampled_from(STUDIES).map(bytes.decode).flatmap(damage.damaged_yaml)))
    with in_time(), suppress(DecodeFloorError):
        studyfile.read(path)


FIELDS = sorted(vars(Request()))
CONTROLS = st.text(alphabet="a1 \n\r\t\x00\x1b\x7f\x85\u2028\udcff\u202e", max_size=12)
TOKENS = (
    CONTROLS | st.text(max_size=30) | st.from_regex(r"[a-z0-9.:,+-]{1,20}", fullmatch=True) | st.integers().map(str)
)


@FUZZED
@given(values=st.dictionaries(st.sampled_from([name for name in FIELDS if name != "weights"]), TOKENS, max_size=4))
def test_the_values_of_a_request(values: dict[str, str]) -> None:
    with in_time():
        try:
            plan = resolve(Request(**values), ())
        except DecodeFloorError as error:
            refusal = str(error)
        else:
            refusal = ""
    assert refusal.isprintable()  # a tag of MLflow's run has it, too
    if refusal:
        return
    assert 1 <= plan.cell.ctx <= LARGEST_NUMBER
    assert plan.protocol.steps >= 1


PAYLOADS = (
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "\ntouch pwned\n",
    "'; touch pwned; '",
    "{gpu}",
    "%s",
    "\\",
)
SHELL = st.lists(
    st.sampled_from(PAYLOADS)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10),
    max_size=3,
).map("".join)


@settings(FUZZED, max_examples=EXAMPLES // 5)
@given(values=st.dictionaries(st.sampled_from(FIELDS), SHELL, min_size=1, max_size=3))
def test_a_parameter_reaches_the_command_as_one_word(folder: Path, values: dict[str, str]) -> None:
    """MLflow writes the value of -P into a line of a shell, by the MLproject."""
    from mlflow.projects import _project_spec

    (folder / "python").write_text('#!/bin/sh\nprintf "%s\\0" "$@" > "$0.log"; exit 1\n')
    (folder / "python").chmod(0o700)
    entry = _project_spec.load_project(str(ROOT)).get_entry_point("cell")
    command = entry.compute_command(values, None)
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}
    with in_time():
        subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=False)
    words = (folder / "python.log").read_bytes().decode().split("\0")[:-1]
    given_values = dict(zip(words[3::2], words[4::2], strict=True))
    assert {name: given_values[f"--{name}"] for name in values} == values
    assert not (folder / "pwned").exists()


@FUZZED
@given(text=TOKENS)
def test_options(text: str) -> None:
    with in_time(), suppress(DecodeFloorError):
        options = option_map(text)
        assert all(name and value for name, value in options.items())


PASSWORD = "Sesame-0penNow"
URIS = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}://{}{}@{}/{}".format,
        st.sampled_from(["postgresql", "postgresql+psycopg2", "mysql", "http", "https", "sqlite", "mlflow-artifacts"]),
        st.text(max_size=8).map(lambda user: quote(user, safe="")),
        st.just(f":{PASSWORD}"),
        st.text(alphabet="abc.:[]/@%0129", max_size=16),
        st.text(alphabet="abc.:?&=#@%/", max_size=16),
    ),
    st.text(alphabet="abc/.:?=&%20#", max_size=30).map("sqlite:///{}".format),
    st.text(alphabet="a/%0\n\t\x1b\udcffé?uri=truemode&", max_size=30).map("sqlite:///{}".format),
    CONTROLS.map("http://{}".format),
)


def _look(uri: str) -> None:
    """Looks at the store, as before a session, if it is a file that a variable can name."""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////") and "\0" not in uri and _is_path(uri):
        os.environ["MLFLOW_TRACKING_URI"] = uri
        connection.before_measuring(None)


def _is_path(text: str) -> bool:
    with suppress(UnicodeEncodeError):
        return bool(os.fsencode(text))
    return False


@FUZZED
@given(uri=URIS)
def test_a_tracking_uri(folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """No part of the code that reads a URI fails on it, and no message, lock or cache has its password."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with in_time():
        said = [address.masked_uri(uri), address.without_secrets(f"cannot open {uri}", uri)]
        for check in (address.check_is_uri, address.check_password):
            try:
                check(uri)
            except DecodeFloorError as error:
                said.append(str(error))
        for look in (spelling.check, _look):
            try:
                look(uri)
            except DecodeFloorError as error:
                said.append(str(error))
        with suppress(DecodeFloorError):
            said += [address.identity(uri), str(address.lock_path(uri))]
        address.for_mlflow(uri)
        address.libpq_uri(uri)
        address.is_server(uri)
    if f":{PASSWORD}@" in uri and not uri.startswith("sqlite"):
        assert [text for text in said if PASSWORD in text] == []
