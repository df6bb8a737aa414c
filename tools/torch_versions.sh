#!/usr/bin/env bash
# The tests with other versions of PyTorch: the least that pyproject.toml allows, the first whose Triton runs the
# kernels, and the newest that the index gives. Some 6 GB of disk for each, while it is tested, and 15 minutes.
#
#     bash tools/torch_versions.sh                   # "torch==2.4.*" "torch==2.6.*" torch
#     bash tools/torch_versions.sh "torch==2.9.*"
#
# vaecodec[test] is not installed: its Triton would bring another torch. What needs its other packages is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- "torch==2.4.*" "torch==2.6.*" torch

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()
for requirement; do
  echo "+ $requirement"
  python3 -m venv --clear "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet "$requirement" || { failed+=("$requirement"); continue; }
  "$work/venv/bin/python" -m pip install --quiet . "pytest>=9" "pytest-cov>=5" "hypothesis>=6.100" "setuptools>=77" rich pyyaml
  "$work/venv/bin/python" -m pytest -m "not slow" || failed+=("$requirement")
done
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
