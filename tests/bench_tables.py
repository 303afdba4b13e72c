"""How long the tables take on large stores, and how much longer `mlflow.search_runs` does.

python -m tests.bench_tables FOLDER [--postgresql URI] [--sizes 1000,10000,100000] [--out docs/evidence/scale/HOST.json]
python -m tests.bench_tables --render docs/evidence/scale/*.json             # the tables of docs/scale.md

Stores are made in FOLDER (SQLite) and, as databases of their own, on the server (PostgreSQL) where they are not there
yet. Each is read once before anything is timed, so that its pages are in memory. Every command runs in a process of its
own: once with nothing kept from before, and once again. `search_runs` is timed in the same run, on the size that it can
still read; what it read is pivoted to the same frame.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TABLES = ("floor", "graphs", "quant", "budget", "paper")
TARGETS_S = {"sqlite": 5.0, "postgresql": 3.0}
AGAIN_S, MEMORY_BYTES = 1.0, 1.5e9
GROWTH = 1.1  # the power of the runs with which a time may grow; what a process costs by itself makes it less than 1
CLIENT_RUNS = 10_000
READS = """
import hashlib, sys, time
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis import form
from analysis.tables import floor
for kind in (Store, ClientStore):
    begun = time.perf_counter()
    rows = floor.rows(kind(sys.argv[1]).frame(floor.METRICS))
    print(time.perf_counter() - begun, len(rows), hashlib.sha256(form.json_text(rows).encode()).hexdigest())
"""

Row = dict[str, Any]


def stores(folder: Path, server: str | None, sizes: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    """(kind, runs, URI), each made where it is not there yet."""
    for runs in sizes:
        file = folder / f"runs-{runs}" / "mlflow.db"
        if not file.exists():
            file.parent.mkdir(parents=True)
            _made(f"sqlite:///{file}", runs)
        yield "sqlite", runs, f"sqlite:///{file}"
    for runs in sizes if server else ():
        yield "postgresql", runs, _database(str(server), runs)


def _made(uri: str, runs: int) -> None:
    """In a process of its own: a child's largest resident set is never less than its parent's when it began."""
    print(f"making {runs} runs in {uri.rpartition('@')[2]} …", file=sys.stderr)
    command = [
        sys.executable,
        "-m",
        "tests.support.bigstore",
        uri,
        "--runs",
        str(runs),
        "--comparisons",
        str(max(runs // 1000, 1)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _database(server: str, runs: int) -> str:
    import psycopg

    name = f"runs_{runs}"
    uri = f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as link:
        if not link.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            link.execute(f"CREATE DATABASE {name}")
            _made(uri, runs)
    return uri


def timed(command: Sequence[str], cache: Path) -> tuple[float, int]:
    """Seconds of a process from its start to its end, and its largest resident set in bytes."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "XDG_CACHE_HOME": str(cache)}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, used.ru_maxrss * 1024


def table_row(kind: str, runs: int, uri: str, table: str) -> Row:
    """One table of one store: the first time, and again in a new process."""
    command = [sys.executable, "-m", "analysis", table, "--store", uri, "--format", "json"]
    cache = Path(tempfile.mkdtemp(prefix="decode-floor-bench-"))
    try:
        first_s, peak = timed(command, cache)
        again_s, _ = timed(command, cache)
    finally:
        shutil.rmtree(cache)
    return {"store": kind, "runs": runs, "table": table, "first_s": first_s, "again_s": again_s, "peak_bytes": peak}


def _store_rows(kind: str, runs: int, uri: str) -> list[Row]:
    table_row(kind, runs, uri, TABLES[0])
    return [table_row(kind, runs, uri, table) for table in TABLES]


def client_row(kind: str, runs: int, uri: str) -> Row:
    """The same table's rows by the tables' own way and through `search_runs`, in one process."""
    cache = Path(tempfile.mkdtemp(prefix="decode-floor-bench-"))
    try:
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-c", READS, uri]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(cache)
    (ours_s, *ours), (client_s, *client) = (line.split() for line in done.stdout.splitlines())
    if ours != client:
        raise SystemExit(f"other rows by the tables ({' '.join(ours)}) than through search_runs ({' '.join(client)})")
    return {"store": kind, "runs": runs, "ours_s": float(ours_s), "search_runs_s": float(client_s)}


def report(folder: Path, server: str | None, sizes: Sequence[int]) -> Row:
    """Everything that docs/scale.md shows."""
    found = list(stores(folder, server, sizes))
    tables = [row for kind, runs, uri in found for row in _store_rows(kind, runs, uri)]
    clients = [client_row(kind, runs, uri) for kind, runs, uri in found if runs == CLIENT_RUNS]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {
        "machine": f"{os.cpu_count()} cores, {machine}",
        "tables": tables,
        "search_runs": clients,
    }


def markdown(found: Row) -> str:
    """The report's tables."""
    header = ["store", "runs", "table", "first (s)", "again (s)", "peak MB", "growth"]
    lines = [f"{found['machine']}:", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in found["tables"]:
        cells = [row["store"], str(row["runs"]), row["table"], f"{row['first_s']:.2f}", f"{row['again_s']:.2f}"]
        growth = _growth(row, found["tables"])
        cells += [f"{row['peak_bytes'] / 1e6:.0f}", "–" if growth is None else f"{growth:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    for row in found["search_runs"]:
        ratio = row["search_runs_s"] / row["ours_s"]
        seconds = f"{row['ours_s']:.2f} s against {row['search_runs_s']:.1f} s"
        lines += ["", f"{row['store']}, {row['runs']} runs: {seconds} through `search_runs`, **{ratio:.0f}×**."]
    return "\n".join(lines) + "\n"


def _growth(row: Row, rows: Sequence[Row]) -> float | None:
    """The power of the number of runs with which the time grew from the next smaller store: 1 is linear."""
    same = [one for one in rows if (one["store"], one["table"]) == (row["store"], row["table"])]
    smaller = [one for one in same if one["runs"] < row["runs"]]
    if not smaller:
        return None
    before = max(smaller, key=lambda one: one["runs"])
    return math.log(row["first_s"] / before["first_s"]) / math.log(row["runs"] / before["runs"])


def misses(found: Row) -> list[str]:
    """A line for each target that the largest stores miss, and for each time that grows faster than the runs."""
    largest = max(row["runs"] for row in found["tables"])
    growths = ((row, _growth(row, found["tables"])) for row in found["tables"])
    lines = [
        f"{row['store']} {row['table']}: grows with the runs to the power of {growth:.2f} up to {row['runs']}"
        for row, growth in growths
        if growth is not None and growth > GROWTH
    ]
    for row in (row for row in found["tables"] if row["runs"] == largest):
        limits = (("first_s", TARGETS_S[row["store"]]), ("again_s", AGAIN_S), ("peak_bytes", MEMORY_BYTES))
        lines += [
            f"{row['store']} {row['table']}: {name} {row[name]:.3g}, at most {limit:g}"
            for name, limit in limits
            if row[name] > limit
        ]
    return lines


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--postgresql", metavar="URI", help="a database of the server that others are made on")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--render", type=Path, nargs="*")
    given = parser.parse_args()
    if given.render:
        print("\n".join(markdown(json.loads(path.read_text(encoding="utf-8"))) for path in given.render), end="")
        return
    if given.folder is None:
        parser.error("name the folder of the stores")
    found = report(given.folder.resolve(), given.postgresql, [int(size) for size in given.sizes.split(",")])
    print(markdown(found), end="")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if lines := misses(found):
        sys.exit("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
