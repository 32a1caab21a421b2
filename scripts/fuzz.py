#!/usr/bin/env python3
"""Build the fuzz targets, run each for some seconds, and print what was found.

    python3 scripts/fuzz.py --seconds 10                 # all targets, as CI does
    python3 scripts/fuzz.py --seconds 600 tokenizer script
    python3 scripts/fuzz.py --list

Needs cargo and a C++ compiler. cargo-fuzz is installed into output/tools if it is not there. Inputs that the fuzzer makes stay in
output/fuzz/corpus/TARGET and are used again by the next run; the seeds in fuzz/seeds/TARGET are not changed. An input that fails is
kept in output/fuzz/failures, and the exit code is then 1.

An input fails if it makes the target panic, overflow the stack, take longer than 10 seconds or use more than 2 GiB.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "output" / "fuzz"
CARGO_FUZZ = "0.13.2"
LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=2048", "-max_len=16384"]


def targets() -> list[str]:
    return sorted(path.stem for path in (ROOT / "fuzz" / "fuzz_targets").glob("*.rs"))


def cargo_fuzz() -> pathlib.Path:
    """The program cargo-fuzz, which is installed if it is missing."""
    tools = ROOT / "output" / "tools"
    for path in [tools / "bin" / "cargo-fuzz", pathlib.Path.home() / ".cargo" / "bin" / "cargo-fuzz"]:
        if path.exists():
            return path
    print(f"installing cargo-fuzz {CARGO_FUZZ} into {tools.relative_to(ROOT)}", flush=True)
    command = ["cargo", "install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--quiet", "--root", str(tools)]
    subprocess.run(command, check=True)
    return tools / "bin" / "cargo-fuzz"


def build() -> pathlib.Path:
    """Builds all targets and returns the folder of the programs.

    RUSTC_BOOTSTRAP lets the stable compiler accept the flags that cargo-fuzz passes. There is no address sanitizer, because the
    program has next to no unsafe code and is several times faster without.
    """
    environment = dict(os.environ, RUSTC_BOOTSTRAP="1")
    command = [str(cargo_fuzz()), "build", "--sanitizer", "none"]
    built = subprocess.run(command, cwd=ROOT / "fuzz", env=environment, stderr=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr[-4000:] + "\nerror: the fuzz targets do not compile")
    folders = (ROOT / "fuzz" / "target").glob("*/release")
    return next(folder for folder in folders if (folder / targets()[0]).exists())


def fuzz(program: pathlib.Path, seconds: int, scratch: str) -> dict:
    """Runs one target; returns executions, CPU seconds and the inputs that failed."""
    target = program.name
    corpus, failures = OUTPUT / "corpus" / target, OUTPUT / "failures"
    corpus.mkdir(parents=True, exist_ok=True)
    failures.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "fuzz" / "seeds" / target
    folders = [str(corpus)] + [str(seeds)] * seeds.is_dir()
    limit = [f"-max_total_time={seconds}", f"-artifact_prefix={failures}/{target}-", "-print_final_stats=1"]
    before = set(failures.glob(f"{target}-*"))
    log = OUTPUT / f"{target}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [str(program), *folders, *limit, *LIMITS],
            stdout=out,
            stderr=out,
            # Temporary files of the targets, in memory where that is possible, removed with the folder.
            env=dict(os.environ, TMPDIR=scratch, RUST_BACKTRACE="0"),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    coverage = re.findall(r"cov: (\d+)", text)
    return {
        "target": target,
        "runs": int(runs[1]) if runs else 0,
        "coverage": int(coverage[-1]) if coverage else 0,
        "cpu": usage.ru_utime + usage.ru_stime,
        "failed": process.returncode != 0,
        "inputs": sorted(set(failures.glob(f"{target}-*")) - before),
        "log": log,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="targets to run [default: all]")
    parser.add_argument("--seconds", type=int, default=10, help="how long each target runs [default: 10]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time [default: one for each core]")
    parser.add_argument("--list", action="store_true", help="print the targets and exit")
    args = parser.parse_args()
    known = targets()
    if args.list:
        print("\n".join(known))
        return 0
    unknown = sorted(set(args.targets) - set(known))
    if unknown:
        sys.exit(f"error: unknown target {unknown[0]}; known: {', '.join(known)}")
    folder = build()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    # Core dumps of failing inputs would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    print(f"{'target':24} {'runs':>10} {'edges':>7} {'CPU s':>7}  failures", flush=True)
    total, failed = 0.0, 0
    with tempfile.TemporaryDirectory(dir=memory) as scratch, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        chosen = args.targets or known
        for result in pool.map(lambda target: fuzz(folder / target, args.seconds, scratch), chosen):
            total += result["cpu"]
            failed += result["failed"]
            what = ", ".join(str(path.relative_to(ROOT)) for path in result["inputs"]) or "-"
            if result["failed"] and not result["inputs"]:
                what = f"see {result['log'].relative_to(ROOT)}"
            print(f"{result['target']:24} {result['runs']:10} {result['coverage']:7} {result['cpu']:7.1f}  {what}", flush=True)
    print(f"{len(chosen)} targets, {total:.0f} CPU seconds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
