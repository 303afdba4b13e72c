"""One row for each session of a store that has it in several runs: imported into two experiments, or deleted, imported
anew and restored. Counted twice it would narrow every range and interval."""

from __future__ import annotations

import polars

from analysis.sources.columns import DIGEST, SESSION
from analysis.sources.usable import WordsOf

UNLIKE = "its session {} is in another run with other content: compare their record.json, and delete the wrong run"


def once(rows: polars.DataFrame, digests_of: WordsOf) -> tuple[polars.DataFrame, polars.DataFrame, tuple[str, ...]]:
    """The first run of each session, (run_id, fault) of those whose runs have not the same content, and a line on what
    was passed over. `rows` are in an order that is the same from every source."""
    more = rows.filter(polars.col(SESSION).is_duplicated())
    words = digests_of(more["row"].to_list()) if len(more) else {}
    digests = polars.Series("digest", [words[row][DIGEST.name] for row in more["row"]], dtype=polars.String)
    unlike = more.with_columns(digests).filter(polars.col("digest").n_unique().over(SESSION) > 1)
    kept = rows.join(unlike, on="row", how="anti", maintain_order="left")
    faults = unlike.select("run_id", polars.format(UNLIKE, SESSION).alias("fault"))
    return kept.unique(SESSION, keep="first", maintain_order=True), faults, _told(more, unlike)


def _told(more: polars.DataFrame, unlike: polars.DataFrame) -> tuple[str, ...]:
    count = more[SESSION].n_unique() - unlike[SESSION].n_unique()
    if not count:
        return ()
    which = "1 session is" if count == 1 else f"{count} sessions are"
    return (f"{which} in the store in more than one run: each counts once, by the run that began first",)
