#!/usr/bin/env bash
# Resolves requirements/*.in into the locks beside them: `make lock` keeps every pin that still fits,
# `make lock ARGS=--upgrade` takes the newest versions.
set -euo pipefail
export LC_ALL=C  # sort and join must agree on an order
cd "$(dirname "$0")"
uv=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile() { # PYTHON INPUT OUTPUT [OPTION…]
    "$uv" pip compile --quiet --python-version "$1" --python-platform x86_64-manylinux_2_28 \
        --custom-compile-command 'make lock' "$2" --output-file "$3" "${@:4}"
}

pins() { grep -oE '^[^ #]+==[^ ]+' "$1" | sort -t = -k 1,1; }

lock() { # NAME [OPTION…]
    local name=$1
    echo "Resolving requirements/$name.txt …"
    compile 3.11 "$name.in" "$name.txt" "${@:2}"
    # One lock serves both Pythons only while they need the same packages at the same versions.
    cp "$name.txt" "$scratch/$name-3.12.txt"
    compile 3.12 "$name.in" "$scratch/$name-3.12.txt" "${@:2}"
    if ! diff <(pins "$name.txt") <(pins "$scratch/$name-3.12.txt"); then
        echo "requirements/$name.in resolves differently on Python 3.11 (<) and 3.12 (>): bound it so that one lock fits both" >&2
        exit 1
    fi
}

lock_image() { # NAME INPUT [OPTION…]: for the one Python that is in the images, and with hashes, which pip then demands
    echo "Resolving requirements/images/$1.txt …"
    compile 3.11 "images/$2.in" "images/$1.txt" --generate-hashes "${@:3}"
}

named() { grep -ohE '^[^ #=-][^ #=]*' "$@"; } # an option such as -r is no name

lock_stack() { # STACK [OPTION…]: its environment, of which what comes as sources is a lock of its own, and its compiler
    local stack=$1 packages
    mapfile -t packages < <(named images/{,declared-}"$stack"-kernels.in | sed 's/^/--no-emit-package=/')
    lock_image "$stack" "$stack" "${packages[@]}" "${@:2}"
    lock_image "$stack-kernels" "$stack-kernels" --no-deps "${@:2}"
    lock_image "$stack-compiler" "$stack-compiler" "${@:2}"
}

(cd .. && "$(dirname "$uv")/python" -m images.declared)
lock modern "$@"
lock cpu --excludes cpu.excludes "$@"
lock fleet "$@"
lock dev "$@"
lock mutants "$@"
lock_image cpu cpu --excludes cpu.excludes --no-emit-package torch "$@"
lock_stack modern "$@"
lock_stack paper "$@"
lock_image bundle bundle --no-deps "$@"

# A pin must mean the same on every machine, so nothing that only the resolving one knows may stay in a lock.
if grep -nE '==[^ ]*\+|://| @ |--(hash|index|extra|find)|^[^ #].*file:' -- *.txt; then
    echo "The lines above name a local build, an address or a hash: resolve from PyPI alone" >&2
    exit 1
fi
differing=$(join <(pins cpu.txt | tr -s = ' ') <(pins modern.txt | tr -s = ' ') | awk '$1 != "torch" && $2 != $3')
if [[ -n $differing ]]; then
    echo "cpu and modern disagree on a shared package; bound it in requirements/base.in:" >&2
    echo "$differing" >&2
    exit 1
fi
