//! The Mann-Whitney U test (1947): whether the values of one sample tend to be larger than those of another.

use super::Test;
use crate::base::sorting::sort_floats;

/// Up to this number of values in the smaller sample, p is exact if no two values are equal; as in scipy's
/// `method="auto"`.
const EXACT: usize = 8;

/// Ranks from 1, where equal values share their mean rank; and the sum of `t^3 - t` over groups of `t` equal values.
pub fn midranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let (mut begin, mut ties) = (0, 0.0);
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let size = group.len() as f64;
        let rank = begin as f64 + f64::midpoint(1.0, size);
        for index in group {
            ranks[*index] = rank;
        }
        ties += size * size * size - size;
        begin += group.len();
    }
    (ranks, ties)
}

/// The sum of the midranks of a first sample among both, and the sum of `t^3 - t` over groups of `t` equal values of both; the
/// samples are in ascending order. Sums of ranks are exact up to 2^53.
fn rank_sum(a: &[f64], b: &[f64]) -> (f64, f64) {
    let (mut from_a, mut from_b, mut ranks, mut ties) = (0, 0, 0.0, 0.0);
    let is_tie = |values: &[f64], at: usize| values.get(at) == values.get(at + 1);
    while let (Some(&next_a), Some(&next_b)) = (a.get(from_a), b.get(from_b)) {
        if next_a == next_b || is_tie(a, from_a) || is_tie(b, from_b) {
            let value = f64::min(next_a, next_b);
            (from_a, from_b) = take_equal(value, (a, from_a), (b, from_b), &mut ranks, &mut ties);
            continue;
        }
        // Branchless: which value is smaller is random, so a branch would be mispredicted half of the time.
        let is_a = usize::from(next_a < next_b);
        ranks += (is_a * (from_a + from_b + 1)) as f64;
        from_a += is_a;
        from_b += 1 - is_a;
    }
    while let Some(value) = a.get(from_a).or(b.get(from_b)) {
        (from_a, from_b) = take_equal(*value, (a, from_a), (b, from_b), &mut ranks, &mut ties);
    }
    (ranks, ties)
}

/// Takes a group of equal values from both samples, and returns where the samples go on.
fn take_equal(
    value: f64,
    (a, from_a): (&[f64], usize),
    (b, from_b): (&[f64], usize),
    ranks: &mut f64,
    ties: &mut f64,
) -> (usize, usize) {
    let until = |values: &[f64], from: usize| {
        let same = values[from..].iter().take_while(|other| **other == value);
        from + same.count()
    };
    let (to_a, to_b) = (until(a, from_a), until(b, from_b));
    let size = (to_a - from_a + to_b - from_b) as f64;
    let begin = (from_a + from_b) as f64;
    *ranks += (to_a - from_a) as f64 * (begin + f64::midpoint(1.0, size));
    *ties += size * size * size - size;
    (to_a, to_b)
}

/// Probability that a standard normal variable is at least `z`.
pub(super) fn normal_above(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// The two-sided U test: exact for small samples without ties, otherwise by the normal distribution with corrections
/// for ties and continuity.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Test {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        sort_floats(&mut values);
        values
    };
    mann_whitney_sorted(&sorted(a), &sorted(b))
}

/// The same test of samples in ascending order.
pub(super) fn mann_whitney_sorted(a: &[f64], b: &[f64]) -> Test {
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let n = na + nb;
    let (ranks, ties) = rank_sum(a, b);
    let u = ranks - na * (na + 1.0) / 2.0;
    let larger = u.max(na * nb - u);
    let exact = if ties == 0.0 && a.len().min(b.len()) <= EXACT {
        exact_above(larger as usize, a.len().min(b.len()), a.len().max(b.len()))
    } else {
        None
    };
    let (name, above) = match exact {
        Some(above) => ("mann-whitney exact", above),
        None => {
            let variance = na * nb / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
            let z = (larger - na * nb / 2.0 - 0.5) / variance.sqrt();
            ("mann-whitney", normal_above(z))
        }
    };
    Test {
        name,
        statistic: u,
        df: None,
        p: (2.0 * above).min(1.0),
    }
}

