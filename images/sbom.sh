#!/usr/bin/env bash
# sbom.sh FOLDER: a CycloneDX bill of materials of every lock that the images are made from, each as FOLDER/LOCK.cdx.json.
# The same locks give the same files. Needs cyclonedx-py, which requirements/dev.txt has; its validation is left out, which
# takes most of its time to find that it wrote what it means to write.
set -euo pipefail
folder=$(realpath --canonicalize-missing "${1:?a folder for the bills}")
cd "$(dirname "$0")/../requirements/images"

mkdir -p "$folder"
for lock in *.txt; do
    cyclonedx-py requirements --output-reproducible --no-validate --output-format JSON \
        --output-file "$folder/${lock%.txt}.cdx.json" "$lock" 2> >(grep -v 'Validation skipped' >&2)
done
printf '%s\n' "$folder"/*.cdx.json
