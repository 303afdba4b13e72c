"""The constants of the model as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.form import Column, markdown_table
from analysis.prediction.constants import Architecture, Constants
from analysis.row import Row

PRODUCTS = (
    Column("quant", "quant"),
    Column("kernel", "kernel"),
    Column("bandwidth share", "share", ".3f"),
    Column("µs per MB", "us_per_mb", ".3f", hides_zero=True),
    Column("least µs", "fixed_us", ".2f", hides_zero=True),
)
PATHS = (
    Column("runtime", "runtime"),
    Column("cache", "cache"),
    Column("attention µs per layer", "attention_us", ".2f", hides_zero=True),
    Column("and per million", "attention_us_per_million", ".3f", hides_zero=True),
    Column("up to ctx", "ctx", "d"),
    Column("gap µs", "gap_us", ".2f"),
    Column("read-back ms", "readback_ms", ".3f"),
    Column("new length ms", "new_length_ms", ".1f", hides_zero=True),
)
REMAINDERS = (
    *(Column(name, name) for name in ("quant", "kernel", "runtime", "cache")),
    Column("kernels per layer", "kernels", ".1f"),
    Column("other kernels, µs per layer", "others_us", ".1f", hides_zero=True),
    Column("host µs per kernel", "issue_us", ".1f", hides_zero=True),
    Column("smallest share", "least_share", ".3f"),
    Column("GPUs", "measured_on"),
)
SPREADS = (
    Column("steps", "limit"),
    Column("held-out errors", "rows", "d"),
    Column("folds", "folds", "d"),
    Column("root mean square", "rms", ".3f"),
    Column("degrees of freedom", "freedom", ".1f"),
    Column("range", "range"),
)


def constants_text(constants: Constants) -> str:
    """Returns the constants as Markdown."""
    return "\n".join(line for each in constants.architectures for line in _architecture(each))


def _architecture(known: Architecture) -> Iterator[str]:
    cards = ", ".join(f"{gpu} ({gbs:g} GB/s)" for gpu, gbs in known.gpus.items())
    sessions = sum(len(row.sessions) for row in known.rows)
    yield f"**{known.name}** (compute capability {known.capability}), from {sessions} sessions of {cards}"
    yield ""
    yield from _table(
        f"Products; the head is read at {known.head_share:.3f} of the bandwidth", known.products, PRODUCTS
    )
    yield from _table("Runtimes", known.paths, PATHS)
    yield from _table("Configurations", known.remainders, REMAINDERS)
    yield from _table("Errors of rows that were held out, as logarithms", known.spreads, SPREADS)
    if known.probe_correlation is not None:
        yield (
            "Correlation of the launch probe with the host's time per kernel, over the sessions that the host paces: "
            f"{known.probe_correlation:.2f}."
        )
        yield ""


def _table(title: str, rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    yield from (f"{title}:", "", *markdown_table(rows, columns), "")
