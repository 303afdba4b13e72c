#!/usr/bin/env bash
# pip.sh environment | compiler | kernels | built FOLDER…: what pip does in a stage of the Dockerfile, there and only
# there. The locks beside this script are those of STACK; each names all it needs, by hash.
set -euo pipefail
: "${STACK:?}" # said here, because what fails in a <(…) stops nothing
cd "$(dirname "$0")"
python=/opt/venv/bin/python

# The optional secrets of the build. pip itself passes over a configuration that is not there, not over a certificate.
export PIP_CONFIG_FILE=/run/secrets/pip-conf
if [[ -r /run/secrets/ca-bundle ]]; then
    export PIP_CERT=/run/secrets/ca-bundle
fi

pip() {
    local command=$1
    shift
    "$python" -m pip "$command" --no-input --no-cache-dir --disable-pip-version-check --progress-bar off \
        --no-deps "$@"
}

lock() { # END: the option for the lock of that name, none where the stack has no such lock
    local file=locks/$STACK$1.txt
    [[ ! -f $file ]] || echo "--requirement=$file"
}

case $1 in
environment) # the whole environment but what has to be built: from wheels alone
    mapfile -t locks < <(lock "" && lock -torch)
    pip install --require-hashes --only-binary :all: ${EXTRA_INDEX_URL:+--extra-index-url "$EXTRA_INDEX_URL"} \
        --find-links wheels "${locks[@]}"
    ;;
compiler)
    mapfile -t locks < <(lock -compiler)
    ((${#locks[@]} == 0)) || pip install --require-hashes --only-binary :all: "${locks[@]}"
    ;;
kernels) # as wheels, and installed, because compiling one imports others
    mapfile -t locks < <(lock -kernels)
    mkdir -p sources
    if ((${#locks[@]})); then
        pip wheel --require-hashes --no-build-isolation --wheel-dir sources "${locks[@]}"
        pip install --no-index sources/*.whl
    fi
    ;;
built) # the wheels that the builders left; `pip check` then says whether anything is missing
    mapfile -t wheels < <(find "${@:2}" -name '*.whl' | sort)
    ((${#wheels[@]} == 0)) || pip install --no-index "${wheels[@]}"
    "$python" -m pip check --disable-pip-version-check
    ;;
esac
