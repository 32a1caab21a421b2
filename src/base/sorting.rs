//! Sorting of many numbers by their digits (radix sort), several times as fast as by comparisons.

/// Below this number of values, comparisons are faster.
const MANY: usize = 2048;

/// Bits of a digit, and digits of a key.
const BITS: u32 = 11;
const DIGITS: usize = u64::BITS.div_ceil(BITS) as usize;

/// Values of a digit.
const VALUES: usize = 1 << BITS;

/// Sorts numbers in ascending order.
pub fn sort_keys(keys: &mut Vec<u64>) {
    if keys.len() < MANY || u32::try_from(keys.len()).is_err() {
        keys.sort_unstable();
        return;
    }
    let digit = |key: u64, place: usize| (key >> (place as u32 * BITS)) as usize % VALUES;
    let mut counts = vec![[0u32; VALUES]; DIGITS];
    for key in keys.iter() {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[digit(*key, place)] += 1;
        }
    }
    let mut sorted = vec![0; keys.len()];
    for (place, next) in counts.iter_mut().enumerate() {
        let is_same = next[digit(keys[0], place)] as usize == keys.len();
        if is_same {
            continue;
        }
        let mut begin = 0;
        for count in next.iter_mut() {
            begin += std::mem::replace(count, begin);
        }
        for key in keys.iter() {
            let at = &mut next[digit(*key, place)];
            sorted[*at as usize] = *key;
            *at += 1;
        }
        std::mem::swap(keys, &mut sorted);
    }
}

/// Sorts floats in the order of [`f64::total_cmp`].
pub fn sort_floats(values: &mut [f64]) {
    if values.len() < MANY {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    const SIGN: u64 = 1 << 63;
    // The bits of positive floats sort like the floats; those of negative ones in the opposite order.
    let key = |value: &f64| match value.to_bits() {
        bits if bits & SIGN == 0 => bits | SIGN,
        bits => !bits,
    };
    let mut keys: Vec<u64> = values.iter().map(key).collect();
    sort_keys(&mut keys);
    for (value, key) in values.iter_mut().zip(keys) {
        *value = f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN });
    }
}

#[cfg(test)]
mod tests {
    use crate::base::sorting::*;
    use rand::Rng;

    #[test]
    fn the_order_is_that_of_comparisons() {
        let mut random = crate::base::random::stream(1, "sorting", 0);
        for count in [0, 1, 100, MANY - 1, MANY, 10_000] {
            // All bits, few different values, and values that share their upper digits.
            for mask in [u64::MAX, 7 << 40, 0xffff] {
                let mut keys: Vec<u64> = (0..count).map(|_| random.next_u64() & mask).collect();
                let mut expected = keys.clone();
                expected.sort_unstable();
                sort_keys(&mut keys);
                assert_eq!(keys, expected);
            }
            let mut floats: Vec<f64> = (0..count)
                .map(|_| f64::from_bits(random.next_u64()))
                .chain([0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN])
                .collect();
            let mut expected = floats.clone();
            expected.sort_unstable_by(f64::total_cmp);
            sort_floats(&mut floats);
            let bits =
                |values: &[f64]| -> Vec<u64> { values.iter().map(|v| v.to_bits()).collect() };
            assert_eq!(bits(&floats), bits(&expected));
        }
    }
}