/// Probability of a U of at least `u` if both samples have the same distribution; `None` if the counts exceed 128 bits.
fn exact_above(u: usize, few: usize, many: usize) -> Option<f64> {
    // Number of all orders: `few + many` over `few`.
    let mut total = 1u128;
    for step in 1..=few as u128 {
        total = total.checked_mul(many as u128 + step)? / step;
    }
    // The numbers of orders with each U are the coefficients of the Gaussian binomial, the product of (1 - q^(many +
    // i)) / (1 - q^i). Sums and differences modulo 2^128 are exact, because the counts themselves fit.
    let degree = few * many;
    let mut counts = vec![0u128; degree + 1];
    counts[0] = 1;
    for step in 1..=few {
        let jump = many + step;
        for at in (jump..=degree).rev() {
            counts[at] = counts[at].wrapping_sub(counts[at - jump]);
        }
        for at in step..=degree {
            counts[at] = counts[at].wrapping_add(counts[at - step]);
        }
    }
    // Sums from the other end, by symmetry.
    let above: u128 = counts[..=degree - u].iter().sum();
    Some(above as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::u_test::*;

    #[test]
    fn ranks_by_hand() {
        let (ranks, ties) = midranks(&[3.0, 1.0, 3.0, 2.0]);
        assert_eq!((ranks, ties), (vec![3.5, 1.0, 3.5, 2.0], 6.0));
    }

    #[test]
    fn rank_sums_of_sorted_samples_are_those_of_midranks() {
        let mut random = crate::base::random::stream(5, "rank sums", 0);
        for (na, nb, kinds) in [(1, 1, 1), (7, 4, 3), (50, 80, 1000), (90, 30, 12)] {
            let mut sample = |n: usize| -> Vec<f64> {
                let mut draw = || crate::metrics::statistics::draw(kinds, &mut random);
                (0..n).map(|_| draw() as f64 / 8.0 - 1.0).collect()
            };
            let (mut a, mut b) = (sample(na), sample(nb));
            let (ranks, ties) = midranks(&[&*a, &*b].concat());
            a.sort_unstable_by(f64::total_cmp);
            b.sort_unstable_by(f64::total_cmp);
            assert_eq!(rank_sum(&a, &b), (ranks[..na].iter().sum(), ties));
        }
        assert_eq!(rank_sum(&[-0.0], &[0.0]), (1.5, 6.0));
    }

    /// Counts all ways to choose the first sample.
    #[test]
    fn exact_by_enumeration() {
        for (few, many) in [(1, 1), (2, 3), (3, 3), (3, 6), (5, 7)] {
            let n: usize = few + many;
            let mut by_u = vec![0u32; few * many + 1];
            for set in 0u32..1 << n {
                if set.count_ones() as usize != few {
                    continue;
                }
                let ranks: usize = (0..n)
                    .filter(|bit| set >> bit & 1 == 1)
                    .map(|bit| bit + 1)
                    .sum();
                by_u[ranks - few * (few + 1) / 2] += 1;
            }
            let total: u32 = by_u.iter().sum();
            for u in 0..=few * many {
                let above: u32 = by_u[u..].iter().sum();
                let expected = f64::from(above) / f64::from(total);
                let found = exact_above(u, few, many).expect("fits");
                assert!((found - expected).abs() < 1e-15, "{few} {many} {u}");
            }
        }
        assert!(exact_above(1, 8, 100_000).is_some());
        assert!(exact_above(1, 8, 1_000_000).is_none());
    }

    /// Values of scipy 1.17: `mannwhitneyu(a, b)`.
    #[test]
    fn as_scipy() {
        let test = mann_whitney(&[3.1, 2.4, 5.6, 4.4, 3.9], &[2.0, 2.2, 4.9, 3.0, 3.5]);
        assert_eq!((test.statistic, test.name), (18.0, "mann-whitney exact"));
        assert!((test.p - 0.309_523_809_523_809_5).abs() < 1e-12, "{test:?}");
        let test = mann_whitney(&[1.0, 2.0, 2.0, 3.0, 9.0], &[2.0, 4.0, 5.0, 6.0]);
        assert_eq!(test.name, "mann-whitney");
        assert!((test.p - 0.383_220_631_285_644).abs() < 1e-9, "{test:?}");
    }
}
