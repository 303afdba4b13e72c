"""Commands on records that exist: `import` and `verify`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import click

from runner import store, terminal
from runner.ab import check
from runner.cell.jsonform import to_json
from runner.commands import objects
from runner.commands.options import ANY_PATH, json_option
from runner.commands.start import Start
from runner.counts import counted
from runner.errors import BadRecord, BadValue, DecodeFloorError, StoreUnreachable
from runner.record import record
from runner.record import spool as spools
from runner.record.verify import history, recompute
from runner.record.verify.copies import Copies

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
VERIFY_LINES = 20  # printed per file


class Duration(click.ParamType[timedelta]):
    """A duration such as `90m`, `12h` or `7d`."""

    name = "duration"

    def convert(self, value: str | timedelta, _param: click.Parameter | None, _ctx: click.Context | None) -> timedelta:
        """Returns the duration. Raises BadValue if the text is not one."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value, re.ASCII)
        if match is None:
            raise BadValue(
                f"--older-than {value!r} is not a duration: "
                "write a whole number from 1 to 99999 and m, h or d, as in 7d"
            )
        return timedelta(**{UNITS[match[2]]: int(match[1])})


@click.command("import")
@click.option(
    "--older-than",
    type=Duration(),
    metavar="DURATION",
    help="also close runs that began so long ago (90m, 12h, 7d) and whose process cannot be asked from here",
)
@click.argument("folder", type=ANY_PATH)
def import_command(folder: Path, older_than: timedelta | None) -> None:
    """Imports the records below FOLDER into MLflow, each once, and closes runs that killed commands left open."""
    report = store.import_folder(folder, older_than)
    if report.left:
        terminal.say(
            f"note: {counted(len(report.left), 'run is', 'runs are')} RUNNING whose process cannot be asked from here: "
            f"{', '.join(report.left)}; `--older-than 7d` closes those that began more than 7 days ago"
        )
    if report.is_empty and older_than is None:  # with an age, it may be all about runs
        raise spools.without_records(folder)
    manifests = f"; {_manifests(report.manifests)}" if report.manifests else ""
    click.echo(f"{counted(len(report.imported), 'record')} imported, {len(report.present)} already there{manifests}")
    if report.comparisons:
        click.echo(f"{counted(len(report.comparisons), 'A/B')}: {', '.join(report.comparisons)}")
    if report.closed:
        click.echo(f"{counted(len(report.closed), 'abandoned run')} closed: {', '.join(report.closed)}")
    first_paths: dict[str, Path] = {}
    for refused in report.refused:
        is_first = first_paths.setdefault(refused.reason, refused.path) == refused.path
        reason = refused.reason if is_first else f"for the same reason as {first_paths[refused.reason]}"
        click.echo(terminal.one_line(f"refused {refused.path}: {reason}"), err=True)
    if report.refused:
        raise _refusal(report.refused)


def _refusal(refused: Sequence[store.Refused]) -> DecodeFloorError:
    """Returns the error of an import that refused files, with the reason of the first."""
    wrong = next((each for each in refused if not each.by_store), None)
    if wrong is None:
        return StoreUnreachable(f"the store refused {counted(len(refused), 'file')}: {refused[0].reason}")
    count = counted(len(refused), "file was", "files were")
    first = terminal.one_line(f"{wrong.path}: {wrong.reason}")
    return BadRecord(f"{count} not imported ({first}): restore or remove each, then import again")


def _manifests(count: int) -> str:
    return counted(count, "A/B manifest")


@click.command()
@click.option("--since", metavar="REF", help="also list records that were changed or deleted since REF, by git")
@json_option
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=ANY_PATH)
@click.pass_obj
def verify(start: Start, paths: tuple[Path, ...], since: str | None, as_json: bool) -> None:
    """Recomputes every derived number of the records from their raw values. Compares records with the catalogue, their
    request and one another. Searches folders for *.json. docs/verify.md lists the checks."""
    files = [file for path in paths for file in _record_files(path)]
    recompute.check_reader()
    manifests = sum(file.name == spools.MANIFEST_NAME for file in files)
    copies = Copies()
    found = {str(file): lines for file in files if (lines := _lines(file, copies))}
    edited = [] if since is None else history.changed(since, paths)
    if as_json:
        verified = objects.Verification(not (found or edited), len(files) - manifests, manifests, found, edited)
        start.result.update(to_json(verified))
    else:
        _print_faults(found, edited)
    if edited:
        raise BadRecord(
            f"{counted(len(edited), 'committed record was', 'committed records were')} changed or deleted since "
            f"{since}: `git checkout {since} -- FILE` restores one"
        )
    if found:
        raise BadRecord(f"{len(found)} of {counted(len(files), 'file')} failed verification: {record.RESTORE}")
    if not as_json:
        also = f" and {_manifests(manifests)}" if manifests else ""
        click.echo(f"ok {counted(len(files) - manifests, 'record')}{also}")


def _print_faults(found: Mapping[str, Sequence[str]], edited: Sequence[str]) -> None:
    """Prints the lines of each file, at most VERIFY_LINES of one, and those of files that git says were changed."""
    for file, lines in found.items():
        more = [f"{file}: {len(lines) - VERIFY_LINES} more"] if len(lines) > VERIFY_LINES else []
        for line in (*lines[:VERIFY_LINES], *more):
            click.echo(terminal.one_line(line))
    for line in edited:
        click.echo(terminal.one_line(line))


def _record_files(path: Path) -> list[Path]:
    """Returns the files to verify. Raises BadValue for a path without records: an empty check must not pass."""
    if not os.path.isdir(path):
        _check_is_record(path)
        return [path]
    spools.check_folder(path)
    files = [*spools.record_files(path), *spools.manifest_files(path)]
    if not files:
        raise spools.without_records(path)
    return files


def _check_is_record(path: Path) -> None:
    """Raises BadValue if there is no such path, or if the file is not named like a record. Other errors are left to its
    reader."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode) and path.suffix != ".json":
            raise BadValue(f"{path} is not named like a record (*.json): {spools.NAME_FOLDER}, or a file in it")
    except FileNotFoundError as error:
        raise BadValue(f"{path}: no such file or folder: {spools.NAME_FOLDER}, or a file in it") from error
    except OSError:
        pass


def _differences(file: Path, copies: Copies) -> Iterator[str]:
    """Yields the differences of a record, or of a manifest with its records. `copies` has the earlier records."""
    if file.name == spools.MANIFEST_NAME:
        check.read_whole(file)
        return
    read_record, lines = recompute.checked(record.read(file))
    if read_record is None or lines:
        yield from lines
        return
    yield from recompute.name_differences(read_record, file)
    yield from copies.differences(str(file), read_record)


def _lines(file: Path, copies: Copies) -> list[str]:
    """Returns a line for each fault of the file."""
    try:
        return [f"{file}: {line}" for line in _differences(file, copies)]
    except BadRecord as error:
        return [str(error)]
