"""Removal of duplicate sessions from a store.

A session is in several runs after an import into two experiments, or if it was deleted, imported again and restored. A
duplicate would narrow every range and interval.
"""

from __future__ import annotations

import polars

from analysis.sources.columns import DIGEST, SESSION
from analysis.sources.usable import WordsOf
from runner.counts import counted

UNLIKE = "its session {} is in another run with other content: compare their record.json, and delete the wrong run"


def unrepeated(
    rows: polars.DataFrame, digests_of: WordsOf
) -> tuple[polars.DataFrame, polars.DataFrame, tuple[str, ...]]:
    """Returns the first run of each session, (run_id, fault) of sessions whose runs differ in content, and notes on
    skipped runs.

    `rows` are in an order that does not depend on the source.
    """
    repeats = rows.filter(polars.col(SESSION).is_duplicated())
    digests_by_row = digests_of(repeats["row"].to_list()) if len(repeats) else {}
    digests = polars.Series("digest", [digests_by_row[row][DIGEST.name] for row in repeats["row"]], dtype=polars.String)
    unlike = repeats.with_columns(digests).filter(polars.col("digest").n_unique().over(SESSION) > 1)
    remaining = rows.join(unlike, on="row", how="anti", maintain_order="left")
    faults = unlike.select("run_id", polars.format(UNLIKE, SESSION).alias("fault"))
    return remaining.unique(SESSION, keep="first", maintain_order=True), faults, _notes(repeats, unlike)


def _notes(repeats: polars.DataFrame, unlike: polars.DataFrame) -> tuple[str, ...]:
    count = repeats[SESSION].n_unique() - unlike[SESSION].n_unique()
    if not count:
        return ()
    sessions_are = counted(count, "session is", "sessions are")
    return (f"{sessions_are} in the store in more than one run: each counts once, by the run that began first",)
