#!/usr/bin/env bash
# run ARGUMENT…: `python -m runner ARGUMENT…` of this bundle, once this host is seen to have what that needs.
# run check: says what this host has and the bundle needs, and which kernels can be imported here.
#   PYTHON=…  the Python to use; left out: python3, python or python3.N, the first of the version that the bundle is for
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

fail() {
    echo "$*" >&2
    exit 1
}

[[ -r $here/manifest.json ]] || fail "error: $here has no manifest.json: unpack the whole archive, and run it there"
wanted=$(sed -n 's/^ "python": "cp3\([0-9]*\)",$/3.\1/p' "$here/manifest.json")

version_of() { "$1" -I -S -c 'import sys; print("%s %d.%d" % (sys.implementation.name, *sys.version_info[:2]))' 2>/dev/null; }

if [[ -n ${PYTHON:-} ]]; then
    candidates=("$PYTHON")
else
    candidates=(python3 python "python$wanted")
fi
seen=()
for candidate in "${candidates[@]}"; do
    found=$(version_of "$candidate") || continue
    [[ $found != "cpython $wanted" ]] || exec "$candidate" -P "$here/start.py" "$@"
    seen+=("$candidate (${found/cpython/CPython})")
done
has=$(printf ', %s' "${seen[@]:-none as ${candidates[*]}}")
fail "error: Python: this host has ${has#, }, this bundle needs CPython $wanted: name one with PYTHON=/path/to/python$wanted"
