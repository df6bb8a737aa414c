#!/usr/bin/env bash
# Everything that needs a GPU, in one go: what the machine is, the tests of the kernels and of the codec with them (all
# that are marked "gpu" too, with the Kodak images where `python -m bench kodak` finds them), all timings.
#
#     bash tools/gpu_session.sh [FOLDER]     results go to FOLDER (default: bench/results/kernels)
#
# Where a command may only run for some minutes, give each part a command of its own: PARTS=tests, PARTS=kodak,
# PARTS=timings (default: all three). The limits add up to more than ten minutes.
#
# Needs python with torch, triton, numpy, numba, pillow, click, rich, safetensors, pytest and hypothesis; the package need
# not be installed. A failed test doesn't stop the timings: each of them checks its own results before it is taken.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-bench/results/kernels}
python=${PYTHON:-python3}
mkdir -p "$out"
# 0, not absent: the tests choose Triton's interpreter themselves where nothing is said and no GPU is seen.
export TRITON_INTERPRET=0 PYTHONUNBUFFERED=1 PYTHONPATH=.:kernels
"$python" -c '
import click, hypothesis, numba, numpy, PIL, pytest, rich, safetensors, torch, triton
assert torch.cuda.is_available(), "PyTorch sees no GPU"
torch.ones(1, device="cuda").item()' || exit 3

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv | tee "$out/machine.txt"
"$python" -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)' | tee -a "$out/machine.txt"

parts=${PARTS:-tests kodak timings}
worst=0

# run NAME SECONDS COMMAND...: output to NAME.txt, its end on the screen. What takes too long is interrupted, so that it
# sums up what it has, and doesn't cost the rest.
run() {
    timeout --signal=INT --kill-after=10 "$2" "${@:3}" >"$out/$1.txt" 2>&1
    local status=$?
    tail -n 30 "$out/$1.txt"
    echo "$1: exit $status"
    worst=$((worst > status ? worst : status))
}

# Other versions warn of other things than the pinned ones: here that is no failure.
pytest=("$python" -m pytest -q -p no:cacheprovider -o filterwarnings=default)
# Most of a test's time is spent in Triton's compiler, on the CPU.
parallel=()
"$python" -c 'import xdist' 2>/dev/null && parallel=(-n 12 --dist loadfile)
kodak=tests/kernels/test_gpu_codec.py::test_kodak_agrees_with_the_cpu
for part in $parts; do
    case $part in
        tests)
            run tests 240 "${pytest[@]}" "${parallel[@]}" tests/kernels --deselect "$kodak" \
                --ignore tests/kernels/test_compile_ahead.py  # which needs no GPU
            mapfile -t marked < <(grep -l 'mark\.gpu' tests/*.py)
            run tests-gpu 120 "${pytest[@]}" -m gpu "${marked[@]}"
            ;;
        kodak) run tests-kodak 300 "${pytest[@]}" "$kodak" ;;
        timings) run kernels 400 "$python" -m bench kernels --out "$out/kernels.json" ;;
        *)
            echo "PARTS has $part; legal are tests, kodak, timings" >&2
            exit 2
            ;;
    esac
done
echo "results in $out"
exit "$worst"
