#!/usr/bin/env bash
# Everything that needs a GPU, in one go: what the machine is, the kernels' tests, all timings.
#
#     bash bench/gpu_session.sh [FOLDER]     results go to FOLDER (default: bench/results/kernels)
#
# Needs python with torch, triton, numpy, numba, pillow, click, rich, safetensors, pytest and hypothesis; the package need
# not be installed. A failed test doesn't stop the timings: each of them checks its own results before it is taken.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-bench/results/kernels}
python=${PYTHON:-python3}
mkdir -p "$out"
unset TRITON_INTERPRET
export PYTHONPATH=.:kernels

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv | tee "$out/machine.txt"
"$python" -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)' | tee -a "$out/machine.txt"

# Other versions warn of other things than the pinned ones: here that is no failure.
"$python" -m pytest -q -p no:cacheprovider -o filterwarnings=default tests/kernels 2>&1 | tee "$out/tests.txt" | tail -n 25
tests=${PIPESTATUS[0]}

"$python" -m bench.kernels --out "$out/kernels.json" 2>&1 | tee "$out/kernels.txt"
timings=${PIPESTATUS[0]}

echo "tests: exit $tests, timings: exit $timings, results in $out"
exit $((tests > timings ? tests : timings))
