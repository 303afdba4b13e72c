#!/usr/bin/env bash
# env.sh [STACK] [PYTHON]: makes .venv hold exactly the pins of one stack. Silent and immediate when it already does.
# env.sh --look [STACK] [PYTHON]: changes nothing, and prints whether .venv does, and the Python that it has or would get.
set -euo pipefail
cd "$(dirname "$0")/.."
look=
if [[ ${1:-} == --look ]]; then
    look=1
    shift
fi
stack=${1:-}
python=${2:-}
stamp=.venv/.ready

fail() {
    echo "$*" >&2
    exit 1
}

version_of() { "$1" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

usable() { # a pyenv shim can exist and fail, and Debian ships Pythons that cannot make a venv
    [[ $(version_of "$1") =~ ^3\.1[12]\. ]] && "$1" -c 'import ensurepip, venv' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in python3 python3.12 python3.11; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or 3.12 with venv found: install one (Debian: python3 and python3-venv) or name it with PYTHON=/path/to/python3.11"
}

wanted() { # what the stamp of a finished .venv says; it names its own place because a venv cannot be moved
    local version=$1
    echo "$stack $version $PWD $(cat "requirements/$stack.txt" requirements/dev.txt | sha256sum)"
}

is_ready() {
    [[ -r $stamp ]] || return 1
    local version
    version=$(version_of .venv/bin/python) || return 1
    [[ -z $python || $version == "$(version_of "$python")" ]] || return 1
    [[ $(wanted "$version") == "$(<"$stamp")" ]]
}

build() {
    local version
    version=$(version_of "$python")
    echo "Setting up .venv ($stack, Python $version) …"
    rm -rf .venv
    "$python" -m venv .venv
    echo "  Installing $(grep -ho '^[^ #]*' "requirements/$stack.txt" requirements/dev.txt | sort -u | grep -c .) pinned packages; this takes minutes the first time"
    if ! .venv/bin/python -m pip install --no-input --disable-pip-version-check --progress-bar off \
        -r "requirements/$stack.txt" -r requirements/dev.txt 2>&1 | tee .venv/setup.log |
        sed -u -n -E -e 's/^ *(Downloading .*\(([0-9]{2,}\.[0-9]+ MB|[0-9.]+ GB)\))$/  \1/p' \
            -e 's/^Installing collected packages.*/  Unpacking …/p' -e '/^ERROR/p'; then
        fail "Setting up .venv failed: see .venv/setup.log; the next make starts it over"
    fi
    wanted "$version" >"$stamp.part"
    mv "$stamp.part" "$stamp" # last and at once: a .venv without it is never used
    echo "  Ready after $SECONDS s"
}

if [[ -z $stack ]]; then
    stack=cpu
    # read to its end, and whatever its exit code: it fails where one of several cards was lost
    if grep -q '^GPU ' <<<"$(nvidia-smi -L 2>/dev/null)"; then
        stack=modern
    fi
fi
[[ $stack == cpu || $stack == modern ]] || fail "STACK=$stack is not known: choose cpu or modern, or leave it out"

if is_ready; then
    [[ -z $look ]] || echo "ready $stack $(version_of .venv/bin/python) .venv/bin/python"
    exit
fi
[[ -z $python ]] || usable "$python" || fail "PYTHON=$python is no Python 3.11 or 3.12 with venv: name another or leave it out"
if [[ -n $look ]]; then
    python=${python:-$(find_python)}
    echo "absent $stack $(version_of "$python") $python"
    exit
fi
exec 9>.venv.lock
if ! flock --nonblock 9; then
    echo "Another make is setting up .venv; waiting for it …"
    flock 9
fi
if ! is_ready; then
    python=${python:-$(find_python)}
    build # its children inherit the lock: a pip that outlives a killed make keeps the next one waiting
fi
