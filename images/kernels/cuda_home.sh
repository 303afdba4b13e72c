#!/usr/bin/env bash
# Makes /opt/cuda of the compiler and the headers that pip installed, in the layout that torch looks for. A stack without
# a compiler gets none.
set -euo pipefail
home=/opt/cuda
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia

link_runtime() { # FOLDER of libcudart.so.N: the compiler links against libcudart.so
    ln -sfn "$1" "$home/lib64"
    ln -sf "$(basename "$1"/libcudart.so.*)" "$1/libcudart.so"
}

merge_headers() { # CUDA 12's wheels have a folder each
    local include
    mkdir -p "$home/include"
    for include in "$site"/*/include; do
        cp --recursive --symbolic-link --force "$include/." "$home/include/"
    done
}

if [[ -x $site/cu13/bin/nvcc ]]; then
    ln -sfn "$site/cu13" "$home"
    link_runtime "$site/cu13/lib"
elif [[ -n $COMPILER_URL ]]; then
    /opt/venv/bin/python "$(dirname "$0")/fetch.py" "$COMPILER_URL" "$COMPILER_SHA256" /tmp/compiler.deb
    dpkg-deb --extract /tmp/compiler.deb / # where its own paths lead; this stage ends up in no image
    rm /tmp/compiler.deb
    mkdir -p "$home/bin"
    ln -s /usr/bin/nvcc "$home/bin/nvcc"
    merge_headers
    link_runtime "$site/cuda_runtime/lib"
else
    exit 0
fi
"$home/bin/nvcc" --version
