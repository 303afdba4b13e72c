"""Packaging of the catalogue, the studies and their schemas, which lie beside the packages in a checkout."""

from setuptools import find_packages, setup

# Folders of a checkout by their names in an installation (runner/files/shipped.py finds both).
BESIDE = {"decode_floor.experiments": "experiments", "decode_floor.docs": "docs"}

setup(
    packages=[*find_packages(include=["runner", "runner.*", "analysis", "analysis.*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={
        "runner": ["*.yaml", "*/*.yaml", "*/*/*.yaml", "fused/cuda/*"],
        "analysis.prediction": ["constants.yaml"],
        "analysis.report": ["page/*"],
        "decode_floor.experiments": ["*.yaml"],
        "decode_floor.docs": ["record.schema.json", "study.schema.json"],
    },
    include_package_data=False,
)
