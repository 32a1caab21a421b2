//! Wilcoxon's signed-rank test (1945): whether the differences of pairs are centred on zero.

use super::Test;
use super::u_test::normal_above;
use crate::base::sorting::sort_keys;

/// Up to this number of pairs, p is exact if no difference is zero and no two are equally large.
const EXACT: usize = 50;

/// The two-sided test of the pairs that differ. The statistic is the smaller of the rank sums of both signs, as in
/// scipy.
pub fn signed_rank(a: &[f64], b: &[f64]) -> Test {
    // Absolute values as bits, which sort like the numbers, each with its sign in the lowest bit.
    let all = a.iter().zip(b).map(|(a, b)| a - b);
    let mut differences: Vec<u64> = all
        .filter(|difference| *difference != 0.0)
        .map(|difference| difference.abs().to_bits() << 1 | u64::from(difference > 0.0))
        .collect();
    sort_keys(&mut differences);
    let n = differences.len() as f64;
    let whole = n * (n + 1.0) / 2.0;
    let (mut begin, mut plus, mut ties) = (0, 0.0, 0.0);
    for group in differences.chunk_by(|a, b| a >> 1 == b >> 1) {
        let size = group.len() as f64;
        let positive = group.iter().filter(|key| *key & 1 == 1).count() as f64;
        plus += positive * (begin as f64 + f64::midpoint(1.0, size));
        ties += size * size * size - size;
        begin += group.len();
    }
    let smaller = plus.min(whole - plus);
    let alike = ties == 0.0 && differences.len() == a.len();
    let p = if differences.is_empty() {
        1.0
    } else if alike && differences.len() <= EXACT {
        2.0 * exact_below(smaller as usize, differences.len())
    } else {
        let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
        2.0 * normal_above((whole / 2.0 - smaller) / variance.sqrt())
    };
    Test {
        name: "wilcoxon",
        statistic: smaller,
        df: None,
        p: p.min(1.0),
    }
}

/// Probability of a rank sum of at most `sum`: the fraction of all choices of signs whose positive ranks have at most
/// this sum.
fn exact_below(sum: usize, n: usize) -> f64 {
    let mut counts = vec![0u64; n * (n + 1) / 2 + 1];
    counts[0] = 1;
    for rank in 1..=n {
        for at in (rank..counts.len()).rev() {
            counts[at] += counts[at - rank];
        }
    }
    let below: u64 = counts[..=sum].iter().sum();
    below as f64 / (1u64 << n) as f64
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::signed_rank::*;

    #[test]
    fn rank_sums_are_those_of_midranks() {
        let mut random = crate::base::random::stream(6, "signed ranks", 0);
        for kinds in [3, 40, 100_000] {
            let mut draw = || crate::metrics::statistics::draw(kinds, &mut random) as f64 / 4.0;
            let (a, b): (Vec<f64>, Vec<f64>) = (0..300).map(|_| (draw(), draw())).unzip();
            let differences = a.iter().zip(&b).map(|(a, b)| a - b);
            let differences: Vec<f64> = differences.filter(|value| *value != 0.0).collect();
            let sizes: Vec<f64> = differences.iter().map(|value| value.abs()).collect();
            let (ranks, _) = crate::metrics::statistics::midranks(&sizes);
            let sum = |positive: bool| -> f64 {
                let all = ranks.iter().zip(&differences);
                all.filter(|(_, value)| (**value > 0.0) == positive)
                    .map(|(rank, _)| rank)
                    .sum()
            };
            assert_eq!(signed_rank(&a, &b).statistic, sum(true).min(sum(false)));
        }
    }

    /// Values of scipy 1.17: `wilcoxon(a, b, method="exact")`, and `method="asymptotic"` if a difference is zero.
    #[test]
    fn as_scipy() {
        let a = [3.1, 2.4, 5.65, 4.4, 3.9];
        let test = signed_rank(&a, &[2.0, 2.2, 4.9, 3.0, 4.0]);
        assert_eq!((test.statistic, test.p), (1.0, 0.125));
        let test = signed_rank(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 1.0]);
        assert!(
            (test.p - 0.108_809_430_040_545_68).abs() < 1e-12,
            "{test:?}"
        );
        assert_eq!(signed_rank(&a, &a).p, 1.0);
    }
}
