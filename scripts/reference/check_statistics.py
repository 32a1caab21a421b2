"""Compares `replay tune compare-samples` with scipy on random samples of many kinds and sizes.

    python scripts/reference/check_statistics.py [--replay target/release/replay] [--cases 200]

Tests and effect sizes must agree to 1e-9. Bootstrap intervals cannot: the resamples are others. Their ends are compared in
units of their own Monte-Carlo error, which is taken from scipy's repetitions with other seeds, and from them the
mean distance over all cases must be within what two independent draws give.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

TOLERANCE = 1e-9


def samples(rng, case):
    """Two samples: normal, skewed, tied or tiny, with or without a difference."""
    kind = case % 5
    na, nb = int(rng.integers(2, 60)), int(rng.integers(2, 60))
    shift = rng.choice([0.0, 0.1, 1.0])
    if kind == 0:
        return rng.normal(10 + shift, 1, na), rng.normal(10, 2, nb)
    if kind == 1:
        return rng.lognormal(shift, 1, na), rng.lognormal(0, 1, nb)
    if kind == 2:
        return rng.integers(1, 8, na) + 0.0, rng.integers(1, 8, nb) + 0.0
    if kind == 3:
        return rng.normal(10 + shift, 1, int(rng.integers(2, 9))), rng.normal(10, 1, nb)
    return rng.normal(1e-4, 1e-5, na), rng.normal(1e-4 * (1 + shift), 1e-5, nb)


def run(replay, folder, a, b, *options):
    for name, values in (("a.csv", a), ("b.csv", b)):
        (folder / name).write_text("value\n" + "".join(f"{float(v)!r}\n" for v in values))
    command = [replay, "tune", "compare-samples", folder / "a.csv", folder / "b.csv", "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def hedges(a, b):
    na, nb = len(a), len(b)
    df = na + nb - 2
    pooled = np.sqrt(((na - 1) * np.var(a, ddof=1) + (nb - 1) * np.var(b, ddof=1)) / df)
    d = (np.mean(a) - np.mean(b)) / pooled
    from scipy.special import gammaln

    return d, d * np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)


class Check:
    def __init__(self):
        self.count, self.worst, self.bad = 0, 0.0, []

    def __call__(self, what, found, expected):
        self.count += 1
        error = abs(found - expected) / max(1.0, abs(expected))
        self.worst = max(self.worst, error)
        if not error <= TOLERANCE:
            self.bad.append(f"{what}: {found!r} against {expected!r}")


def tests(check, case, a, b, found):
    welch, rank = found["tests"]
    expected = stats.ttest_ind(a, b, equal_var=False)
    check(f"{case} welch t", welch["statistic"], expected.statistic)
    check(f"{case} welch p", welch["p"], expected.pvalue)
    check(f"{case} welch df", welch["df"], expected.df)
    expected = stats.mannwhitneyu(a, b, method="auto")
    check(f"{case} u", rank["statistic"], expected.statistic)
    check(f"{case} u p", rank["p"], expected.pvalue)
    d, g = hedges(a, b)
    check(f"{case} d", found["effect"]["cohens_d"], d)
    check(f"{case} g", found["effect"]["hedges_g"], g)
    pairs = np.sign(np.subtract.outer(a, b)).mean()
    check(f"{case} delta", found["effect"]["cliffs_delta"], pairs)


def paired_tests(check, case, a, b, found):
    t, rank = found["tests"]
    expected = stats.ttest_rel(a, b)
    check(f"{case} paired t", t["statistic"], expected.statistic)
    check(f"{case} paired p", t["p"], expected.pvalue)
    difference = a - b
    sizes = np.abs(difference[difference != 0])
    exact = len(a) <= 50 and len(sizes) == len(a) == len(np.unique(sizes))
    expected = stats.wilcoxon(a, b, method="exact" if exact else "asymptotic", correction=False)
    check(f"{case} w", rank["statistic"], expected.statistic)
    check(f"{case} w p", rank["p"], expected.pvalue)


def intervals(replay, folder, rng, cases):
    """Distances of interval ends, in standard deviations of the ends over scipy's own repetitions."""
    distances = []
    for case in range(cases):
        a, b = rng.lognormal(0.2, 0.8, 60), rng.lognormal(0, 0.8, 50)
        name, statistic = (("mean", np.mean), ("p90", lambda x, axis: np.quantile(x, 0.9, axis=axis)))[case % 2]
        found = run(replay, folder, a, b, "--statistic", name, "--resamples", "10000")
        ends = []
        for seed in range(8):
            result = stats.bootstrap(
                (a, b),
                lambda x, y, axis: statistic(x, axis=axis) - statistic(y, axis=axis),
                n_resamples=10_000,
                method="BCa",
                vectorized=True,
                rng=np.random.default_rng(seed),
            )
            ends.append(result.confidence_interval)
        ends = np.array(ends)
        spread = np.maximum(ends.std(axis=0, ddof=1), 1e-3 * (ends[:, 1] - ends[:, 0]).mean())
        ours = np.array([found["difference_interval"][end] for end in ("low", "high")])
        distances.extend(np.abs(ours - ends.mean(axis=0)) / spread)
    return np.array(distances)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replay", default="target/release/replay")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--interval-cases", type=int, default=20)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    check = Check()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for case in range(args.cases):
            a, b = samples(rng, case)
            if np.var(a) == 0 or np.var(b) == 0:
                continue
            tests(check, case, a, b, run(args.replay, folder, a, b, "--resamples", "100"))
            both = min(len(a), len(b))
            a, b = a[:both], b[:both]
            if np.var(a - b) == 0:
                continue
            found = run(args.replay, folder, a, b, "--resamples", "100", "--paired")
            paired_tests(check, case, a, b, found)
        distances = intervals(args.replay, folder, rng, args.interval_cases)
    for line in check.bad[:20]:
        print("differs:", line)
    print(f"{check.count} figures, largest error {check.worst:.2e}, {len(check.bad)} beyond {TOLERANCE:.0e}")
    print(f"{len(distances)} interval ends: mean distance {distances.mean():.2f}, largest {distances.max():.2f} Monte-Carlo errors")
    # Of a normal distance against a mean of eight with an estimated spread, the mean is near 0.9.
    if check.bad or distances.mean() > 1.5 or distances.max() > 8:
        sys.exit(1)


if __name__ == "__main__":
    main()
