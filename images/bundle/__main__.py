"""`python -m images.bundle ARCH …`: one archive that a GPU host without a network unpacks and runs (`make bundle`)."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from images.bundle import archive, contents
from images.bundle.errors import Wrong
from images.bundle.settings import FULL, ROOT, Settings, settings
from runner import terminal

BUILD = ROOT / "build"


def main(arguments: Sequence[str]) -> int:
    """Makes the requested bundle. Returns the exit code; an error is printed as one line."""
    parser = argparse.ArgumentParser(prog="python -m images.bundle", description=__doc__)
    parser.add_argument("arch", nargs="?", default="", metavar="ARCH")
    parser.add_argument("--stack", default="", help="default: the architecture's first")
    parser.add_argument("--base", default="", help="full (default) or host-torch")
    parser.add_argument("--kernels", default="", help="a folder of compiled kernels (default: build them)")
    parser.add_argument("--python", default="", help="the host's version: 3.12 (default) or 3.11")
    parser.add_argument("--out", default=str(BUILD), help="folder of the archive")
    options = parser.parse_args(arguments)
    try:
        bundle = settings(options.arch, options.stack, options.base, options.python)
        make(bundle, Path(options.kernels) if options.kernels else None, Path(options.out))
    except Wrong as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"The bundle cannot be made in {options.out}: {error}: free space, or name another folder with --out",
            file=sys.stderr,
        )
        return 1
    return 0


def make(bundle: Settings, prebuilt: Path | None, out: Path) -> Path:
    """Makes the archive in the folder `out`, and returns its path. Raises Wrong and OSError."""
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    # wheels are already compressed, so compressing them again would be slow and save nothing
    target = out / f"{bundle.name}.tar{'' if bundle.base == FULL else '.xz'}"
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=out) as scratch:
        if prebuilt is None and contents.needs_kernels(bundle):
            prebuilt = Path(scratch) / "kernels"
            contents.build_kernels(bundle, prebuilt)
        folder = Path(scratch) / bundle.name
        folder.mkdir()
        manifest = contents.collect(bundle, prebuilt, folder)
        archive.write(folder, target, contents.made_at())
        shutil.rmtree(folder)
    size = target.stat().st_size / 2**20
    print(f"Made {target} in {time.monotonic() - started:.0f} s: {size:.1f} MiB, tree_key {manifest['tree_key']}")
    return target


if __name__ == "__main__":
    with terminal.guarded_streams():
        sys.exit(main(sys.argv[1:]))
