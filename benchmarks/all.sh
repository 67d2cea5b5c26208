#!/usr/bin/env bash
# Every benchmark of the engine, on a CPU or a GPU; about 80 minutes on two cores, with nothing else running.
#     bash benchmarks/all.sh cpu|cuda RESULTS_FOLDER PEERS_FOLDER
# PEERS_FOLDER: where TRL and vLLM have, or get, environments of their own. JSON goes to RESULTS_FOLDER. Both are
# taken from the root of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
device=$1 results=$2 peers=$3
mkdir -p "$results"
measure() {
    echo "$1" >&2
    python "benchmarks/$1.py" --device "$device" --json "${@:2}" > "$results/.$1.json"
    mv "$results/.$1.json" "$results/$1.json"
}
measure grpo_step --peers-dir "$peers"
measure update
measure rollouts --peers-dir "$peers"
measure bound
measure scaling
