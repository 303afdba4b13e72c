"""Columns of a frame and their names in MLflow."""

from analysis.sources import columns
from analysis.sources.columns import METRIC_NAMES, PARAM, TAG, Text
from runner.record import metrics


def test_every_metric_of_a_frame_has_its_name_in_mlflow():
    assert set(METRIC_NAMES.values()) <= {metric.name for metric in metrics.METRICS}


def test_a_quotient_is_read_as_its_two_parts_each_of_them_once():
    wanted = ("session", "r_floor", "step_wall_ms", "study")
    assert columns.metric_names(wanted) == {"floor/floor_ms": "floor_ms", "latency/step_wall_ms": "step_wall_ms"}
    assert columns.metric_names(("session", "image_digest")) == {}


def test_study_and_image_are_read_on_request_only():
    def names(*requested):
        return [column.name for column in columns.session_columns(requested)]

    assert not {"study", "image_digest"} & {*names("step_wall_ms")}
    assert {*names("study")} - {*names()} == {"study"}
    assert "unknown_quant" in names()  # sessions of a newer version are found whatever is requested


def test_a_store_need_not_send_the_usual_value_or_words_that_are_known():
    assert Text("valid", TAG, "valid", usual="true").unsent == ("true",)
    assert Text("flags", TAG, "flags", usual="").unsent == ("",)
    assert Text("unknown", TAG, "quant", known=("awq", "bf16")).unsent == ("awq", "bf16")
    assert Text("gpu", PARAM, "gpu").unsent == ()
