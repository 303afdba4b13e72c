#!/usr/bin/env bash
# check.sh [IMAGE…]: is each image (left out: all that are here) what its labels say, and does it run as it will be run?
# Needs no GPU.
#   ENGINE=docker|podman  left out: the first of them that works
#   RUN_OPTIONS=…         further options of its `run`
# cuobjdump, which shows what is in a compiled library, comes from PyPI by hash, into build/images/.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=build/images/cuobjdump

fail() {
    echo "$*" >&2
    exit 1
}

find_engine() {
    local candidate
    for candidate in docker podman; do
        if command -v "$candidate" >/dev/null && "$candidate" version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    fail "No engine found that runs containers: install docker or podman"
}

get_cuobjdump() {
    local lock=requirements/images/modern-compiler.txt python=python3
    [[ ! -x .venv/bin/python ]] || python=.venv/bin/python
    [[ ! -x $tools/nvidia/cu13/bin/cuobjdump ]] || return 0
    sed -n '/^nvidia-cuda-cuobjdump==/,/[^\\]$/p' "$lock" | "$python" -m pip install --quiet --no-input --no-deps \
        --disable-pip-version-check --require-hashes --only-binary :all: --target "$tools" --requirement /dev/stdin
}

label() { "$ENGINE" image inspect --format "{{index .Config.Labels \"$2\"}}" "$1"; }

run() { # IMAGE OPTION… : as the runner runs it; the extra options may be none
    local extra
    read -ra extra <<<"${RUN_OPTIONS:-}"
    "$ENGINE" run --rm --no-healthcheck --read-only --cap-drop all --security-opt no-new-privileges --network none \
        --tmpfs /tmp:exec --memory 8g "${extra[@]}" "$@"
}

check_labels() { # IMAGE: all are there, min-driver but for a CPU
    local name
    for name in title description source licenses version revision created; do
        [[ -n $(label "$1" "org.opencontainers.image.$name") ]] || fail "$1 has no label org.opencontainers.image.$name"
    done
    for name in arch stack tree-key; do
        [[ -n $(label "$1" "decode-floor.$name") ]] || fail "$1 has no label decode-floor.$name"
    done
    [[ $(label "$1" decode-floor.stack) == cpu || $(label "$1" decode-floor.min-driver) =~ ^[0-9]+$ ]] ||
        fail "$1 has no label decode-floor.min-driver"
}

check_worker() { # IMAGE, USER: the entry point is the worker, which says that it was given no job that it can read
    local said
    said=$(run --user "$2" "$1" /no/job.json 2>&1) && fail "$1 ran a job that does not exist"
    [[ $said == *'the job /no/job.json cannot be read: No such file or directory'* ]] || fail "$1 said: $said"
    echo "as user $2 the worker starts, and says that there is no job"
}

check() { # IMAGE
    echo "== $1"
    check_labels "$1"
    check_worker "$1" 10001:10001
    check_worker "$1" 4242:4242
    run --volume "$PWD/images/check.py:/check/check.py:ro" --volume "$PWD/$tools:/check/tools:ro" --entrypoint python \
        "$1" /check/check.py /check/tools/nvidia/cu13/bin/cuobjdump "$(label "$1" decode-floor.stack)" \
        "$(label "$1" decode-floor.arch-list)" "$(label "$1" decode-floor.tree-key)"
}

ENGINE=${ENGINE:-$(find_engine)}
if (($# == 0)); then
    # shellcheck disable=SC2046 # names of images have no spaces
    set -- $("$ENGINE" images --filter label=decode-floor.arch --filter dangling=false --format '{{.Repository}}:{{.Tag}}')
fi
(($#)) || fail "No image of ours is here: make image-cpu, for one, builds one"
get_cuobjdump
for image in "$@"; do
    check "$image"
done
