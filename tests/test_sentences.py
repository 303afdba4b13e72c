"""Sentences of README and docs/ that follow from the committed records: each is compared with them."""

import json
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path
from statistics import median

import pytest

from analysis import ab, paper
from analysis.sources.records import Folder
from analysis.statistics import linefit
from analysis.tables import _claimrow, _launchfit, budget, claims, differences, floor, graphs
from analysis.tables._differencerow import LaunchRow
from runner.record import record, spool, tails
from tests.support.derive import is_measured

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "experiments" / "records"
README = (ROOT / "README.md").read_text()
FUSED, METHODOLOGY, MUTANTS, PAPER, PREDICTION, QUANTISATION, RESULTS, RUNTIMES, STATISTICS, STUDIES = (
    (ROOT / "docs" / f"{name}.md").read_text()
    for name in (
        *("fused", "methodology", "mutants", "paper", "prediction"),
        *("quantisation", "results", "runtimes", "statistics", "studies"),
    )
)


def said(text, page):
    """Is it there, however its lines are broken?"""
    return " ".join(text.split()) in " ".join(page.split())


@pytest.fixture(scope="module")
def records():
    found = map(record.read, spool.record_files(RECORDS))
    return [one for one in found if is_measured(one)]


@pytest.fixture(scope="module")
def frame():
    return Folder(RECORDS).frame([*{*floor.METRICS, *budget.METRICS, *claims.METRICS, *ab.NEEDED}])


def steps_of(frame, **fields):
    """Returns the row of the H100's Qwen2.5-7B at 2048 with these fields, of the default protocol."""
    here = {"gpu": "h100", "model": "qwen2.5-7b", "ctx": 2048, "dtype": "bf16", "protocol": "paper-5-30"}
    fields = {**here, **fields}
    (row,) = [row for row in floor.rows(frame) if all(getattr(row, name) == value for name, value in fields.items())]
    return row


@pytest.mark.medium
def test_the_claim_of_the_front_page(frame):
    eager, graph = (steps_of(frame, quant="bf16", runtime=runtime) for runtime in ("eager", "graph"))
    awq = steps_of(frame, quant="awq", kernel="marlin", runtime="graph", dtype="fp16")
    steps = [f"{row.step_wall_ms:.1f} ms" for row in (eager, graph, awq)]
    assert said(f"takes {steps[0]} in plain PyTorch and {steps[1]} as a CUDA graph", README)
    assert said(f"reading its bytes takes {graph.floor_ms:.1f} ms", README)
    assert said(f"4-bit weights have a third of the bytes, but the step still takes {steps[2]}", README)
    assert graph.floor_ms / awq.floor_ms == pytest.approx(3, abs=0.2)
    fused, other = (steps_of(frame, gpu="h200", quant="bf16", runtime=runtime) for runtime in ("fused", "graph"))
    assert said(f"takes {fused.step_wall_ms:.2f} ms, {100 * fused.r_floor:.0f} % of the floor", README)
    compared = graphs.rows(ab.from_frame(frame, bootstrapped=False)[0])
    (versus,) = [row for row in compared if (row.arm_a, row.arm_b) == ("graph", "fused")]
    assert (versus.gpu, versus.model, versus.ctx, versus.verdict) == ("h200", "qwen2.5-7b", 2048, "FASTER")
    assert versus.sessions == 10
    assert said(f"a CUDA graph takes {versus.ratio:.2f} times as long (A/B), {100 * other.r_floor:.0f} %", README)
    span = f"[{versus.ratio_low:.3f}, {versus.ratio_high:.3f}]"
    assert said(f"a CUDA graph's step takes {versus.ratio:.3f} times as long as the fused step {span}", FUSED)
    assert max(versus.cv_a, versus.cv_b) < 0.005
    assert said("the CV of both is below 0.5 %", RESULTS)
    assert said(f"take {versus.busy_a_ms / versus.busy_b_ms:.1f} times as long (`busy ms`)", RESULTS)


