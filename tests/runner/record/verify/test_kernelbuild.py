"""How the kernel of a fused step was compiled, against the model, the card and the files of the code."""

from __future__ import annotations

import pytest

from runner.fused import compiled, geometry
from runner.fused.compiled import Compiled
from runner.record import codekey, read
from runner.record.verify import kernelbuild, recompute
from tests.support.edits import drop, put
from tests.support.fusedrecords import fused_record
from tests.support.fusedshapes import ARCHITECTURES, of_catalogue
from tests.support.records import example_record
from tests.support.verify import lines_about, right


def test_the_facts_are_those_that_a_session_records(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_nvrtc_version", lambda: (13, 0))
    log = "ptxas info: Used 218 registers, 0 bytes spill stores, 0 bytes spill loads"
    facts = Compiled(type("Module", (), {"code": b"cubin"})(), ("-arch=sm_90a",), log, cached=False).facts()
    assert set(kernelbuild.FACTS) < set(facts)
    assert list(kernelbuild._fact_differences(facts)) == []


@pytest.mark.parametrize("registers", ["1", "99", "168", "249", "255"])
def test_a_thread_may_have_any_number_of_registers_up_to_255(registers) -> None:
    assert lines_about(fused_record(), put("actual.settings.registers", registers)) == []


@pytest.mark.parametrize("registers", ["0", "256", "999", "", "-1", "1.5", "218 "])
def test_no_thread_has_another_number_of_registers(registers) -> None:
    (line,) = lines_about(right(fused_record), put("actual.settings.registers", registers))
    assert line == f"actual.settings.registers: {registers!r} is not a number of registers that a thread can have"


def test_the_hash_of_the_compilers_library_may_be_missing_in_older_records_but_has_its_form() -> None:
    assert "nvrtc_sha256" not in right(fused_record)["actual"]["settings"]
    (line,) = lines_about(right(fused_record), put("actual.settings.nvrtc_sha256", "13.0"))
    assert line == "actual.settings.nvrtc_sha256: '13.0' is not 64 hexadecimal digits"


@pytest.mark.parametrize("name", sorted(kernelbuild.FACTS.keys() - kernelbuild.NEWER))
def test_each_fact_is_needed(name) -> None:
    assert f"actual.settings.{name}: missing" in lines_about(right(fused_record), drop(f"actual.settings.{name}"))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", of_catalogue())
def test_the_shape_decides_its_constants_whatever_the_card(name, arch) -> None:
    shape = of_catalogue()[name]
    on_card, on_h200 = (geometry.choose(shape, ARCHITECTURES[each]).defines() for each in (arch, "sm_90a"))
    assert {key: on_card[key] for key in kernelbuild.OF_SHAPE} == {key: on_h200[key] for key in kernelbuild.OF_SHAPE}


@pytest.mark.parametrize("constant", kernelbuild.OF_SHAPE)
def test_each_constant_of_the_shape_is_compared(constant) -> None:
    found = right(fused_record)
    value = kernelbuild.constants(read.record_or_faults(found))[constant]
    edit = put("actual.settings.options", lambda text: text.replace(f"={constant}={value}", f"={constant}={value + 1}"))
    line = f"actual.settings.options: {constant}: {value + 1}, but the model's is {value}"
    assert line in lines_about(found, edit)


def test_a_kernel_may_be_compiled_without_the_features_of_its_own_architecture_alone() -> None:
    edit = put("actual.settings.options", lambda text: text.replace("sm_90a", "sm_90"))
    assert lines_about(fused_record(), edit) == []


def test_constants_of_the_layout_may_be_those_of_another_version() -> None:
    edit = put("actual.settings.options", lambda text: text.replace("BROUGHT=20", "BROUGHT=12"))
    found = fused_record()
    assert "BROUGHT=20" in found["actual"]["settings"]["options"]
    assert lines_about(found, edit) == []


def test_a_step_of_other_kernels_has_no_such_facts() -> None:
    assert list(kernelbuild.differences(read.record_or_faults(example_record()))) == []


def test_a_session_that_names_no_files_is_not_asked_for_sources() -> None:
    assert lines_about(fused_record(), drop("keys.code_files")) == []


def of_todays_code(found):
    sources = (path.relative_to(codekey.PACKAGE).as_posix() for path in compiled.SOURCES.iterdir())
    found["keys"]["tree_key"] = codekey.tree_key()
    found["keys"]["code_files"] = sorted({*found["keys"]["code_files"], *sources})


def test_a_session_of_todays_code_names_every_source() -> None:
    found = fused_record()
    of_todays_code(found)
    assert recompute.differences(found) == []
    for name in (path.name for path in compiled.SOURCES.iterdir()):
        path = f"fused/cuda/{name}"
        edited = put("keys.code_files", [file for file in found["keys"]["code_files"] if file != path])
        assert f"keys.code_files: without {path}, which the session compiled" in lines_about(dict(found), edited)
