"""Whether a session of the spool was of today's code and environment: those of a session that would begin now."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from runner.cell.cell import Cell
from runner.machine import versions
from runner.record import codekey, record, sourcetext
from runner.record.sections.head import ContainerInfo
from runner.study.recorded import cache, imports
from runner.study.recorded.known import Known

CACHE_NAME = ".known-code"
DIGEST_LENGTH = len("sha256:") + 12
NOT_MEASURED = "nothing was measured"
OLDER_VERSION = "it cannot be told whether the code is the same: the session was measured by an older version"
OTHER_CODE = "the project's code has changed since"
OTHER_ENVIRONMENT = "the environment has changed since"


class Present:
    """Today's code and environment. Files and packages are looked at once: an object holds for one look at the spool.

    The hashes of the project's files are kept in a hidden file of the spool.
    """

    def __init__(self, spool: Path) -> None:
        self._hashes_file = spool / CACHE_NAME
        self._hashes: codekey.Hashes = cache.read(self._hashes_file, _form()) or {}
        self._code_key = functools.cache(self._look_at_files)
        self._imported = functools.cache(imports.imported)
        self._has_imports = functools.cache(self._look_at_imports)
        self._versions: dict[tuple[str, str, str | None], dict[str, str | None]] = {}

    def difference(self, session: Known, cell: Cell, container: ContainerInfo | None, driver: str | None) -> str | None:
        """Returns why a session was not of today's code and environment; None if it was.

        The session is one of the cell. It would run in `container` now (None: in this interpreter), with this driver.
        """
        if not session.is_measured:
            return NOT_MEASURED
        if session.container is None and container is None:
            return self.code_difference(session) or self._environment_difference(session, cell, driver)
        # the image has both code and packages, but not the driver
        return _image_difference(session.container, container) or _driver_difference(session, driver)

    def code_difference(self, session: Known) -> str | None:
        """Returns why a session outside a container was not of today's code; None if it was."""
        if (files := session.code_files) is None:
            return OLDER_VERSION
        is_same = self._code_key(files) == session.code_key and self._has_imports(files)
        return None if is_same else OTHER_CODE

    def _look_at_files(self, files: tuple[str, ...]) -> str | None:
        before = len(self._hashes)
        key = codekey.key_of_files(files, self._hashes)
        if len(self._hashes) > before:
            cache.write(self._hashes_file, _form(), self._hashes)
        return key

    def _look_at_imports(self, files: tuple[str, ...]) -> bool:
        """Returns whether the files import no others: a session now would load those, too."""
        return all(self._imported(file) <= {*files} for file in files)

    def _environment_difference(self, session: Known, cell: Cell, driver: str | None) -> str | None:
        choice = (cell.kernel, cell.runtime, driver)
        if choice not in self._versions:
            self._versions[choice] = versions.installed(cell, driver)
        now = self._versions[choice]
        if record.env_key_of(now) == session.env_key:
            return None
        return record.version_difference(now, session.versions) or OTHER_ENVIRONMENT


def _form() -> str:
    """Returns a text that changes with the code that makes the hashes."""
    sources = (Path(module.__file__ or "").read_bytes() for module in (codekey, sourcetext))
    return " ".join(("code", *(hashlib.sha256(source).hexdigest() for source in sources)))


def _image_difference(before: str | None, container: ContainerInfo | None) -> str | None:
    if container is None:
        return "it was measured in a container, and would run in this interpreter now"
    if before is None:
        return "it was measured in an interpreter, and would run in a container now"
    if before != container.digest:
        short = (digest[:DIGEST_LENGTH] for digest in (container.digest, before))
        return "the image is {}, and was {}".format(*short)
    return None


def _driver_difference(session: Known, driver: str | None) -> str | None:
    before = {versions.DRIVER: session.versions.get(versions.DRIVER)}
    return record.version_difference({versions.DRIVER: versions.major(driver)}, before)
