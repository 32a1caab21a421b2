#!/usr/bin/env python3
"""Speed of `replay simulate` by its own rules, and NVIDIA Dynamo's offline replay of the same trace in the same run.

  cargo build --release
  python3 -m venv peers && peers/bin/pip install ai-dynamo-runtime
  python3 scripts/bench/simulate.py --mooncake mooncake_conversation_trace.jsonl --python peers/bin/python \\
      [--workload sharegpt-300.jsonl --profile PROFILE_DIR] [--largest 10000000]

Prints one Markdown table. CPU seconds are user and system time of the whole process, with reading; memory is its peak. Of
ours the least of --runs counts. Growth is shown on made-up requests, ten times as many in each row: Poisson arrivals, prompts
of 1 to 2,000 tokens and outputs of 1 to 100, on the preset llama-8b-pd-4-4. A peer that cannot run is skipped, with the reason.
REPLAY names the binary.
"""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time

REPLAY = os.environ.get("REPLAY") or os.path.join(
    os.path.dirname(__file__), "..", "..", "target", "release", "replay")


def run_once(command):
    """Runs a command; prints CPU seconds, peak memory in MB, exit code and output as JSON."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="replace")
    unit = 1 if platform.system() == "Darwin" else 1024
    print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, process.returncode, text]))


def measure(command, runs):
    """Least CPU seconds, with memory and output of that run."""
    best = None
    for _ in range(runs):
        # A process starts with the peak memory of the one that started it, so a small one does that.
        once = [sys.executable, os.path.abspath(__file__), "--once", *map(str, command)]
        done = subprocess.run(once, stdout=subprocess.PIPE, check=True)
        cpu, memory, code, text = json.loads(done.stdout)
        if code != 0:
            raise RuntimeError(text.strip().splitlines()[-1] if text.strip() else f"exit code {code}")
        if best is None or cpu < best[0]:
            best = (cpu, memory, text)
    return best


def dynamo(path):
    """NVIDIA Dynamo's offline replay, one aggregated engine with room for every block."""
    from dynamo._core import run_mocker_trace_replay
    start = time.process_time()
    found = run_mocker_trace_replay([path], trace_block_size=512, capture_planner_details=False,
                                    extra_engine_args={"engine": {"num_gpu_blocks": 1 << 18, "block_size": 512}})
    print(json.dumps({"seconds": time.process_time() - start, "requests": found.summary.get("completed_requests")}))


def made_up(path, requests):
    """A trace of lengths, in Vidur's format."""
    draw = random.Random(1)
    now = 0.0
    with open(path, "w", encoding="utf-8") as file:
        file.write("arrived_at,num_prefill_tokens,num_decode_tokens\n")
        for _ in range(requests):
            now += draw.expovariate(20.0)
            file.write(f"{now:.6f},{draw.randint(1, 2000)},{draw.randint(1, 100)}\n")


def row(what, requests, cpu, memory, note=""):
    print(f"| {what} | {requests:,} | {cpu:.3f} | {memory:.0f} | {requests / cpu:,.0f} | {note} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mooncake", required=True, help="Mooncake's conversation trace, unpacked")
    parser.add_argument("--workload", help="300 requests in LLMServingSim's format")
    parser.add_argument("--profile", help="profile of the machine that served them")
    parser.add_argument("--largest", type=int, default=1_000_000, help="most made-up requests (default 1,000,000)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peer")
    args = parser.parse_args()
    print("| what | requests | CPU, s | memory, MB | requests per CPU second | note |\n|---|---:|---:|---:|---:|---|")

    ours = [REPLAY, "simulate", args.mooncake, "--preset", "llama-8b-pd-4-4", "--threads", "1", "--json"]
    cpu, memory, text = measure(ours, args.runs)
    figures = json.loads(text)
    note = f"{figures['steps']:,} steps, {figures['output_tokens']:,} output tokens"
    row("Mooncake, 4 prefill and 4 decode", figures["finished"], cpu, memory, note)
    mine = figures["finished"] / cpu
    try:
        cpu, memory, text = measure([args.python, __file__, "--peer", args.mooncake], args.runs)
        inner = json.loads(text.strip().splitlines()[-1])
        theirs = inner["requests"] / inner["seconds"]
        row("the same by Dynamo's offline replay", inner["requests"], inner["seconds"], memory,
            f"its call alone; one aggregated engine; ours is {mine / theirs:.1f} times as fast")
    except (RuntimeError, OSError, ValueError) as error:
        print(f"| the same by Dynamo's offline replay | | | | | skipped: {error} |")

    if args.workload and args.profile:
        config = ["--set", "latency.kind=profile", "--set", f"latency.folder={args.profile}", "--set",
                  "model.name=llama-3.1-8b"]
        ours = [REPLAY, "simulate", args.workload, "--preset", "llama-8b-aggregated-4", "--threads", "1", "--json",
                "--set", "pool.replicas.instances=1", "--set", "pool.replicas.blocks=30000", *config]
        cpu, memory, text = measure(ours, args.runs)
        row("vLLM's 300 requests by a profile", json.loads(text)["finished"], cpu, memory)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "made.csv")
        requests = 10_000
        while requests <= args.largest:
            made_up(path, requests)
            ours = [REPLAY, "simulate", path, "--preset", "llama-8b-pd-4-4", "--threads", "1", "--json"]
            cpu, memory, text = measure(ours, 1)
            row("made up", json.loads(text)["finished"], cpu, memory)
            requests *= 10


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        run_once(sys.argv[2:])
    elif sys.argv[1:2] == ["--peer"]:
        dynamo(sys.argv[2])
    else:
        main()
