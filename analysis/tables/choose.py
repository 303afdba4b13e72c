"""The choose table: the configurations that meet a deadline. `analysis.choose` makes its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis import prices as pricing
from analysis.choose import choosecolumns, choosing, missingdata, order, recorded, scope
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.choose.ruling import FAILS, FEW_STEPS, IN_RANGE, LACKS, MEDIAN_ONLY, YES
from analysis.choose.worstsession import FEWEST_SESSIONS, MISS_OF_P99
from analysis.reading import Reading
from analysis.table import Figure, Part, Table, Typed
from runner.cell import catalogue
from runner.counts import listed

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

FIRST = ("evidence", "gpu", "quant", "runtime", "meets", "step_words", "miss_words")
PRICE = "usd_per_mtok"
HOW = {YES: "with a bounded tail", MEDIAN_ONLY: "by their medians only", IN_RANGE: "as predicted"}
"""Ways to meet the deadline, by their words. The page's script has them, too."""
INTRO = (
    "Each row is a configuration that was measured here, published in the paper, or predicted. Rows that meet the "
    "deadline come first; among them those of stronger evidence, then unflagged, cheaper and faster ones. The accuracy "
    "of quantised weights was not measured. Only the first prediction of each GPU and weight format is shown."
)


def rows(reading: Reading) -> list[ChooseRow]:
    """Returns the rows of the model and ctx with the most sessions, for the default deadline."""
    frame = reading.frame
    counts = frame.sessions["cell_key"].value_counts()
    places = [(frame.cells[key]["model"], frame.cells[key]["ctx"], count) for key, count in counts.iter_rows()]
    chosen = scope.most_measured(places)
    if chosen is None:
        return []
    gpus = dict.fromkeys((*catalogue.gpus(), *(str(cell["gpu"]) for cell in frame.cells.values())))
    return list(choosing.chosen(reading, scope.Scope(*chosen, tuple(gpus)), Limits(), reading.prices).rows)


def sentences(table: Sequence[ChooseRow]) -> list[str]:
    """Returns the statements that hold for all rows."""
    if not table:
        return []
    return list(_sentences(table))


def _sentences(table: Sequence[ChooseRow]) -> Iterator[str]:
    if any(row.n_eff is not None for row in table):
        yield (
            "Shares, bounds and p99 are those of the row's worst session, on its host: another host may have another "
            "tail. They are bounded at the number of independent steps (n / τ), because steps of a session are "
            "autocorrelated."
        )
    if any((row.sessions or 0) > recorded.NEWEST for row in table):
        yield f"If a row has more than {recorded.NEWEST} sessions, its tail is that of the newest {recorded.NEWEST}."
    if unbounded := [row for row in table if row.meets_as == MEDIAN_ONLY]:
        enough = missingdata.remedy(FEW_STEPS, Limits(miss=MISS_OF_P99, tokens=table[0].tokens), unbounded)
        yield (
            f"`{MEDIAN_ONLY}`: nothing is promised about the tail of a published row, or of one with fewer than "
            f"{FEWEST_SESSIONS} sessions or too few steps for p99. To bound it, {enough}."
        )
    yield "The deadline is for steps: it does not include the time to the first token."
    if all(row.joules_per_token is None for row in table):
        yield "No row has J/token: `python -m runner cell --energy` measures it on a GPU."
    if hourly := _hourly(table):
        at = ", ".join(f"{gpu} {price:.3g}" for gpu, price in hourly.items())
        yield (
            "$/Mtok is the price of a card that serves one stream (batch 1), in $ per hour: "
            f"{at} (`choose --price` changes it)."
        )
    if unpriced := list(dict.fromkeys(row.gpu for row in table if row.usd_per_mtok is None)):
        yield f"No price is known of {listed(unpriced, 'and')}: `choose --price {unpriced[0]}=DOLLARS` states one."


def _hourly(table: Sequence[ChooseRow]) -> dict[str, float]:
    """Returns the price per hour of each GPU, as the rows have it."""
    return {
        row.gpu: row.usd_per_mtok / 1e6 * pricing.HOUR_MS / row.step_wall_ms
        for row in table
        if row.usd_per_mtok is not None
    }


def result(table: Sequence[ChooseRow], limits: Limits) -> str:
    """Returns the number of rows that meet the limits, as a sentence."""
    return f"{table[0].model} at ctx {table[0].ctx}: {said(table, limits.words)}."


def said(table: Sequence[ChooseRow], limits: str) -> str:
    """Returns the number of rows that meet the limits, and how."""
    met = Counter(row.meets for row in table if row.is_met)
    ways = [f"{met[word] or 'none'} {how}" for word, how in HOW.items() if met[word] or word == YES]
    return f"{met.total()} of {len(table)} rows meet {limits}" + (f": {', '.join(ways)}" if met else "")


def part(table: Sequence[ChooseRow], prefill: bool = True) -> Part:
    """Returns the grid of these rows."""
    place = f" of {table[0].model} at ctx {table[0].ctx}" if table else ""
    return Part(
        "choose",
        f"Configurations{place} by whether they meet the deadline",
        table,
        choosecolumns.columns(table, prefill),
        count="meets",
        first=(*FIRST, *((PRICE,) if any(row.value(PRICE) for row in table) else ()), "flags"),
        expendable=("miss_words", PRICE),
        below={"step_words": ("joules_words",)},
        linked=("sessions", "step_words"),
        by_number=(
            "miss_words",
            "step_words",
            "joules_words",
            *(("chunk_words",) if any(row.tokens > 1 for row in table) else ()),
        ),
        nothing="No configuration is known.",
        typed=_typed(table),
    )


def _typed(table: Sequence[ChooseRow]) -> Typed | None:
    if not table:
        return None
    places = {id(row): place for place, row in enumerate(sorted(table, key=order.place))}
    return Typed(
        "Deadline", "ms per step", table[0].deadline_ms, said(table, "it"), lambda row: _data(row, places[id(row)])
    )


def _data(row: ChooseRow, place: int) -> str:
    """Returns what the page's script needs in order to judge the row for another deadline."""
    data = {
        "slow": row.slow_below_ms,
        "meets": row.meets_from_ms,
        "word": row.meets_as,
        "fails": row.barred if row.barred_standing == FAILS else "",
        "lacks": row.barred if row.barred_standing == LACKS else "",
        "place": place,
        "bounds": [(point.from_ms, round(point.share, 6), round(point.upper, 6)) for point in row.miss_bounds],
    }
    return json.dumps(data, separators=(",", ":"))


def markdown(table: Sequence[ChooseRow], limits: Limits, prefill: bool) -> str:
    """Returns the rows as a Markdown table with the number of those that meet the limits, and the sentences."""
    lines = (f"- {sentence}" for sentence in (result(table, limits), *sentences(table)))
    return "\n".join([part(table, prefill).markdown(), *lines]) + "\n"


def _parts(table: Sequence[ChooseRow]) -> Iterator[Part]:
    yield part(table)


def _draw(table: Sequence[ChooseRow], reading: Reading) -> Drawn | None:
    from analysis.figures import choose as figure

    if not table:
        return None
    return figure.draw(*figure.read(reading, table), table[0].deadline_ms, table[0].tokens)


TABLE = Table(
    name="choose",
    order=15,
    title="Configurations that meet a deadline",
    intro=INTRO,
    metrics=recorded.METRICS,
    columns=choosecolumns.ALL,
    rows=rows,
    parts=_parts,
    sentences=sentences,
    summary="How to read it",
    priced=True,
    figures=(Figure("choose", _draw, below=True),),
)
