#!/usr/bin/env python3
"""Injects faults into every command of replay and checks that nothing is lost.

Each command runs once undisturbed; its files are the reference. Then it runs again in a fresh folder under each fault:

  kill -9        the process is killed at a random time; then the command runs once more, which must restore the reference
  SIGINT         at a random time
  SIGTERM        at a random time
  full disk      a file system of random size, too small for all files (needs root)
  read-only      a file system that is mounted read-only (needs root)
  files open     a limit of 4 to 14 open files (ulimit -n)
  memory         a limit of 100 MB to 1 GB of address space (ulimit -v)
  file size      a limit below the size of the largest file (ulimit -f)
  truncated      the input becomes shorter at a random time while the command runs
  three at once  three processes with the same command in the same folder

After each, every file under a final name must be the whole file of the reference, a file by which others recognise a result must
have all other files beside it, no temporary file may be left (after kill -9: none after the next run), the exit code must be 0, 2
or that of the signal, and a failure must be told in one line. Anything else counts as lost and is printed.

Prints a Markdown table: injected / lost by command and fault. Needs only Python's standard library.

    python3 scripts/faults.py --replay target/release/replay [--repeat 3] [--seed 1] [--only analyze,sweep]
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = ["kill -9", "SIGINT", "SIGTERM", "full disk", "read-only", "files open", "memory", "file size", "truncated",
          "three at once"]

# Name, arguments, input that is truncated, files by which a result is recognised. The outputs are all below `out`.
COMMANDS = [
    ("synth-dataset", "synth-dataset -n 100 -o out/d.jsonl.zst", None, []),
    ("gen-trace", "gen-trace d.jsonl --tokenizer chars -o out/t.jsonl.zst", "d.jsonl", []),
    ("export", "export t.jsonl --to vllm-sim -o out/e.jsonl", "t.jsonl", []),
    ("inspect", "inspect t.jsonl", "t.jsonl", []),
    ("analyze", "analyze t.jsonl -o out/a", "t.jsonl", ["out/a/summary.json"]),
    ("curve", "curve t.jsonl -o out/c", "t.jsonl", ["out/c/curve.json"]),
    ("sweep", "sweep t.jsonl --engine ideal --eviction lru,fifo --capacity 5%,10% -o out/s", "t.jsonl",
     ["out/s/sweep.json"]),
    ("experiment", "experiment d.jsonl --tokenizer chars --engine vllm -o out/x", "d.jsonl", ["out/x/summary.json"]),
    ("capacity", "capacity --model llama-3-8b --gpu h100", None, []),
    ("simulate", "simulate t.jsonl --chrome-trace out/chrome.json -o out/run", "t.jsonl", ["out/run/summary.json"]),
    ("matrix", "matrix t.jsonl --autoscaler no_autoscaling,kpa --seeds 0,1 --results out/m", "t.jsonl",
     ["summary.json", "out/m/comparison/comparison.json"]),
    ("compare", "compare results -o out/cmp", None, ["out/cmp/comparison.json"]),
    ("profile", "profile -o out/p", None, ["out/p/decode_profile.csv"]),
    ("plan", "plan t.jsonl --interval 1 --output out/plan.csv", "t.jsonl", []),
    ("tune threshold", "tune threshold t.jsonl --max-threshold 20 --step 10 -o out/th", "t.jsonl", []),
    ("tune select", "tune select thresholds", None, []),
    ("tune aging", "tune aging t.jsonl --seeds 0,1 --ratios 100 --set pool.replicas.instances=1"
     " --set scheduler.enable_dynamic_chunking_schedule=true --set scheduler.chunk_schedule_max_tokens=2048 -o out/ag",
     "t.jsonl", ["out/ag/aging.json"]),
    ("tune compare-samples", "tune compare-samples thresholds/1970-01-01_00-00-00/0/prefill_e2e_time.csv"
     " thresholds/1970-01-01_00-00-00/20/prefill_e2e_time.csv", None, []),
    ("calibrate", "calibrate lengths.csv --measured measured.csv --profile kernels --model llama-3-8b --num-gpu-blocks 2588",
     "lengths.csv", []),
    ("study", "study lengths.csv --autoscaler kpa --test-instances 2 --test-requests 1600 -o out/st", "lengths.csv",
     ["out/st/study.json"]),
    ("report", "report results --output out/report.html", None, []),
    ("man", "man --output-dir out/man", None, []),
]


# A trace, its measured times, and a profile of kernels.
CALIBRATION = {
    "lengths.csv": "arrived_at,num_prefill_tokens,num_decode_tokens\n"
    + "".join(f"{at / 2},{50 + at % 7 * 10},{5 + at % 3}\n" for at in range(40)),
    "measured.csv": "request_id,arrival_time,first_token_ts,last_token_ts\n"
    + "".join(f"{at},{at / 2},{at / 2 + 0.02},{at / 2 + 0.08}\n" for at in range(40)),
    "kernels/dense.csv": "layer,tokens,time_us\nlayernorm,1,1\nlayernorm,101,2\nqkv_proj,1,10\nqkv_proj,101,60\nembedding,1,5\n",
    "kernels/per_sequence.csv": "layer,sequences,time_us\nlm_head,1,100\nsampler,1,10\nlm_head,3,120\n",
    "kernels/attention.csv": "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,100,2\n0,0,1,200,4\n0,0,3,100,6\n"
    "0,0,3,200,8\n50,0,0,0,10\n100,0,0,0,20\n100,100,0,0,30\n100,0,1,100,23\n",
}


class Trials:
    def __init__(self, args):
        self.replay = str(Path(args.replay).resolve())
        self.random = random.Random(args.seed)
        self.root = Path(tempfile.mkdtemp(prefix="replay-faults-", dir=args.folder))
        self.inputs = self.root / "inputs"
        self.mounts = os.geteuid() == 0
        self.repeat = args.repeat
        self.problems = []

    def run(self, words, cwd, **more):
        return subprocess.run([self.replay, "-q", *words.split()], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=300, **more)

    def prepare(self):
        self.inputs.mkdir()
        for words in ["synth-dataset -n 40 --max-turns 4 --starts-per-second 5 -o d.jsonl",
                      "gen-trace d.jsonl --tokenizer chars --rate 20 -o t.jsonl",
                      "matrix t.jsonl --autoscaler no_autoscaling,kpa --results results",
                      "tune threshold t.jsonl --max-threshold 20 --step 10 -o thresholds"]:
            done = self.run(words, self.inputs)
            if done.returncode:
                sys.exit(f"replay {words}: {done.stderr.decode()}")
        for name, text in CALIBRATION.items():
            (self.inputs / name).parent.mkdir(exist_ok=True)
            (self.inputs / name).write_text(text)

    def fresh(self, name="work"):
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.inputs, folder)
        return folder

    def reference(self, words):
        folder = self.fresh()
        start = time.monotonic()
        done = self.run(words, folder)
        if done.returncode:
            sys.exit(f"replay {words}: {done.stderr.decode()}")
        return files(folder / "out"), time.monotonic() - start

    def command(self, name, words, truncated, marks):
        """Returns the numbers of injected and of lost, by fault."""
        reference, seconds = self.reference(words)
        counts = {}
        for fault in FAULTS:
            if (fault in ("full disk", "read-only") and not (self.mounts and reference)
                    or fault == "file size" and not reference or fault == "truncated" and truncated is None):
                continue
            lost = 0
            for _ in range(self.repeat):
                problems = self.trial(words, fault, truncated, marks, reference, seconds)
                lost += bool(problems)
                self.problems += [f"{name}, {fault}: {problem}" for problem in problems]
            counts[fault] = (self.repeat, lost)
        return counts

    def trial(self, words, fault, truncated, marks, reference, seconds):
        folder = self.fresh()
        out = folder / "out"
        moment = self.random.uniform(0, seconds * 1.1)
        largest = max(map(len, reference.values()), default=0)
        total = sum(map(len, reference.values()))
        limit = None
        if fault == "files open":
            limit = (resource.RLIMIT_NOFILE, self.random.randint(4, 14))
        elif fault == "memory":
            limit = (resource.RLIMIT_AS, int(10 ** self.random.uniform(8, 9)))
        elif fault == "file size":
            limit = (resource.RLIMIT_FSIZE, self.random.randint(0, largest - 1))
        mounted = fault in ("full disk", "read-only")
        if mounted:
            out.mkdir()
            size = self.random.randint(1, max(1, total // 4096)) * 4096
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", out], check=True)
            if fault == "read-only":
                subprocess.run(["mount", "-o", "remount,ro", out], check=True)
        try:
            before = () if limit is None else (limit[0], (limit[1], limit[1]))
            number = 3 if fault == "three at once" else 1
            processes = [subprocess.Popen([self.replay, "-q", *words.split()], cwd=folder, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                          preexec_fn=(lambda: resource.setrlimit(*before)) if before else None)
                         for _ in range(number)]
            if fault in ("kill -9", "SIGINT", "SIGTERM"):
                time.sleep(moment)
                sent = {"kill -9": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}[fault]
                processes[0].send_signal(sent)
            elif fault == "truncated":
                time.sleep(moment)
                size = (folder / truncated).stat().st_size
                os.truncate(folder / truncated, self.random.randint(0, size - 1))
            problems = []
            changed = fault == "truncated"
            for process in processes:
                told = process.communicate(timeout=300)[1].decode(errors="replace")
                problems += judge(process.returncode, told, fault)
                # A matrix in which some cells failed compares the others.
                changed |= process.returncode == 1
            found = files(out)
            problems += compare(found, reference, marks, changed)
            left = [name for name in found if is_temporary(name)]
            if fault == "kill -9":
                again = self.run(words, folder)
                # A study of thresholds does not replace an earlier one.
                if again.returncode and b"exists already" not in again.stderr:
                    problems.append(f"the next run fails: {again.stderr.decode()}")
                found = files(out)
                problems += compare(found, reference, marks, False)
                left = [name for name in found if is_temporary(name)]
                missing = set(reference) - set(found)
                if missing:
                    problems.append(f"the next run lacks {sorted(missing)}")
            if left:
                problems.append(f"left {left}")
            if fault == "three at once" and set(found) != set(reference) and "tune threshold" not in words:
                problems.append(f"not the files of the reference: {sorted(set(found) ^ set(reference))}")
            return problems
        finally:
            if mounted:
                subprocess.run(["umount", out], check=True)


def is_temporary(name):
    return re.search(r"\.replay-\d+-[0-9a-f]+\.tmp", name) is not None


def files(folder):
    """All files below a folder, hidden ones too, with their bytes."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        if path.is_file():
            found[str(Path("out") / path.relative_to(folder))] = path.read_bytes()
    return found


