//! Mean as in Python's `statistics.mean`: an exact sum, divided, and rounded once.

/// Extra bits below the smallest double, which keep the fraction of a division.
const SPARE: usize = 64;

/// Number of 64-bit words from `2^-(1074 + SPARE)` up to the largest double, with room for 2^63 of them and a sign.
const WORDS: usize = (SPARE + 1074 + 1024 + 64).div_ceil(64);

/// A fixed-point number in two's complement that holds any sum of doubles.
#[derive(Debug, Clone)]
struct Sum([u64; WORDS]);

impl Sum {
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let (digits, shift) = if exponent == 0 {
            (fraction, SPARE)
        } else {
            (fraction | 1 << 52, SPARE + exponent - 1)
        };
        let wide = u128::from(digits) << (shift % 64);
        let mut word = shift / 64;
        let negative = value.is_sign_negative();
        let mut carry = false;
        for part in [wide as u64, (wide >> 64) as u64] {
            carry = self.step(word, part, carry, negative);
            word += 1;
        }
        while carry && word < WORDS {
            carry = self.step(word, 0, carry, negative);
            word += 1;
        }
    }

    fn step(&mut self, word: usize, part: u64, carry: bool, negative: bool) -> bool {
        let (sum, over) = if negative {
            self.0[word].borrowing_sub(part, carry)
        } else {
            self.0[word].carrying_add(part, carry)
        };
        self.0[word] = sum;
        over
    }

    /// Makes the number positive and returns whether it was negative.
    fn magnitude(&mut self) -> bool {
        let negative = self.0[WORDS - 1] >> 63 == 1;
        if negative {
            let mut carry = true;
            for word in &mut self.0 {
                (*word, carry) = (!*word).overflowing_add(u64::from(carry));
            }
        }
        negative
    }

    /// Divides by `n`; returns whether there is a remainder.
    fn divide(&mut self, n: u64) -> bool {
        let mut rest = 0u128;
        for word in self.0.iter_mut().rev() {
            let all = rest << 64 | u128::from(*word);
            *word = (all / u128::from(n)) as u64;
            rest = all % u128::from(n);
        }
        rest != 0
    }

    fn bit(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    /// The nearest double, ties to even; `sticky` means that the exact value is slightly larger than these bits.
    fn round(&self, sticky: bool) -> f64 {
        let Some(top) = (0..WORDS * 64).rev().find(|bit| self.bit(*bit)) else {
            return 0.0;
        };
        // Index of the lowest bit that a double of this size has.
        let low = top.saturating_sub(52).max(SPARE);
        let mut digits = (low..=top.max(low))
            .rev()
            .fold(0u64, |digits, bit| digits << 1 | u64::from(self.bit(bit)));
        let half = self.bit(low - 1);
        let below = sticky || (0..low - 1).any(|bit| self.bit(bit));
        if half && (below || digits & 1 == 1) {
            digits += 1;
        }
        // For normal numbers, the leading 1 of the digits adds the exponent's last step; so does a carry from rounding.
        let steps = (low - SPARE) as u64;
        let bits = (steps << 52) + digits;
        f64::from_bits(bits.min(f64::INFINITY.to_bits()))
    }
}

/// The mean, rounded once from its exact value, as `statistics.mean` of Python does for floats. NaN without values;
/// values that are not finite are added as floats.
pub fn exact_mean(values: &[f64]) -> f64 {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    let mut sum = Sum([0; WORDS]);
    for value in values {
        sum.add(*value);
    }
    let negative = sum.magnitude();
    let sticky = sum.divide(values.len() as u64);
    let mean = sum.round(sticky);
    if negative { -mean } else { mean }
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::exact::*;
    use proptest::prelude::*;

    /// Values of `statistics.mean` of CPython 3.11.
    #[test]
    fn as_python() {
        for (values, expected) in [
            (&[0.1, 0.2, 0.3][..], 0.2),
            (&[1e308, 1e308], 1e308),
            (&[1e16, 1.0, -1e16], 1.0 / 3.0),
            (&[5e-324, 5e-324, 0.0], 5e-324),
            (&[5e-324, 0.0], 0.0),
            (&[1.5e-323, 0.0], 1e-323),
            (
                &[2.225_073_858_507_201_4e-308, 0.0],
                1.112_536_929_253_600_7e-308,
            ),
            (&[-0.1, -0.2, -0.3], -0.2),
            (&[f64::MAX, f64::MAX, -1e-300], 1.198_462_089_908_210_5e308),
            (&[0.7], 0.7),
            (&[0.0, -0.0], 0.0),
            (&[1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5], 1e-5),
        ] {
            let found = exact_mean(values);
            assert_eq!(
                found.to_bits(),
                f64::to_bits(expected),
                "{values:?}: {found:e}"
            );
        }
        assert!(exact_mean(&[]).is_nan());
        assert_eq!(exact_mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }

    proptest! {
        /// Integers have an exact sum in `i128`, and the mean of 2^k of them has an exact quotient.
        #[test]
        fn whole_numbers(values in prop::collection::vec(-(1i64 << 53)..(1i64 << 53), 1..200), power in 0i32..200) {
            let scale = 2f64.powi(power - 100);
            let floats: Vec<f64> = values.iter().map(|value| *value as f64 * scale).collect();
            let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
            // 64 more bits make the quotient exact enough for rounding; the last bit records a remainder.
            let wide = sum.unsigned_abs() << 64;
            let n = values.len() as u128;
            let quotient = ((wide / n) << 1) | u128::from(!wide.is_multiple_of(n));
            // `as` rounds to nearest, ties to even.
            let expected = quotient as f64 * 2f64.powi(-65) * scale;
            let expected = if sum < 0 { -expected } else { expected };
            prop_assert_eq!(exact_mean(&floats), expected);
        }
    }
}
