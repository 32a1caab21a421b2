//! Memory of the ids of words that occurred before.

/// Slots; a word has one place, from which it drives out the one before.
const SLOTS: usize = 1 << 15;

/// Longest word that is kept, in bytes.
pub(super) const LONGEST: usize = 32;

const MOST_IDS: usize = 6;

/// The ids of recent words. Long words and those of many ids are not kept.
pub(super) struct Words {
    slots: Box<[Slot]>,
}

/// One word, in one line of the processor's cache. The empty slot has no word, since its length is 0.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    parts: [u64; 4],
    ids: [u32; MOST_IDS],
    length: u8,
    count: u8,
}

const _: () = assert!(size_of::<Slot>() == 64);

const EMPTY: Slot = Slot {
    parts: [0; 4],
    ids: [0; MOST_IDS],
    length: 0,
    count: 0,
};

/// A word of up to [`LONGEST`] bytes: its length and parts that overlap where it is shorter than they are, which together
/// determine it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    parts: [u64; 4],
    length: u8,
}

impl Key {
    /// The key of a word, or `None` if words of its length are not kept.
    #[inline]
    pub(super) fn new(word: &[u8]) -> Option<Self> {
        let head = |at: usize| {
            word[at..]
                .first_chunk::<8>()
                .map_or(0, |part| u64::from_le_bytes(*part))
        };
        let length = word.len();
        let parts = match length {
            1..4 => {
                let [first, middle, last] =
                    [0, length / 2, length - 1].map(|at| u64::from(word[at]));
                [first | middle << 8 | last << 16, 0, 0, 0]
            }
            4..8 => {
                let part = |at: usize| {
                    let part = word[at..].first_chunk::<4>();
                    part.map_or(0, |part| u64::from(u32::from_le_bytes(*part)))
                };
                [part(0) | part(length - 4) << 32, 0, 0, 0]
            }
            8..=16 => [head(0), head(length - 8), 0, 0],
            17..=LONGEST => [head(0), head(8), head(length - 16), head(length - 8)],
            _ => return None,
        };
        Some(Self {
            parts,
            length: length as u8,
        })
    }

    #[inline]
    fn slot(&self) -> usize {
        let [a, b, c, d] = self.parts;
        let mixed = a
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F))
            .wrapping_add(c.wrapping_mul(0x1656_67B1_9E37_79F9))
            .wrapping_add(d.wrapping_mul(0x27D4_EB2F_1656_67C5))
            .wrapping_add(u64::from(self.length));
        // The high bits depend on all bits of the parts; a second product spreads those of the low ones, too.
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - SLOTS.ilog2())) as usize
    }
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![EMPTY; SLOTS].into_boxed_slice(),
        }
    }

    /// Forgets all words.
    pub(super) fn clear(&mut self) {
        self.slots.fill(EMPTY);
    }

    /// The ids of a word, if it is remembered.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<&[u32]> {
        let slot = &self.slots[key.slot()];
        let same = slot.parts == key.parts && slot.length == key.length;
        same.then(|| slot.ids.get(..slot.count as usize))?
    }

    /// Remembers a word.
    pub(super) fn put(&mut self, key: &Key, ids: &[u32]) {
        if ids.len() > MOST_IDS {
            return;
        }
        let slot = &mut self.slots[key.slot()];
        slot.parts = key.parts;
        slot.length = key.length;
        slot.ids[..ids.len()].copy_from_slice(ids);
        slot.count = ids.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(word: &[u8]) -> Key {
        Key::new(word).expect("kept")
    }

    #[test]
    fn keys_of_different_words_differ() {
        let text: Vec<u8> = (0..40).collect();
        assert!(Key::new(b"").is_none() && Key::new(&text[..33]).is_none());
        for length in 1..=LONGEST {
            let word = &text[..length];
            assert!(key(word) == key(&text[..length]));
            assert!(length < 2 || key(word) != key(&text[..length - 1]));
            for place in 0..length {
                let mut other = word.to_vec();
                other[place] ^= 0x80;
                assert!(key(word) != key(&other), "{length}, {place}");
            }
        }
        // A zero byte is not the end of a shorter word.
        assert!(key(b"a") != key(b"a\0") && key(b"\0") != key(b"\0\0"));
    }

    #[test]
    fn the_ids_of_a_word_are_those_that_were_put() {
        let mut words = Words::new();
        assert_eq!(words.get(&key(b"the")), None);
        words.put(&key(b"the"), &[7, 8]);
        assert_eq!(words.get(&key(b"the")), Some(&[7, 8][..]));
        words.put(&key(b"long"), &[1; 7]);
        assert_eq!(words.get(&key(b"long")), None);
        words.clear();
        assert_eq!(words.get(&key(b"the")), None);
    }
}
