# All images for `docker buildx bake`: `docker buildx bake --file images/docker-bake.hcl ada-modern`; without a target, all.
# A bake file cannot read images/arch/ and images/stack/: what it says again of them, a test holds to them.
# images/build.sh builds the same images one at a time, with any engine, and computes what is left empty here.

variable "BASE_IMAGE" { default = "docker.io/library/python:3.11-slim-bookworm" }
variable "MAX_JOBS" { default = "2" }
variable "TREE_KEY" { default = "" } # python3 -m runner.record.codekey
variable "SOURCE" { default = "" }
variable "VERSION" { default = "" }
variable "REVISION" { default = "" }
variable "CREATED" { default = "" }

variable "ARCH_LISTS" {
  default = { ampere = "8.0 8.6", ada = "8.9", hopper = "9.0", blackwell = "10.0 12.0" }
}

group "default" { targets = ["cpu", "modern", "paper"] }

target "image" {
  context    = "."
  dockerfile = "images/Dockerfile"
  args = {
    BASE_IMAGE = BASE_IMAGE
    MAX_JOBS   = MAX_JOBS
    TREE_KEY   = TREE_KEY
    SOURCE     = SOURCE
    VERSION    = VERSION
    REVISION   = REVISION
    CREATED    = CREATED
  }
}

target "cpu" {
  inherits = ["image"]
  tags     = ["decode-floor:cpu"]
  args = {
    ARCH            = "cpu"
    STACK           = "cpu"
    ARCH_LIST       = ""
    MIN_DRIVER      = ""
    EXTRA_INDEX_URL = "https://download.pytorch.org/whl/cpu"
  }
}

target "modern" {
  inherits = ["image"]
  matrix   = { arch = ["ampere", "ada", "hopper", "blackwell"] }
  name     = "${arch}-modern"
  tags     = ["decode-floor:${arch}-modern"]
  args = {
    ARCH       = arch
    STACK      = "modern"
    ARCH_LIST  = ARCH_LISTS[arch]
    MIN_DRIVER = "580"
  }
}

target "paper" {
  inherits = ["image"]
  matrix   = { arch = ["ampere", "ada", "hopper"] }
  name     = "${arch}-paper"
  tags     = ["decode-floor:${arch}-paper"]
  args = {
    ARCH            = arch
    STACK           = "paper"
    ARCH_LIST       = ARCH_LISTS[arch]
    MIN_DRIVER      = "525"
    COMPILER_URL    = "http://deb.debian.org/debian/pool/non-free/n/nvidia-cuda-toolkit/nvidia-cuda-toolkit_12.4.131~12.4.1-2_amd64.deb"
    COMPILER_SHA256 = "cd5fe85aee38d108b315f408a688641478f2402622a10c677478eb7a6c4e5319"
  }
}
