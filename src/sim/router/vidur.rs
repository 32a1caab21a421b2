//! Vidur's own global schedulers, where they differ from what their names say: `vidur/scheduler/global_scheduler` at
//! 7d47513.

use super::{Router, RouterCard, View};
use crate::sim::in_flight::InFlightRequest;

/// Name and summary of `vidur-lor`.
pub(super) const LOR: RouterCard = RouterCard::new(
    "vidur-lor",
    "Vidur's `lor`: the fewest requests that wait for admission",
    |_| Box::new(VidurLor),
);

/// Name and summary of `vidur-random`.
pub(super) const RANDOM: RouterCard = RouterCard::new(
    "vidur-random",
    "Vidur's `random`, draw by draw",
    |context| Box::new(VidurRandom::new(context.seed)),
);

/// Vidur's `lor`, "least outstanding requests": it counts only requests that wait for admission, so most of the time all
/// replicas have 0 and the first gets the request.
#[derive(Debug)]
pub struct VidurLor;

impl Router for VidurLor {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        view.cheapest(|instance| instance.waiting())
    }
}

/// Vidur's `random`, with the same draws: Python's `random.randint(1, n) - 1`.
#[derive(Debug)]
pub struct VidurRandom(PythonRandom);

impl VidurRandom {
    /// The state after Python's `random.seed(seed)`.
    pub fn new(seed: u64) -> Self {
        Self(PythonRandom::new(seed))
    }
}

impl Router for VidurRandom {
    fn choose(&mut self, _: &InFlightRequest, view: &View<'_>) -> Option<u32> {
        let index = self.0.below(view.candidates.len() as u32);
        view.candidates.get(index as usize).copied()
    }
}

/// Words of the Mersenne Twister's state.
const WORDS: usize = 624;

/// The generator of Python's `random` module: MT19937 (Matsumoto and Nishimura 1998), seeded by `init_by_array`.
#[derive(Debug)]
struct PythonRandom {
    state: [u32; WORDS],
    next: usize,
}

impl PythonRandom {
    fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let key = if words[1] == 0 { &words[..1] } else { &words };
        let mut state = [0u32; WORDS];
        state[0] = 19_650_218;
        for index in 1..WORDS {
            let last = state[index - 1];
            state[index] = (last ^ (last >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(index as u32);
        }
        let mut place = 1;
        let mut mix = |multiplier: u32, add: u32| {
            let last = state[place - 1];
            state[place] ^= (last ^ (last >> 30)).wrapping_mul(multiplier);
            state[place] = state[place].wrapping_add(add);
            place += 1;
            if place == WORDS {
                state[0] = state[WORDS - 1];
                place = 1;
            }
            place as u32
        };
        let mut at = 1;
        for round in 0..WORDS {
            let word = round % key.len();
            at = mix(1_664_525, key[word].wrapping_add(word as u32));
        }
        for _ in 1..WORDS {
            at = mix(1_566_083_941, at.wrapping_neg());
        }
        state[0] = 0x8000_0000;
        Self { state, next: WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            for index in 0..WORDS {
                let high = self.state[index] & 0x8000_0000;
                let low = self.state[(index + 1) % WORDS] & 0x7fff_ffff;
                let mixed = high | low;
                let twist = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[index] = self.state[(index + 397) % WORDS] ^ (mixed >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A whole number below `count`, as `random._randbelow` draws it: as many bits as `count` has, again until it is below.
    fn below(&mut self, count: u32) -> u32 {
        let bits = u32::BITS - count.leading_zeros();
        loop {
            let drawn = self.word() >> (u32::BITS - bits);
            if drawn < count {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::router::vidur::*;

    #[test]
    fn draws_are_pythons() {
        let draws = |seed, count, most| -> Vec<u32> {
            let mut random = PythonRandom::new(seed);
            (0..most).map(|_| random.below(count) + 1).collect()
        };
        // random.seed(42); [random.randint(1, 4) for _ in range(12)]
        assert_eq!(draws(42, 4, 12), [1, 1, 3, 2, 2, 2, 1, 1, 4, 1, 1, 1]);
        // random.seed(2**40 + 7); [random.randint(1, 10) for _ in range(12)]
        assert_eq!(
            draws((1 << 40) + 7, 10, 12),
            [10, 10, 8, 5, 10, 3, 9, 7, 9, 6, 7, 8]
        );
    }
}
