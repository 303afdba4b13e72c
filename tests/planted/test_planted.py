"""The planted bugs: which are drawn, whose tests run, and what the report says. cosmic-ray runs in none of these."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.planted import report, rooms, sample, trees
from tests.planted.localtests import Baseline, command, passing_seconds
from tests.planted.sample import Mutation

SOURCE = """\
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import json

@dataclass(frozen=True)
class Pair:
    left: int | None = 1

def total(a: int | None, b: "int | None" = 2) -> int | None:
    if a < b:
        return a + 1
    return 0

Number = int | Decimal
__all__ = ["Pair"][0:1]
MASK = READ | WRITE
known = isinstance(a, int | float) and cast("str", a | b)
"""
ADD_NOT, NUMBER = "core/AddNot", "core/NumberReplacer"
BIT_OR = "core/ReplaceBinaryOperator_BitOr_BitAnd"


def mutation(line: int, text: str, operator: str, occurrence: int = 0) -> Mutation:
    """Returns a mutation at a text in a line of SOURCE."""
    column = SOURCE.splitlines()[line - 1].index(text)
    return Mutation("m.py", (line, column), operator, occurrence, (line, column + 1))


@pytest.mark.parametrize(
    ("line", "text", "operator"),
    [
        (3, "TYPE_CHECKING", ADD_NOT),
        (6, "True", "core/ReplaceTrueWithFalse"),
        (8, "|", BIT_OR),
        (10, "| None, b", BIT_OR),
        (10, "| None:", BIT_OR),
        (15, "|", BIT_OR),
        (16, "1", NUMBER),
        (18, "| float", BIT_OR),
    ],
)
def test_a_declaration_decides_nothing(line, text, operator):
    assert operator in sample.OPERATORS
    assert not sample.matters(mutation(line, text, operator), SOURCE)


@pytest.mark.parametrize(
    ("line", "text", "operator"),
    [
        (8, "1", NUMBER),
        (10, "2", NUMBER),
        (11, "a < b", ADD_NOT),
        (11, "<", "core/ReplaceComparisonOperator_Lt_LtE"),
        (12, "+", "core/ReplaceBinaryOperator_Add_Sub"),
        (13, "0", NUMBER),
        (17, "|", BIT_OR),
        (18, "| b", BIT_OR),
        (18, "and", "core/ReplaceAndWithOr"),
    ],
)
def test_a_value_and_a_condition_decide_something(line, text, operator):
    assert sample.matters(mutation(line, text, operator), SOURCE)


@pytest.mark.parametrize("operator", ["core/ReplaceBinaryOperator_Add_LShift", "core/RemoveDecorator"])
def test_a_bug_that_any_test_kills_is_not_planted(operator):
    assert not sample.matters(mutation(12, "+", operator), SOURCE)


def listed(count: int) -> list[Mutation]:
    return [Mutation("m.py", (13, 11), NUMBER, number, (13, 12)) for number in range(count)]


def test_the_sample_depends_on_the_seed_alone():
    one = sample.drawn(listed(50), {"m.py": SOURCE}, 10, seed=0)
    assert one == sample.drawn(reversed(listed(50)), {"m.py": SOURCE}, 10, seed=0)
    assert one != sample.drawn(listed(50), {"m.py": SOURCE}, 10, seed=1)
    assert len(set(one)) == 10


def test_a_larger_sample_begins_with_the_smaller_one_in_a_random_order():
    """So what was tried before a run was stopped is a random sample too."""
    small, large = (sample.drawn(listed(50), {"m.py": SOURCE}, count, seed=0) for count in (5, 20))
    assert small == large[:5] != sorted(small)


def test_a_sample_is_no_larger_than_what_there_is():
    assert len(sample.drawn(listed(3), {"m.py": SOURCE}, 300, seed=0)) == 3


def test_a_change_is_read_back_from_what_the_session_stores():
    (one,) = listed(1)
    assert sample.listed(json.loads(json.dumps(one.change))) == one
    assert one.name == f"m.py {NUMBER} 0"


def test_no_module_is_listed_twice():
    assert len(rooms.modules()) == len(set(rooms.modules())) > 40


def test_every_room_that_judges_has_modules():
    names = {"judgement", "gate", "clocks", "verify", "statistics", "bytes", "fit", "spool", "store"}
    assert names <= {name for name, room in rooms.rooms().items() if room.modules}


@pytest.mark.parametrize("module", rooms.modules())
def test_each_module_that_judges_has_local_tests(module):
    assert (rooms.ROOT / module).is_file()
    assert all((rooms.ROOT / name).is_file() for name in rooms.local_tests(module))


def test_the_file_of_its_name_comes_first():
    assert rooms.local_tests("runner/plan/fit.py") == ("tests/runner/plan/test_fit.py",)
    assert rooms.local_tests("runner/record/verify/recompute.py") == (
        "tests/runner/record/verify/test_recompute.py",
        "tests/runner/record/verify/test_tampered.py",
    )


def test_the_tests_of_a_private_module_have_its_name_without_the_underscore():
    assert rooms.own_tests("analysis/tables/_verdict.py") == "tests/analysis/tables/test_verdict.py"


def test_a_module_without_tests_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"runner/plan/fit\.py has no tests: add tests/runner/plan/test_fit\.py"):
        rooms.local_tests("runner/plan/fit.py", tmp_path)
    with pytest.raises(SystemExit, match=r"copies\.py: .*/test_recompute\.py does not exist; correct"):
        rooms.local_tests("runner/record/verify/copies.py", tmp_path)


DIFF = """--- mutation diff ---
--- a/tree/m.py
+++ b/tree/m.py
@@ -11,3 +11,3 @@
 def total(a, b):
