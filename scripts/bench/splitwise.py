#!/usr/bin/env python3
"""SplitwiseSim and `replay` on the same cases, in one run on one machine. Prints a Markdown table.

  cargo build --release
  python3 scripts/bench/splitwise.py --checkout splitwise-sim --runs reference/runs --traces reference/traces

A case is a folder with the config.yaml of a run and its overrides.txt (the words behind `python run.py`). --checkout is a
clone of github.com/Mutinifni/splitwise-sim; --python names an interpreter with its packages (numpy<2, pandas<2.3, scipy,
networkx, hydra-core 1.3.2). The clone is only read and run: its traces/ must hold the traces, plain, or be writable. CPU
seconds are user and system time of the whole process, with reading and writing, of ours the least of --repeat runs;
memory is its peak. Times agree where the
largest relative difference of TTFT and E2E over all requests is 0.
"""
import argparse
import csv
import gzip
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

OURS = pathlib.Path(__file__).parents[2] / "target" / "release" / "replay"
TIMES = ("ttft_times", "response_times")


def run_once(command):
    """Runs a command; prints CPU seconds, wall seconds, peak memory in MB, exit code and output as JSON."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="replace")
    unit = 1 if platform.system() == "Darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps([cpu, wall, usage.ru_maxrss * unit / 1e6, process.returncode, text]))


def measure(command, runs, folder=None):
    """Least CPU seconds, with the peak memory and the output of that run."""
    best = None
    for _ in range(runs):
        # A process starts with the peak memory of the one that started it, so a small one does that.
        once = [sys.executable, os.path.abspath(__file__), "--once", *map(str, command)]
        done = subprocess.run(once, stdout=subprocess.PIPE, check=True, cwd=folder)
        cpu, _, memory, code, text = json.loads(done.stdout)
        if code != 0:
            raise SystemExit(f"{command}: exit code {code}: {text.strip().splitlines()[-3:]}")
        if best is None or cpu < best[0]:
            best = (cpu, memory, text)
    return best


def plain_config(checkout, folder):
    """The clone's own main configuration without its launcher, which wants a Ray cluster; single runs never use it."""
    text = (checkout / "configs" / "config.yaml").read_text()
    text = re.sub(r"(?m)^ *- override hydra/launcher:.*\n", "", text)
    text = re.sub(r"(?m)^  launcher:\n(    .*\n?)*", "", text)
    (folder / "bench.yaml").write_text(text)


def times(path):
    """TTFT and E2E by request, in the order of completion."""
    with open(path, newline="", encoding="utf-8") as file:
        return [(float(row["request_ids"]), *(float(row[name]) for name in TIMES)) for row in csv.DictReader(file)]


def difference(ours, theirs):
    """Largest relative difference; infinite where the requests or their order differ."""
    if [row[0] for row in ours] != [row[0] for row in theirs]:
        return float("inf")
    pairs = ((a, b) for x, y in zip(ours, theirs) for a, b in zip(x[1:], y[1:]))
    return max((abs(a - b) / max(abs(b), 1e-300) for a, b in pairs), default=0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", required=True, type=pathlib.Path)
    parser.add_argument("--runs", required=True, type=pathlib.Path, help="folder of cases")
    parser.add_argument("--traces", required=True, type=pathlib.Path, help="folder of traces, .csv or .csv.gz")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--ours", default=OURS, type=pathlib.Path)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--repeat", default=5, type=int, help="runs of ours; the reference is run once")
    options = parser.parse_args()
    checkout = options.checkout.resolve()

    print("| case | requests | SplitwiseSim CPU s | MB | replay CPU s | MB | ratio | without files, CPU s | ratio |"
          " largest difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        plain_config(checkout, folder)
        for case in sorted(options.runs.iterdir()):
            if not (case / "overrides.txt").exists() or options.only not in case.name:
                continue
            words = (case / "overrides.txt").read_text().split()
            name = dict(word.split("=", 1) for word in words).get("trace.filename", "test_trace")
            trace = folder / f"{name}.csv"
            if not trace.exists():
                source = options.traces / f"{name}.csv"
                packed = options.traces / f"{name}.csv.gz"
                trace.write_bytes(source.read_bytes() if source.exists() else gzip.decompress(packed.read_bytes()))
            here = checkout / "traces" / trace.name
            if not here.exists():
                here.write_bytes(trace.read_bytes())

            theirs_out, ours_out = folder / "theirs" / case.name, folder / "ours" / case.name
            command = [options.python, "run.py", "--config-dir", folder, "--config-name", "bench",
                       f"hydra.run.dir={theirs_out}", *words]
            their_cpu, their_memory, _ = measure(command, 1, checkout)
            command = [options.ours.resolve(), "simulate", trace, "--config", (case / "config.yaml").resolve(),
                       "--output-dir", ours_out, "--json"]
            our_cpu, our_memory, text = measure(command, options.repeat)
            bare_cpu, _, _ = measure([*command[:5], "--json"], options.repeat)
            result = json.loads(text[text.index("{"):])
            least = difference(times(ours_out / "detailed" / "0.csv"), times(theirs_out / "detailed" / "0.csv"))
            print(f"| {case.name} | {result['finished']} | {their_cpu:.1f} | {their_memory:.0f} | {our_cpu:.3f} |"
                  f" {our_memory:.0f} | {their_cpu / our_cpu:.0f} | {bare_cpu:.3f} | {their_cpu / bare_cpu:.0f} | {least:.1e} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        run_once(sys.argv[2:])
    else:
        main()
