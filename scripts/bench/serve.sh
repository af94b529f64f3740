#!/usr/bin/env bash
# Latency and throughput of `att serve` on this machine, without batching across requests, with batches, and with
# lines that join what is being decoded (continuous batching), as lines of JSON:
#
#   scripts/bench/serve.sh MODEL LINES [REQUESTS]
#
# LINES is a file of texts, a line each. Each server answers REQUESTS (2000) requests of one text over 1, 8 and 64
# connections, and each answer is compared with what `att translate` says. Server and clients share the cores.
# ATT and LOAD are the binaries, target/release/att and target/release/examples/load unless told.
set -euo pipefail
model=$1 lines=$2 requests=${3:-2000}
target=${CARGO_TARGET_DIR:-target}
att=${ATT:-$target/release/att} load=${LOAD:-$target/release/examples/load}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -r "$work"' EXIT

"$att" translate "$model" --input "$lines" >"$work/expected"
for mode in "1 false" "32 false" "32 true"; do
    read -r batch_size continuous <<<"$mode"
    "$att" serve "$model" --port 0 --batch-size "$batch_size" --continuous-batching "$continuous" 2>"$work/log" &
    server=$!
    port=
    for _ in $(seq 100); do
        port=$(sed -n 's/.* at http:\/\/127.0.0.1:\([0-9]*\);.*/\1/p' "$work/log")
        [ -z "$port" ] || break
        sleep 0.1
    done
    "$load" --port "$port" --input "$lines" --expected "$work/expected" --requests "$requests" \
        --connections 1,8,64 --pid "$server" --label "batch-size-$batch_size-continuous-$continuous"
    kill -TERM "$server"
    wait "$server"
    server=
done