@pytest.mark.medium
def test_the_outcome_of_the_paper_check_on_the_front_page(frame):
    eager, graph = (steps_of(frame, quant="bf16", runtime=runtime) for runtime in ("eager", "graph"))
    figures = {(figure.gpu, figure.model, figure.ctx): figure.r_floor_paper for figure in paper.floor_rows()}
    paper_share = figures["h100", "qwen2.5-7b", 2048]
    assert said(f"reports that plain PyTorch reaches {100 * paper_share:.0f} % of the floor on an H100", README)
    assert said(f"reach {100 * eager.r_floor:.0f}–{100 * eager.r_floor_paper:.0f} %", README)
    idle = 1 - eager.step_busy_ms / eager.step_wall_ms
    assert said(f"the GPU is idle for {100 * idle:.0f} % of the step", README)
    assert said(f"the CUDA graph reaches {100 * graph.r_floor:.0f} %", README)
    assert eager.r_floor_paper < 0.95 * paper_share


@pytest.mark.medium
def test_how_much_eager_sessions_scatter(frame):
    rows = [row for row in floor.rows(frame) if row.valid and row.runtime == "eager" and row.interval_label == "range"]
    factor = max(row.step_wall_ms_high / row.step_wall_ms_low for row in rows)
    assert said(f"the slowest eager session of a row takes up to {factor:.1f} times as long as the fastest", README)
    assert all(row.flags for row in rows)


@pytest.mark.medium
def test_the_verdicts_on_the_papers_claims(frame):
    comparisons, _ = ab.from_frame(frame, bootstrapped=False)
    for row in claims.verdicts(claims.rows(frame, comparisons)):
        counts = " | ".join(map(str, (row.passed, row.failed, row.undecided, row.unmeasured)))
        assert said(f"| {row.text} | {row.verdict} | {counts} |", PAPER)


def test_the_rules_of_the_page_on_the_paper_are_those_of_the_code():
    verdicts = (_claimrow.HOLDS, _claimrow.IN_PART, _claimrow.FAILS, _claimrow.CANNOT_BE_TOLD, _claimrow.NOT_MEASURED)
    assert all(f"\n| {verdict} | " in PAPER for verdict in verdicts)
    assert _claimrow.FEWEST == 3
    assert said("Fewer than three sessions decide nothing", PAPER)
    assert _launchfit.TELLING == 0.5
    assert said("the line explains at least half of the variance", PAPER)
    assert linefit.FEWEST == 3
    assert said("only if there are three hosts or more", PAPER)


@pytest.mark.medium
def test_what_the_launch_probe_tells_of_the_papers_eager_step(frame):
    for row in differences.of_kind(LaunchRow, differences.rows(frame, [])):
        (sentence,) = differences.sentences([row])
        assert said(sentence, PAPER)


def first_visits(found):
    return [one["latency"]["step_wall_ms"] - one["latency"]["step_wall_revisit_ms"] for one in found]


@pytest.mark.medium
def test_the_control_of_the_first_visit(records):
    """One host, in turns, and different in nothing but the backend of attention."""
    own = [one for one in records if one["cell"]["cache"] == "dynamic" and one["gate"].get("gate_version", 1) >= 2]
    own.sort(key=lambda one: one["session"]["started_ms"])
    assert len({one["keys"]["host_id"] for one in own}) == len({one["keys"]["code_key"] for one in own}) == 1
    assert [one["cell"]["options"] for one in own] in (
        [{}, {"sdpa": "flash"}] * 3,
        [{"sdpa": "flash"}, {}] * 3,
        [{}, {"sdpa": "flash"}, {"sdpa": "flash"}, {}, {}, {"sdpa": "flash"}],
    )
    cells = [{**one["cell"], "options": None} for one in own]
    assert cells == [cells[0]] * 6
    cudnn, flash = ([one for one in own if one["actual"]["attention_backend"] == name] for name in ("cudnn", "flash"))
    assert [len(cudnn), len(flash)] == [3, 3]
    low, high, most = min(first_visits(cudnn)), max(first_visits(cudnn)), max(first_visits(flash))
    told = f"a first visit costs {low:.0f} to {high:.0f} ms more than a revisit, with flash at most {most:.1f} ms"
    assert said(told, METHODOLOGY)
    revisits = [[one["latency"]["step_wall_revisit_ms"] for one in both] for both in (cudnn, flash)]
    assert max(revisits[1]) > min(revisits[0])
    assert said(
        "The two `dynamic` rows of qwen2.5-7b at 2048 are a control: one host, three sessions each, in alternation",
        RESULTS,
    )


