"""`fetch.py URL SHA256 FILE`: download a file and make sure that it is the one meant."""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from pathlib import Path


def main(url: str, sha256: str, file: str) -> str | None:
    """What went wrong, None where nothing did."""
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        return f"{url} has sha256 {found}, not {sha256}"
    Path(file).write_bytes(content)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
