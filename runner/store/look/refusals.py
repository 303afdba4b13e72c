"""Remedies for the errors of servers and drivers, whose messages have none."""

from __future__ import annotations

import re

URI = "MLFLOW_TRACKING_URI (or --store of `python -m analysis`)"
INVALID_HOST = "Invalid Host header"
"""Answer of an MLflow server to a request that names another host than it expects."""
REMEDIES = {
    INVALID_HOST: (
        f"start that server with --allowed-hosts and the host:port of {URI}, or name it by an address that it accepts"
    ),
    r"authentication failed|no password supplied|role \".*\" (does not exist|is not permitted)": (
        f"correct the user and the password in {URI}"
    ),
    r"pg_hba\.conf": "allow this host and user in its pg_hba.conf, and use TLS if that requires it (sslmode=require)",
    r"database \".*\" (does not exist|is not currently accepting)": (
        f"create it (`createdb NAME`), or name another in {URI}"
    ),
    r"does not support SSL|SSL error|certificate|sslmode|sslrootcert": (
        f"set sslmode in {URI} to a mode of that server: `disable` if it has no TLS"
    ),
    r"permission denied|must be owner|read-only transaction": (
        f"have its owner GRANT this user the missing rights, or name a user in {URI} who has them"
    ),
    r"too many (connections|clients)|connection slots are reserved": "close some of its connections",
    r"not a database|file is encrypted": f"that file is not an SQLite database: name another in {URI}",
    r"malformed": "that file is damaged: restore a copy of it",
    r"readonly database|unable to open database": "make it and its folder writable for this user",
    r"invalid (connection option|URI|sslmode|port|percent)|Could not parse|Invalid SQLite URL": f"correct {URI}",
}
"""Pattern of a message of MLflow's server, PostgreSQL, libpq or SQLite → remedy."""


def remedy(text: str) -> str | None:
    """Returns the remedy for a message, None if no pattern matches."""
    return next((advice for pattern, advice in REMEDIES.items() if re.search(pattern, text)), None)
