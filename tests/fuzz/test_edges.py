"""Inputs from outside, damaged at random: one of the project's own errors or a right answer, and no hang.

`make fuzz` runs these; each has EXAMPLES inputs. A failure prints the input and the seed that gives it again.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
import safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.cell import catalogue
from runner.checkpoints import modelconfig, tensorfile
from runner.errors import BadCheckpoint, BadRecord, DecodeFloorError
from runner.plan.request import LARGEST_NUMBER, Request, option_map
from runner.plan.resolve import resolve
from runner.record import record
from runner.record.verify import recompute
from runner.store import address
from runner.study.declaration import studyfile
from tests.fuzz import damage
from tests.support.checkpoints import safetensors as written
from tests.support.records import cpu_record, example_record, failed_record, packed_record

pytestmark = pytest.mark.fuzz

EXAMPLES = 1500
LONGEST_S = 20
FUZZED = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[*HealthCheck], print_blob=True
)
ROOT = Path(__file__).resolve().parents[2]
RECORDS = [json.loads(json.dumps(make())) for make in (example_record, packed_record, cpu_record, failed_record)]
STUDIES = [path.read_bytes() for path in sorted((ROOT / "experiments").glob("*.yaml"))]
TINY = catalogue.models()["tiny"].shape
CONFIG = modelconfig.config_of(TINY)
TENSORS = {"a.weight": ("BF16", (2, 3)), "b.bias": ("F32", (2,)), "c": ("I32", ())}


@contextmanager
def in_time() -> Iterator[None]:
    """Raises TimeoutError if the block takes longer than LONGEST_S."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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
def test_the_values_of_a_record(data: st.DataObject) -> None:
    """A value of another kind is always a difference, whatever the field."""
    original = data.draw(st.sampled_from(RECORDS))
    place = data.draw(st.sampled_from(list(damage.places(original))))
    value = data.draw(damage.VALUES)
    with in_time():
        found = recompute.differences(damage.replaced(original, place, value))
        recompute.differences(damage.without(original, place))
    if _kind(value) not in (_kind(damage.value_at(original, place)), "null"):
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


FIELDS = sorted(vars(Request()))
TOKENS = st.text(max_size=30) | st.from_regex(r"[a-z0-9.:,+-]{1,20}", fullmatch=True) | st.integers().map(str)


@FUZZED
@given(values=st.dictionaries(st.sampled_from([name for name in FIELDS if name != "weights"]), TOKENS, max_size=4))
def test_the_values_of_a_request(values: dict[str, str]) -> None:
    with in_time(), suppress(DecodeFloorError):
        plan = resolve(Request(**values), ())
        assert 1 <= plan.cell.ctx <= LARGEST_NUMBER
        assert plan.protocol.steps >= 1


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
)


@FUZZED
@given(uri=URIS)
def test_a_tracking_uri(uri: str) -> None:
    """No part of the code that reads a URI fails on it, and no message, lock or cache has its password."""
    with in_time():
        said = [address.masked_uri(uri), address.without_secrets(f"cannot open {uri}", uri)]
        for check in (address.check_is_uri, address.check_password):
            try:
                check(uri)
            except DecodeFloorError as error:
                said.append(str(error))
        with suppress(DecodeFloorError):
            said += [address.identity(uri), str(address.lock_path(uri))]
        address.for_mlflow(uri)
        address.libpq_uri(uri)
        address.is_server(uri)
    if f":{PASSWORD}@" in uri and not uri.startswith("sqlite"):
        assert [text for text in said if PASSWORD in text] == []