def judge(code, told, fault):
    """What is wrong with how a process ended."""
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    problems = []
    if "panicked" in told or "SIGABRT" in told:
        problems.append(f"panic: {told}")
    ends = {0, 2}
    ends |= {"kill -9": {-9}, "SIGINT": {-2, 130}, "SIGTERM": {-15, 143}}.get(fault, set())
    # A matrix in which some cells failed ends with 1 and names them.
    if code == 1 and "cells failed" in told:
        return problems
    if code not in ends:
        problems.append(f"exit code {code}: {told}")
    if code == 2 and (len(lines) != 1 or not told.endswith(lines[0] + "\n")):
        problems.append(f"not one line: {told}")
    return problems


def compare(found, reference, marks, changed):
    """What is wrong with the files that were found. `changed`: the input was changed, so results may differ."""
    problems = []
    for name, content in found.items():
        if is_temporary(name):
            continue
        whole = reference.get(name)
        if name.endswith("/cells.jsonl"):
            # A journal: each line is whole, but for the last of a process that was killed.
            for line in content.decode().splitlines()[:-1]:
                json.loads(line)
        elif changed:
            if name.endswith(".json"):
                try:
                    json.loads(content)
                except ValueError:
                    problems.append(f"{name} is no JSON")
            elif name.endswith((".csv", ".jsonl")) and content and not content.endswith(b"\n"):
                problems.append(f"{name} has no whole last line")
        elif whole is None:
            problems.append(f"{name} is not in the reference")
        elif content != whole:
            problems.append(f"{name} differs: {len(content)} of {len(whole)} bytes")
    for mark in marks:
        for name in [name for name in found if name == mark or "/" not in mark and name.endswith("/" + mark)]:
            folder = name.rsplit("/", 1)[0] + "/"
            lacks = [other for other in reference if other.startswith(folder) and other not in found]
            if lacks and not changed:
                problems.append(f"{name} without {lacks}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", default="target/release/replay", help="the program")
    parser.add_argument("--repeat", type=int, default=3, help="how often each fault is injected into each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="commands, separated by commas")
    parser.add_argument("--folder", help="where to work [default: the folder for temporary files]")
    args = parser.parse_args()
    trials = Trials(args)
    try:
        trials.prepare()
        print("| Command | " + " | ".join(FAULTS) + " |")
        print("|" + " --- |" * (len(FAULTS) + 1))
        for name, words, truncated, marks in COMMANDS:
            if args.only and name not in args.only.split(","):
                continue
            counts = trials.command(name, words, truncated, marks)
            cells = ["{} / {}".format(*counts[fault]) if fault in counts else "-" for fault in FAULTS]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    finally:
        shutil.rmtree(trials.root, ignore_errors=True)
    for problem in trials.problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if trials.problems else 0)


if __name__ == "__main__":
    main()