def test_eager_steps_take_longer_under_the_profiler(records):
    eager = [one["latency"] for one in records if one["cell"]["runtime"] == "eager"]
    longer = median(one["profiled_span_ms"] / one["step_span_ms"] for one in eager)
    assert said(f"the committed eager steps take {longer:.1f} times as long under the profiler", METHODOLOGY)


@pytest.mark.medium
def test_what_the_graph_saves_is_time_without_kernels(frame):
    assert said("The kernels run about as long in both arms", RESULTS)
    assert said("Almost all of the interval's width comes from the eager arm", RESULTS)
    compared = graphs.rows(ab.from_frame(frame, bootstrapped=False)[0])
    for row in [row for row in compared if (row.arm_a, row.arm_b) == ("eager", "graph")]:
        assert row.busy_a_ms == pytest.approx(row.busy_b_ms, rel=0.02)
        assert row.cv_a > 50 * row.cv_b
    assert said("scatters more than fifty times as much as the captured one", STATISTICS)


@pytest.mark.medium
def test_in_a_graph_the_kernels_of_packed_weights_take_more_beyond_their_bytes(frame):
    assert said("the kernel time beyond reading the bytes (`kernels` in the gap budget) is longer for every", RESULTS)
    assert said("On the H100 with CUDA graphs", RESULTS)
    terms = defaultdict(list)
    for row in budget.rows(frame):
        if row.valid and (row.gpu, row.runtime) == ("h100", "graph"):
            (ms,) = [term.ms for term in row.terms if term.name == "kernels"]
            terms[row.model, row.quant == "bf16"].append(ms)
    models = {model for model, _ in terms}
    assert len(models) == 3
    assert all(min(terms[model, False]) > max(terms[model, True]) for model in models)


def test_most_superseded_sessions_are_of_another_host(frame):
    assert said("superseded sessions in separate rows; most of them ran on another host", RESULTS)
    shown = {row.cell_key: row.code_key for row in floor.rows(frame) if row.valid and row.superseded}
    of_cells = frame.sessions.filter("valid").select("cell_key", "code_key", "host_id").rows()
    newest = {(cell, host) for cell, code, host in of_cells if shown.get(cell) == code}
    older = [(cell, host) for cell, code, host in of_cells if cell in shown and shown[cell] != code]
    assert sum(one not in newest for one in older) > len(older) / 2


def test_marlins_products_take_longer_in_gptq_than_in_awq(records):
    assert said("In the H100's records, Marlin's kernels take longer with GPTQ than with AWQ weights", QUANTISATION)
    took = defaultdict(list)
    for one in records:
        if one["cell"]["kernel"] == "marlin" and one["cell"]["model"] == "qwen2.5-7b":
            (product, *_) = [each for each in one["kernels"] if "marlin::Marlin" in each["name"]]
            took[one["cell"]["quant"]].append(product["us"] / product["count"])
    assert min(took["gptq"]) > max(took["awq"])


def test_eager_repeats_itself_at_17_and_not_at_the_cells_ctx(records):
    assert said("at ctx 17 eager repeats itself, at 2048 and 16384 it differs from itself in most sessions", RUNTIMES)
    plain = [one for one in records if (one["cell"]["runtime"], one["cell"]["quant"]) == ("graph", "bf16")]
    checks = [{each["name"]: each for each in one["gate"]["eager"]} for one in plain]
    assert all(max(each["short"]["repeats"]) == 0 for each in checks)
    repeats, differences = ([max(each["ctx"][name]) for each in checks] for name in ("repeats", "differences"))
    assert sum(value > 0 for value in repeats) > 0.8 * len(repeats)
    assert max(differences) <= max(repeats)


def ends(values, form="{:.0f}"):
    """Returns the least and the largest value as the pages write them."""
    found = [*values]
    return f"{form.format(min(found))} to {form.format(max(found))}"


