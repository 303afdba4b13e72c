"""The declaration of the fused kernel agrees with the committed sessions."""

from pathlib import Path

import pytest

from runner.kernels import fused
from runner.record import record, spool
from tests.support.derive import is_measured

RECORDS = Path(__file__).parents[3] / "experiments" / "records"


@pytest.mark.medium
def test_the_architectures_that_were_tried_are_those_of_the_committed_sessions() -> None:
    found = [record.read(path) for path in spool.record_files(RECORDS) if "-fused-" in path.name]
    sessions = [session for session in found if is_measured(session) and session.valid]
    assert {session.gpu.compute_capability for session in sessions} == set(fused.DECLARATION.tried or ())
