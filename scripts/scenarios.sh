#!/bin/sh
# Four policies' documented failures, each beside HeteroScale on the same load: runs, tables and pictures.
#
#   scripts/scenarios.sh [FOLDER]        FOLDER is output/scenarios; REPLAY names another binary
set -eu
cd "$(dirname "$0")/.."
out=${1:-output/scenarios}
replay=${REPLAY:-target/release/replay}
mkdir -p "$out/traces"
chats="$out/traces/chats.jsonl.zst"
"$replay" synth-dataset --conversations 16000 --max-turns 6 --seed 1 --output "$chats"

# name, mean requests per second, conversations, shape of the rate
scenario() {
    trace="$out/traces/$1.jsonl.zst"
    config="data/scenarios/$1.toml"
    "$replay" gen-trace "$chats" --max-conversations "$3" --rate "$2" --rate-shape "$4" --output "$trace"
    "$replay" simulate "$trace" --config "$config" --results "$out/$1"
    "$replay" simulate "$trace" --config "$config" --results "$out/$1" --autoscaler heteroscale \
        --set autoscaling.interval_seconds=10 \
        --set autoscaling.scale_out_cooldown_seconds=30 --set autoscaling.scale_in_cooldown_seconds=120 \
        --set autoscaling.heteroscale.target_tps=1500 --set autoscaling.heteroscale.pd_ratio=0.4
    "$replay" compare "$out/$1" --output-dir "$out/$1/comparison"
}

scenario hpa-decode-never-shrinks 30 16000 diurnal:period=30m,low=0.2,high=1.8
scenario independent-ratio-swings 30 16000 square:period=10m,low=0.3,high=1.7
scenario pure-latency-flaps 30 16000 steady
scenario periodic-blind 12 9000 spike:at=10m,factor=4,width=5m,decay=2m