def of_two_windows(windows):
    """Returns the share of the slowest tenth of the steps that lies in the two windows with the most of it."""
    steps = sorted(chain(*windows))
    p90 = steps[len(steps) * 9 // 10 - 1]
    slow = sorted(sum(step > p90 for step in window) for window in windows)
    return sum(slow[-2:]) / sum(slow)


def test_no_session_of_tails_supports_a_p99(records):
    long = [one for one in records if one["protocol"]["name"] == "tail-long"]
    assert said(f"None of the {len(long)} committed sessions of `tail-long` supports it", METHODOLOGY)
    windows = [one["passes"]["wall"]["windows_us"] for one in long]
    assert [tails.percentile_bound(each, 99) for each in windows] == [None] * len(long)
    shares = ends(100 * of_two_windows(each) for each in windows)
    assert said(f"{shares} % of the slowest tenth lie in two of the ten windows", METHODOLOGY)
    assert {(one["cell"]["gpu"], one["cell"]["model"], one["cell"]["ctx"]) for one in long} == {
        ("h200", "qwen2.5-7b", 2048)
    }
    assert {tails.effective(each).n for each in windows} == {3000}


def test_the_tails_of_each_cell_that_was_measured(records):
    by_cell = defaultdict(list)
    for one in records:
        if one["protocol"]["name"] == "tail-long":
            weights = " ".join([one["cell"]["quant"], *([one["cell"]["kernel"]] * (one["cell"]["quant"] != "bf16"))])
            by_cell[f"{weights}, {one['cell']['runtime']}"].append(one["passes"]["wall"]["windows_us"])
    assert len(by_cell) == 7
    beyond = {
        name: [100 * (max(chain(*each)) / median(chain(*each)) - 1) for each in windows]
        for name, windows in by_cell.items()
    }
    for name, windows in by_cell.items():
        worth = [tails.effective(each) for each in windows]
        largest = f"{ends(beyond[name], '{:.1f}')} %"
        values = (ends(one.tau for one in worth), ends(one.n_eff for one in worth), largest)
        assert f"\n| {' | '.join((name, str(len(windows)), *values))} |\n" in METHODOLOGY
    assert said("its largest steps are about twice the median", METHODOLOGY)
    assert all(75 < share < 125 for share in beyond["bf16, eager"])


def test_the_windows_of_tails_p99_follow_from_the_tails_that_were_measured(records):
    declared = (ROOT / "experiments" / "tails-p99.yaml").read_text()
    long = [one["passes"]["wall"]["windows_us"] for one in records if one["protocol"]["name"] == "tail-long"]
    worth = [tails.effective(windows) for windows in long if len(windows) == 10]
    told = " ".join(line.removeprefix("# ") for line in declared.splitlines() if line.startswith("# "))
    assert f"were worth {ends(one.n_eff for one in worth)} independent steps" in told
    longest = max(one.tau for one in worth)
    assert f"the longest autocorrelation time of those sessions, {longest:.1f} steps" in told
    assert 190 * 300 / longest >= 299 > 189 * 300 / longest


@pytest.mark.medium
def test_the_committed_sessions_of_the_fused_step(frame, records):
    usual = [row for row in floor.rows(frame) if (row.runtime, row.protocol) == ("fused", "paper-5-30")]
    probes, cards = [], set()
    for row in usual:
        own = [one for one in records if is_of(one, row)]
        assert len(own) == 3
        speeds = f"{row.step_wall_ms:.3f} | {row.r_floor:.3f} | {row.r_floor_achievable:.3f}"
        assert f"| {row.model} | {row.ctx} | {speeds} |" in FUSED
        probes += [one["probes"]["read_gbs"] / 1e3 for one in own]
        cards |= {(row.model, one["keys"]["host_id"]) for one in own}
    assert len(usual) == 10
    assert said(f"Their probes read {ends(probes, '{:.2f}')} TB/s", FUSED)
    assert said("Thirty committed sessions are of this state", FUSED)
    assert len(probes) == 30
    assert said("those of Qwen2.5-0.5B are from two H200s, all others from one", FUSED)
    assert len({host for model, host in cards if model == "qwen2.5-0.5b"}) == 2
    assert len({host for model, host in cards if model != "qwen2.5-0.5b"}) == 1
    aims = {"qwen2.5-7b": 0.84, "mistral-7b": 0.86, "llama-3.1-8b": 0.86}
    reached = {(row.model, row.ctx): row.r_floor for row in usual if row.ctx in (2048, 16384)}
    assert all(reached[model, ctx] >= aim for model, aim in aims.items() for ctx in (2048, 16384))
    assert [place for place, share in reached.items() if share >= 0.88] == [("llama-3.1-8b", 16384)]


def is_of(one, row):
    """Returns whether a session is one of a row of the default protocol."""
    keys = (one["keys"]["cell_key"], one["keys"]["code_key"], one["protocol"]["name"])
    return keys == (row.cell_key, row.code_key, "paper")


def test_the_earlier_kernel_of_the_fused_step(records):
    fused = [one for one in records if one["cell"]["runtime"] == "fused" and one["protocol"]["name"] == "paper"]
    steps = defaultdict(list)
    for one in fused:
        if (one["cell"]["model"], one["cell"]["ctx"]) == ("qwen2.5-7b", 2048):
            steps[one["keys"]["code_key"]].append(one["latency"]["step_wall_ms"])
    assert said(f"its sessions took {median(steps['c8db9efd27db']):.3f} ms there", FUSED)
    assert said(f"on another card, took {median(steps['06eafb0e7c3f']):.3f} ms", FUSED)


@pytest.mark.medium
@pytest.mark.parametrize(("study", "cells", "words"), [("tails", 7, "seven"), ("energy", 5, "five")])
def test_how_much_of_a_study_is_measured(records, study, cells, words):
    sessions = Counter(one["keys"]["cell_key"] for one in records if one["request"]["study"] == study)
    assert (len(sessions), min(sessions.values())) == (cells, 3)
    (line,) = [line for line in STUDIES.splitlines() if line.startswith(f"| `{study}.yaml`")]
    assert f"{words} cells are measured" in line
    assert "three sessions each" in line


@pytest.mark.medium
def test_quantised_graphs_hardly_gain_from_a_faster_memory(frame):
    cells = (("awq", "marlin", "fp16"), ("gptq", "exllamav2", "fp16"), ("bnb-nf4", "bitsandbytes", "bf16"))
    shorter = []
    for quant, kernel, dtype in cells:
        fields = {"quant": quant, "kernel": kernel, "dtype": dtype, "runtime": "graph"}
        old, new = (steps_of(frame, gpu=gpu, **fields).step_wall_ms for gpu in ("h100", "h200"))
        shorter.append(100 * (1 - new / old))
    told = f"its quantised steps as CUDA graphs are only {ends(shorter)} % shorter than those of the H100"
    assert said(told, PREDICTION)


def test_the_steps_while_energy_was_measured(records):
    found = [one for one in records if "steps" in one.get("energy", {})]
    assert said(f"{len(found)} committed sessions on an H200 have it", METHODOLOGY)
    assert {one["cell"]["gpu"] for one in found} == {"h200"}
    judged = [one for one in found if "energy_disagreement" in one["limits"]]
    of_graphs, one_kernel = ([one for one in judged if one["cell"]["runtime"] == name] for name in ("graph", "fused"))
    assert len(judged) == len(of_graphs) + len(one_kernel)
    told = f"{apart(of_graphs)} % from the wall pass in {len(of_graphs)} sessions of CUDA graphs"
    assert len(one_kernel) == 3
    assert said(f"{told}, and by at most {apart(one_kernel)} % in three of the fused step", METHODOLOGY)
    earlier = [one for one in found if one not in judged]
    fused = [one for one in earlier if one["cell"]["runtime"] == "fused"]
    assert said(f"(one kernel) they differ by at most {apart(fused)} %", METHODOLOGY)
    steps = sorted((step_ms(one), one["latency"]["step_wall_ms"]) for one in earlier if one not in fused)
    (first, first_wall), (second, second_wall) = steps
    told = f"took {first:.2f} and {second:.2f} instead of {first_wall:.2f} and {second_wall:.2f} ms"
    assert said(told, METHODOLOGY)
    assert {one["energy"]["resolution_mj"] for one in found} == {1}
    assert {round(one["energy"]["update_interval_ms"], -1) for one in found} == {100}
    assert {round(one["cost_s"]["energy"]) for one in found} == {46}


def step_ms(one):
    """Returns the mean step in ms while energy was measured."""
    steps = one["energy"]["steps"]
    return 1e3 * (steps["seconds"] - steps["gaps_s"]) / steps["count"]


def apart(sessions):
    """Returns how far the mean step lies from the wall pass at most, in percent, as the page writes it."""
    return f"{max(100 * abs(step_ms(one) / one['latency']['step_wall_ms'] - 1) for one in sessions):.1f}"


def percents(rows, name="covered"):
    return " to ".join(f"{100 * end(row[name] for row in rows):.1f}" for end in (min, max))


def test_what_the_intervals_reach_in_simulations():
    report = json.loads((ROOT / "docs" / "evidence" / "coverage.json").read_text())
    rows = [row for row in report["coverage"] if row["noise"] != "harsh"]
    still = [row for row in rows if row["hosts"] == 1 and not row["drift"]]
    assert said(f"On one host without drift the interval contains the true ratio in {percents(still)} %", STATISTICS)
    for told, chosen in (
        ("95 to 99", [row for row in rows if row["hosts"] > 1]),
        ("95 to 98", [row for row in rows if row["drift"]]),
    ):
        assert said(f"({told} %)", STATISTICS)
        assert told == " to ".join(f"{100 * end(row['covered'] for row in chosen):.0f}" for end in (min, max))
    long, two = (one["log_likelihood_over_normal"] for one in report["noise"]["fitted"].values())
    assert said(f"The long tail is more likely than two speeds, by {long - two:.1f} in the logarithm", STATISTICS)
    of_four = min(row["covered"] for row in rows if row["hosts"] == 4 and row["noise"] == "long tail")
    assert said(f"Four hosts of five sessions each reach {100 * of_four:.1f} % with the long tail", STATISTICS)
    same = {row["noise"]: row["same"] for row in report["power"] if row["ratio"] == 1}
    told = (
        f"{100 * same['long tail']:.0f} % end as SAME with the long tail and {100 * same['two speeds']:.0f} % with two"
    )
    assert said(told, STATISTICS)
    different = [row for row in report["power"] if row["ratio"] != 1]
    detected = min(max(row["faster"], row["slower"]) for row in different)
    assert said(f"A true difference of 3 % is detected in {100 * detected:.1f} % or more", STATISTICS)
    assert max(min(row["faster"], row["slower"]) for row in different) == 0


def test_the_faults_that_no_bound_can_see():
    files = sorted((ROOT / "docs" / "evidence" / "mutants").glob("*.json"))
    rows = [row for path in files for row in json.loads(path.read_text())["rows"] if row["mutant"]]
    missing = [row for row in rows if row["mutant"].endswith("prompt-row-missing") and row["dtype"] == "bf16"]
    short, long = (
        " to ".join(f"{end(row['ctx_ratio'] for row in missing if row['ctx'] == ctx):.2f}" for end in (min, max))
        for ctx in (2048, 16384)
    )
    assert said(f"the ratio of a missing prompt row is {short} at 2048, and {long} at 16384", MUTANTS)
    own = [row for row in rows if row["mutant"] == "norm-epsilon-times-100"]
    ratios = [row[name] for row in own for name in ("short_ratio", "ctx_ratio")]
    assert said(f"the ratio stays between {min(ratios):.3f} and {max(ratios):.2f}", MUTANTS)
    assert not any(row["rejected"] for row in own)


def test_the_demo_and_the_tables_promise_no_figure_that_no_record_has():
    for page in (README, METHODOLOGY, QUANTISATION, RESULTS, RUNTIMES, STATISTICS):
        for false in (
            "is no effect of the context",
            "most of a step's price",
            "slow, virtual",
            "trial data, not",
            "bound by its host",
            "gains most",
            "loses",
        ):
            assert not said(false, page), false


def test_the_two_headline_rows_of_the_paper_say_that_they_differ():
    assert "implies a step of 16.97 ms; the eager arm of its A/B takes 14.828 ms" in RESULTS
    assert "implies a step of 63.16 ms; the unquantised step beside its quantised ones takes 62.32 ms" in RESULTS
    assert "0.763" not in RESULTS
