#!/usr/bin/env bash
# build.sh ARCH [STACK] | --all: builds the image decode-floor:ARCH-STACK (decode-floor:cpu), or every one. Needs bash,
# Python's standard library and an engine. STACK left out: the first that images/arch/ARCH.env names.
# build.sh --kernels FOLDER ARCH [STACK]: only the builders' wheels, into the folder (for a bundle).
#   ENGINE=docker|podman|buildah  left out: the first of them that is there
#   BASE_IMAGE=…      a Python 3.11 on Debian bookworm; a digest may be named (…@sha256:…)
#   MAX_JOBS=N        how many compilers at once; left out: one per 4 GB of memory, at most one per core
#   WHEELS=FOLDER     wheels that are taken from there instead of from an index beside PyPI
#   LOGS=FOLDER       of what the engine says; left out: build/images
#   PIP_CONF=FILE, CA_BUNDLE=FILE  pip's configuration and certificates, while building only: no layer keeps them
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "$*" >&2
    exit 1
}

listed() { # WORD…: "a, b or c"
    local words
    words=$(printf ', %s' "${@:1:$#-1}")
    (($# == 1)) && echo "$1" || echo "${words#, } or ${*: -1}"
}

architectures() { basename --suffix=.env images/arch/*.env; }

settings_of() { # ARCH [STACK]: sets what the two files say, and STACK
    local arch=$1 known
    mapfile -t known < <(architectures)
    [[ $arch =~ ^[a-z]+$ && -f images/arch/$arch.env ]] ||
        fail "Architecture '$arch' is not known: choose $(listed "${known[@]}")"
    # shellcheck source=arch/ada.env
    . "images/arch/$arch.env"
    local stacks
    read -ra stacks <<<"$STACKS"
    STACK=${2:-${stacks[0]}}
    [[ " $STACKS " == *" $STACK "* ]] ||
        fail "There is no image of the stack '$STACK' for $arch: choose STACK=$(listed "${stacks[@]}")"
    # shellcheck source=stack/modern.env
    . "images/stack/$STACK.env"
}

find_engine() { # the first that works; a docker client without its daemon keeps nobody from using another engine
    local candidate why=""
    for candidate in docker podman buildah; do
        command -v "$candidate" >/dev/null || continue
        if why+=$(check_engine "$candidate" 2>&1); then
            echo "$candidate"
            return
        fi
        why+="; "
    done
    fail "No container engine found${why:+ that works (${why%; })}: install docker with buildx, podman or buildah"
}

check_engine() { # it is there, and answers
    local engine=$1 said
    [[ $engine =~ ^(docker|podman|buildah)$ ]] || fail "ENGINE=$engine is not known: choose docker, podman or buildah"
    command -v "$engine" >/dev/null || fail "ENGINE=$engine is not installed here: install it or choose another"
    if [[ $engine == docker ]]; then
        docker buildx version >/dev/null 2>&1 || fail "docker has no buildx here: install docker-buildx, or choose ENGINE=podman or buildah"
    fi
    local ask=info
    [[ $engine != docker ]] || ask=version # docker info succeeds in part without its daemon
    said=$("$engine" "$ask" 2>&1 >/dev/null) || fail "$engine is installed but does not work here: $(last_error <<<"$said")"
}

last_error() { # of what an engine said: the last line that begins as one, else the last line
    awk '/^(Error|ERROR|error)/ { error = $0 } { last = $0 } END { print error != "" ? error : last }'
}

storage_folder() { # where the engine keeps images
    case $1 in
    docker) docker info --format '{{.DockerRootDir}}' ;;
    podman) podman info --format '{{.Store.GraphRoot}}' ;;
    buildah) buildah info --format '{{.store.GraphRoot}}' ;;
    esac
}

check_space() { # ENGINE: DISK_GB are free, where that can be known (an engine may run on another machine)
    local folder free
    folder=$(storage_folder "$1")
    [[ -d $folder ]] || return 0
    free=$(df --output=avail --block-size=1G "$folder" | tail -n 1 | tr -dc 0-9)
    ((free >= DISK_GB)) ||
        fail "Too little space for $name: $folder has $free GB free, building it needs about $DISK_GB GB: free some ($(prune_command "$1"))"
}

prune_command() {
    case $1 in
    docker) echo "docker buildx prune" ;;
    podman) echo "podman image prune" ;;
    buildah) echo "buildah rmi --prune" ;;
    esac
}

jobs_that_fit() { # a compiler of these kernels takes up to 4 GB
    local memory_gb cores
    memory_gb=$(awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
    cores=$(nproc)
    local jobs=$((memory_gb / 4))
    ((jobs >= 1)) || jobs=1
    echo $((jobs < cores ? jobs : cores))
}

source_address() { # of the checkout, without the credentials that may stand in it
    (git remote get-url origin 2>/dev/null || echo unknown) | sed -E 's#//[^/@]*@#//#'
}

version() { sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml; }

revision() { # of the commit that is checked out, marked where the tree differs from it
    git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null || echo unknown
}

created() { # the commit's time, so that a build of it says the same on any day
    git log -1 --format=%cI 2>/dev/null || echo unknown
}

build_arguments() { # NAME=VALUE, one a line
    local index=$EXTRA_INDEX_URL
    [[ -z ${WHEELS:-} ]] || index=""
    printf '%s\n' "ARCH=$ARCH" "STACK=$STACK" "ARCH_LIST=$ARCH_LIST" "MIN_DRIVER=$MIN_DRIVER" \
        "COMPILER_URL=$COMPILER_URL" "COMPILER_SHA256=$COMPILER_SHA256" "EXTRA_INDEX_URL=$index" \
        "MAX_JOBS=${MAX_JOBS:-$(jobs_that_fit)}" "TREE_KEY=$tree_key" \
        "SOURCE=$(source_address)" "VERSION=$(version)" "REVISION=$(revision)" "CREATED=$(created)"
    [[ -z ${BASE_IMAGE:-} ]] || echo "BASE_IMAGE=$BASE_IMAGE"
}

engine_command() { # ENGINE: the command that builds, as far as engines differ; one word a line
    case $1 in
    docker) printf '%s\n' docker buildx build ;;
    podman) printf '%s\n' podman build --layers --format docker --ignorefile images/Dockerfile.dockerignore ;;
    # chroot: the one isolation that works in a container and without systemd, too
    buildah) printf '%s\n' buildah bud --isolation "${BUILDAH_ISOLATION:-chroot}" --layers --format docker \
        --ignorefile images/Dockerfile.dockerignore ;;
    esac
}

build() { # ENGINE; its output goes to the terminal and into $log
    local command arguments
    mapfile -t command < <(engine_command "$1")
    mapfile -t arguments < <(build_arguments)
    command+=(--file images/Dockerfile "${arguments[@]/#/--build-arg=}")
    if [[ -n $kernels ]]; then
        command+=(--target kernels --output "type=local,dest=$kernels")
    else
        command+=(--tag "$name")
        [[ $1 != docker ]] || command+=(--load)
    fi
    [[ -z ${WHEELS:-} ]] || command+=(--build-context "wheels=$WHEELS")
    [[ -z ${PIP_CONF:-} ]] || command+=(--secret "id=pip-conf,src=$PIP_CONF")
    [[ -z ${CA_BUNDLE:-} ]] || command+=(--secret "id=ca-bundle,src=$CA_BUNDLE")
    "${command[@]}" . 2>&1 | tee "$log"
}

explain() { # ENGINE: why the build failed, in one line
    if grep -qi 'no space left on device' "$log"; then
        fail "No space left while building $name, which needs about $DISK_GB GB in $(storage_folder "$1"): free some ($(prune_command "$1"))"
    fi
    fail "Building $name failed: $(last_error <"$log") ($log has all of it)"
}

described() { # ENGINE: id and size of the image
    case $1 in
    docker | podman) "$1" image inspect --format '{{.Id}}, {{.Size}} bytes' "$name" ;;
    buildah) buildah images --noheading --no-trunc --format '{{.ID}}, {{.Size}}' "$name" ;;
    esac
}

build_all() {
    local arch stack
    for arch in $(architectures); do
        # shellcheck source=arch/ada.env
        for stack in $(. "images/arch/$arch.env" && echo "$STACKS"); do
            images/build.sh "$arch" "$stack"
        done
    done
}

if [[ ${1:-} == --all ]]; then
    build_all
    exit
fi
kernels=""
if [[ ${1:-} == --kernels && -n ${2:-} ]]; then
    kernels=$2
    shift 2
fi
(($# == 1 || $# == 2)) || fail "usage: images/build.sh ARCH [STACK]: ARCH is $(mapfile -t known < <(architectures); listed "${known[@]}")"
ARCH=$1
settings_of "$ARCH" "${2:-}"
name=decode-floor:$ARCH-$STACK
[[ $ARCH != cpu ]] || name=decode-floor:cpu
[[ -z $kernels ]] || name="the kernels of $name"
for variable in PIP_CONF CA_BUNDLE; do
    [[ -z ${!variable:-} || -r ${!variable} ]] || fail "$variable=${!variable} cannot be read"
done
[[ -d ${WHEELS:-/} ]] || fail "WHEELS=$WHEELS is no folder"
ENGINE=${ENGINE:-$(find_engine)}
check_engine "$ENGINE"
check_space "$ENGINE"
tree_key=$(PYTHONDONTWRITEBYTECODE=1 python3 -m runner.record.codekey) ||
    fail "Building images needs python3 (3.8 or newer, nothing installed in it), which computes what they are made from"
log=${LOGS:-build/images}/$ARCH-$STACK${kernels:+-kernels}.log
mkdir -p "$(dirname "$log")"
echo "Building $name with $ENGINE …"
build "$ENGINE" || explain "$ENGINE"
if [[ -n $kernels ]]; then
    echo "Built $name in $SECONDS s"
else
    echo "Built $name in $SECONDS s: $(described "$ENGINE")"
fi
