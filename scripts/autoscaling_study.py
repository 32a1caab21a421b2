#!/usr/bin/env python3
"""All policies over five shapes of load and three seeds, as documented and tuned.

    cargo build --release
    python3 scripts/autoscaling_study.py [--replay PATH] [--output output/autoscaling-study]

Policies are tuned by `replay study` on a day of another seed, and then run on all traces beside the documented parameters. Writes
tables.md, which docs/autoscaling-study.md is made of. Needs Python 3.9 or newer and nothing else.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "data/scenarios/chat-70b.toml"
SHAPES = {
    "steady": (20, "steady"),
    "diurnal": (20, "diurnal:period=24m,low=0.2,high=1.8"),
    "ramp": (20, "ramp:from=0.2,to=1.8,over=24m"),
    "spike": (14, "spike:at=8m,factor=4,width=3m,decay=2m"),
    "square": (20, "square:period=8m,low=0.3,high=1.7"),
}
SEEDS = [1, 2, 3]
POLICIES = (
    "no_autoscaling heteroscale hpa_gpu independent_tps pure_latency periodic latency_ttft utilization queue sla hpa_v2 kpa wva"
).split()


def run(*arguments):
    print("+", *arguments, flush=True)
    subprocess.run([str(argument) for argument in arguments], check=True, stdout=subprocess.DEVNULL)


def figures(results, trace, policy):
    """Of one run: fraction of the requests that arrived which met the SLO, GPU-hours, and what the autoscaler did."""
    (path,) = list(results.glob(f"0/*/{trace}/*/*/*/{policy}/summary.json"))
    summary = json.loads(path.read_text())
    scaling = summary.get("scaling", {})
    return {
        "met": summary["slo"]["attainment"] or 0.0,
        "hours": summary["cost"]["gpu_hours"],
        "ttft": summary["ttft"]["p90"],
        "tbt": summary["tbt"]["p90"],
        "flaps": scaling.get("flaps", 0),
        "ratio": scaling.get("pd_ratio_deviation") or 0.0,
    }


def table(results, policies):
    lines = ["| policy | " + " | ".join(SHAPES) + " | flaps | P/D deviation |", "|---|" + "---|" * (len(SHAPES) + 2)]
    for policy in policies:
        cells, flaps, ratios = [], [], []
        for shape in SHAPES:
            runs = [figures(results, f"{shape}-{seed}", policy) for seed in SEEDS]
            met = statistics.mean(run["met"] for run in runs)
            hours = statistics.mean(run["hours"] for run in runs)
            mark = "**" if met >= 0.99 else ""
            cells.append(f"{mark}{met * 100:.1f} %, {hours:.1f} h{mark}")
            flaps.append(statistics.mean(run["flaps"] for run in runs))
            ratios.append(statistics.mean(run["ratio"] for run in runs))
        lines.append(
            f"| `{policy}` | " + " | ".join(cells) + f" | {statistics.mean(flaps):.1f} | {statistics.mean(ratios):.2f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", default=ROOT / "target/release/replay")
    parser.add_argument("--output", type=Path, default=ROOT / "output/autoscaling-study")
    args = parser.parse_args()
    out, replay = args.output, args.replay
    traces = out / "traces"
    traces.mkdir(parents=True, exist_ok=True)
    chats = traces / "chats.jsonl.zst"
    run(replay, "synth-dataset", "--conversations", 8700, "--max-turns", 6, "--seed", 1, "--output", chats)

    def trace(name, seed):
        rate, shape = SHAPES[name]
        path = traces / f"{name}-{seed}.jsonl.zst"
        run(replay, "gen-trace", chats, "--rate", rate, "--rate-shape", shape, "--seed", seed, "--output", path)
        return path

    files = [trace(shape, seed) for shape in SHAPES for seed in SEEDS]
    training = trace("diurnal", 100)
    validate = ",".join(map(str, files))
    run(replay, "study", training, "--config", CONFIG, "--validate", validate, "--output-dir", out / "tuned")
    run(
        *(replay, "matrix", *validate.split(","), "--config", CONFIG, "--autoscaler", ",".join(POLICIES)),
        *("--results", out / "documented"),
    )
    text = ["## As documented", "", table(out / "documented", POLICIES), "", "## Tuned", ""]
    text += [table(out / "tuned/results", POLICIES), ""]
    (out / "tables.md").write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()
