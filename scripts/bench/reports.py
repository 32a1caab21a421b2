#!/usr/bin/env python3
"""CPU seconds and memory of `report`, `compare` and `gen-trace` as results and conversations grow, beside another binary.

  cargo build --release
  python3 scripts/bench/reports.py [--before OTHER_BINARY] [--chats 50000,100000,400000,1000000]

Prints one Markdown table. The input is made up and seeded: autoscaling policies on 100,000 requests, 1,000 runs of 200
requests, and chats of two short messages. CPU seconds are user and system time of the whole process; both binaries take turns,
and of each the least of --runs counts. `gen-trace` runs on one thread, and both binaries must write the same bytes.
REPLAY names the binary.
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from simulate import measure

REPLAY = os.environ.get("REPLAY") or os.path.join(
    os.path.dirname(__file__), "..", "..", "target", "release", "replay")
WORDS = "the of and to in is that for it as was with be by on not he his but at are this have from or had an they".split()
POLICIES = ("no_autoscaling,heteroscale,hpa_gpu,independent_tps,pure_latency,periodic,latency_ttft,utilization,queue,hpa_v2,"
            "kpa,wva")


def requests(path, count):
    """A trace in Vidur's form: Poisson arrivals, 40 a second."""
    draws, now = random.Random(2), 0.0
    with open(path, "w", encoding="utf-8") as file:
        file.write("arrived_at,num_prefill_tokens,num_decode_tokens\n")
        for _ in range(count):
            now += draws.expovariate(40)
            file.write(f"{now:.6f},{draws.randint(50, 1500)},{draws.randint(5, 150)}\n")


def chats(path, count):
    draws = random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            said = [{"from": who, "value": " ".join(draws.choices(WORDS, k=words))}
                    for who, words in (("human", 12), ("gpt", 25))]
            file.write(json.dumps({"id": f"chat{number}", "conversations": said}) + "\n")


def results(folder, name, count, more):
    """A results folder of `matrix`."""
    trace, found = os.path.join(folder, f"{name}.csv"), os.path.join(folder, name)
    requests(trace, count)
    subprocess.run([REPLAY, "matrix", trace, "--results", found, "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
    return found


def twenty(found):
    """Adds eight copies of policies under other names."""
    runs = sorted(folder for folder, _, files in os.walk(found) if "request.csv" in files)
    for folder in runs[:8]:
        shutil.copytree(folder, folder + "_copy")


def both(args, command):
    """Least CPU seconds and memory of this binary and of the other, in turns."""
    found = [None, None]
    for _ in range(args.runs):
        for place, binary in enumerate((REPLAY, args.before)):
            if binary:
                one = measure([binary, *(part.replace("@", str(place)) for part in command)], 1)
                found[place] = one if found[place] is None else min(found[place], one, key=lambda run: run[0])
    return found


def row(what, found, each=None):
    (cpu, memory, _), other = found
    unit = lambda seconds: f"{seconds / each * 1e6:.2f} us" if each else f"{seconds:.2f} s"
    before = (unit(other[0]), f"{other[1]:.0f}", f"{other[0] / cpu:.1f}") if other else ("", "", "")
    print(f"| {what} | {unit(cpu)} | {memory:.0f} | {' | '.join(before)} |", flush=True)


def main():
    if sys.argv[1:2] == ["--once"]:
        raise SystemExit("this script runs commands with simulate.py")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="another binary to compare with")
    parser.add_argument("--chats", default="50000,100000,400000,1000000", help="numbers of chats")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    args = parser.parse_args()
    print("| what | CPU | memory, MB | before, CPU | before, MB | ratio |\n|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        many = results(folder, "many", 100_000, ["--autoscaler", POLICIES])
        twenty(many)
        page = os.path.join(folder, "page@.html")
        row("`report`, 20 policies of 100,000 requests", both(args, ["report", many, "-o", page]))
        shutil.rmtree(many)
        small = results(folder, "small", 200, ["--autoscaler", ",".join(POLICIES.split(",")[:8]), "--rates", "5,10,20,30,40",
                                               "--seeds", ",".join(map(str, range(25)))])
        row("`compare`, 1,000 runs of 200 requests", both(args, ["compare", small, "-o", os.path.join(folder, "out@")]))
        row("`report` of them", both(args, ["report", small, "-o", page]))
        for count in map(int, args.chats.split(",")):
            path, trace = os.path.join(folder, "chats.jsonl"), os.path.join(folder, "trace@.jsonl")
            chats(path, count)
            row(f"`gen-trace`, {count:,} chats of two messages, for each",
                both(args, ["gen-trace", path, "--threads", "1", "-o", trace]), count)
            if args.before and not filecmp.cmp(trace.replace("@", "0"), trace.replace("@", "1"), shallow=False):
                raise SystemExit("the traces differ")


if __name__ == "__main__":
    main()
