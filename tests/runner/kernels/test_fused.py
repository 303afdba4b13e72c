"""The declaration of the fused kernel agrees with the committed sessions."""

from pathlib import Path

import pytest

from runner.kernels import fused
from runner.record import record, spool

RECORDS = Path(__file__).parents[3] / "experiments" / "records"


@pytest.mark.medium
def test_the_architectures_that_were_tried_are_those_of_the_committed_sessions() -> None:
    found = [record.read(path) for path in spool.record_files(RECORDS) if "-fused-" in path.name]
    capabilities = {session["gpu"]["compute_capability"] for session in found if session["valid"]}
    assert capabilities == set(fused.DECLARATION.tried or ())