-    if a < b:
+    if a <= b:
         return a + 1"""


def dumped(outcome: str | None, line: int = 11, module: str = "m.py", output: str = "", worker: str = "normal") -> str:
    """Returns a line that `cosmic-ray dump` prints."""
    place = {"start_pos": [line, 7], "end_pos": [line, 8]}
    change = {"module_path": module, "operator_name": "core/X", "occurrence": line, **place}
    item = {"job_id": f"{module} {line}", "mutations": [change]}
    result = {"worker_outcome": worker, "test_outcome": outcome, "output": output, "diff": DIFF}
    return json.dumps([item, result if outcome or worker != "normal" else None])


def test_the_report_counts_by_module_and_explains_what_survived():
    dump = "\n".join(
        [
            *(dumped("killed", line) for line in range(1, 8)),
            dumped("killed", 9, output="timeout"),
            dumped("survived", 11),
            dumped("killed", 1, "n.py"),
            dumped(None, 2, "n.py"),
        ]
    )
    bugs = report.tried(dump)
    why = {("m.py", "if a < b:", "if a <= b:"): "a is never b"}
    lines = report.text(bugs, 11, why).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["7", "1", "1", "m.py"],
        ["1", "0", "0", "n.py"],
        ["8", "1", "1", "all"],
    ]
    assert lines[5:8] == ["m.py:11 survived: a is never b", "  - if a < b:", "  + if a <= b:"]
    # Clopper-Pearson of 9 of 10: (0.555, 0.9975), from the quantiles of beta(9, 2) and beta(10, 1)
    assert lines[-1] == (
        "10 of 11 planted bugs tried, 9 killed: 90.0% (95 % interval 55.5% to 99.7%; at least 85% wanted)"
    )


def test_a_survivor_without_a_reason_says_so():
    assert "m.py:11 survived: not explained yet" in report.text(report.tried(dumped("survived")), 1, {})


def test_a_bug_that_could_not_be_tried_is_neither_killed_nor_survived():
    bugs = report.tried(f"{dumped('incompetent', 3, worker='exception')}\n{dumped('killed', 4)}")
    assert report.rate(bugs) == (1, 1)
    assert "m.py:3 could not be tried: core/X, occurrence 3" in report.text(bugs, 2, {})
    assert not report.is_enough(bugs, 2)


@pytest.mark.parametrize(("survivors", "enough"), [(3, True), (4, False)])
def test_85_percent_are_enough(survivors, enough):
    # of 20: 17 are 85 %, 16 are 80 %
    outcomes = ["survived"] * survivors + ["killed"] * (20 - survivors)
    bugs = report.tried("\n".join(dumped(outcome, line) for line, outcome in enumerate(outcomes, 1)))
    assert report.is_enough(bugs, 20) is enough
    assert not report.is_enough(bugs, 21), "one is not tried yet"


def test_nothing_tried_is_not_enough():
    assert report.summary([], 300) == "0 of 300 planted bugs tried"
    assert not report.is_enough([], 300)


def test_the_reasons_are_read(tmp_path):
    file = tmp_path / "reasons.yaml"
    file.write_text('- {module: m.py, line: "a < b", becomes: "a <= b", reason: never equal}\n')
    assert report.reasons(file) == {("m.py", "a < b", "a <= b"): "never equal"}
    assert isinstance(report.reasons(rooms.ROOT / "tests/planted/reasons.yaml"), dict)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a module, a test that is not committed yet, and a file that git ignores."""
    root = tmp_path / "checkout"
    (root / "runner").mkdir(parents=True)
    (root / "runner" / "one.py").write_text("ONE = 1\n")
    (root / "test_one.py").write_text("from runner.one import ONE\ndef test_one(): assert ONE == 1\n")
    (root / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    images\n    stores\n    real\n    gpu\n")
    (root / ".gitignore").write_text("build/\n")
    (root / "build").mkdir()
    (root / "build" / "left.py").write_text("")
    for arguments in (["init", "--quiet"], ["add", "runner"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    return root


def test_a_copy_has_the_working_tree_and_loses_a_bug_that_was_left(checkout, tmp_path):
    original, tree = tmp_path / "original", tmp_path / "tree"
    trees.copy(checkout, original)
    trees.copy(checkout, tree)
    assert (tree / "test_one.py").is_file()
    assert not (tree / "build").exists()
    (tree / "runner" / "one.py").write_text("ONE = 2\n")
    trees.restore(original, tree, ["runner/one.py"])
    assert (tree / "runner" / "one.py").read_text() == "ONE = 1\n"


def test_the_fingerprint_sees_a_changed_module_and_a_new_one(checkout):
    seen = {trees.fingerprint(checkout)}
    (checkout / "runner" / "one.py").write_text("ONE = 3\n")
    seen.add(trees.fingerprint(checkout))
    (checkout / "runner" / "two.py").write_text("")
    assert len(seen | {trees.fingerprint(checkout)}) == 3


def test_another_copy_is_equal(checkout, tmp_path):
    original, tree = tmp_path / "original", tmp_path / "tree"
    trees.copy(checkout, original)
    trees.copy_again(original, tree)
    assert (tree / "runner" / "one.py").read_text() == "ONE = 1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "original", "tree"]


@pytest.mark.slow
def test_tests_that_fail_without_a_bug_stop_the_run(checkout):
    assert passing_seconds("test_one.py", checkout) > 0
    (checkout / "runner" / "one.py").write_text("ONE = 2\n")
    with pytest.raises(SystemExit, match=r"test_one\.py: fails without a planted bug"):
        passing_seconds("test_one.py", checkout)


@pytest.mark.medium
def test_a_file_whose_tests_are_all_slow_is_left_out(checkout):
    slow = "import pytest\n@pytest.mark.slow\ndef test_one(): pass\n"
    (checkout / "test_one.py").write_text(slow)
    assert passing_seconds("test_one.py", checkout) == 0


def test_each_file_is_measured_once(tmp_path):
    file = tmp_path / "baseline.json"
    file.write_text('{"a.py": 1.5, "b.py": 2, "slow.py": 0}')
    baseline = Baseline(file)
    baseline.measure(["a.py", "b.py", "a.py", "slow.py"], [tmp_path])
    assert baseline.fast(["b.py", "slow.py", "a.py"]) == ["b.py", "a.py"]
    assert baseline.seconds(["a.py", "b.py"]) == 3.5


def test_the_tests_run_with_this_interpreter():
    assert command(["test_one.py"])[2:5] == [sys.executable, "-m", "pytest"]
