//! Number of turns of a conversation and lengths of its messages: measured quantiles of ShareGPT.
//!
//! Source: the first 17,671 records of `ShareGPT_V3_unfiltered_cleaned_split.json`, their chunks joined to 9,460 chats
//! (9,440 of them with a user message), 61,422 user and 67,608 assistant messages; lengths in Unicode characters.
//!
//! A lognormal distribution does not fit: the log of user lengths has mean 4.59 and standard deviation 1.38 but a heavy
//! right tail (short questions, one in ten a pasted text), that of assistant lengths 6.85 and 1.10 with a heavy LEFT tail
//! (replies are truncated by the model's budget near 4,000 characters), and 30.7 % of chats have one turn. Therefore the
//! measured distribution is used: the inverse of the empirical distribution function, linear between the knots below. It
//! needs no logarithm, so it is the same on every platform.

use super::random::Stream;

/// Knots (cumulative probability, value) of an inverse distribution function.
pub(super) type Knots = [(f64, f64)];

/// Turns: exact fractions up to eight; the tail ends at 150 where the source has 300 (mean 6.40 instead of 6.50).
const TURNS: &Knots = &[
    (0.0, 0.0),
    (0.3073, 1.0),
    (0.4610, 2.0),
    (0.5635, 3.0),
    (0.6404, 4.0),
    (0.6987, 5.0),
    (0.7441, 6.0),
    (0.7799, 7.0),
    (0.8091, 8.0),
    (0.8493, 10.0),
    (0.8787, 12.0),
    (0.9007, 14.0),
    (0.9308, 18.0),
    (0.9513, 22.0),
    (0.9704, 30.0),
    (0.9810, 40.0),
    (0.9900, 56.0),
    (0.9952, 80.0),
    (0.9980, 110.0),
    (1.0, 150.0),
];

/// Characters of the first user message; ends at 24,000 where the source's longest has 108,524.
const FIRST_USER: &Knots = &[
    (0.0, 2.0),
    (0.01, 3.0),
    (0.025, 9.0),
    (0.05, 19.0),
    (0.10, 32.0),
    (0.20, 48.0),
    (0.30, 64.0),
    (0.40, 86.0),
    (0.50, 115.0),
    (0.60, 163.0),
    (0.70, 270.0),
    (0.80, 491.0),
    (0.85, 717.0),
    (0.90, 1_222.0),
    (0.925, 1_729.0),
    (0.95, 2_586.0),
    (0.975, 4_744.0),
    (0.99, 9_219.0),
    (0.995, 12_122.0),
    (0.999, 20_954.0),
    (1.0, 24_000.0),
];

/// Characters of later user messages; ends at 15,000 where the source's longest has 394,465.
const LATER_USER: &Knots = &[
    (0.0, 2.0),
    (0.01, 4.0),
    (0.025, 8.0),
    (0.05, 12.0),
    (0.10, 21.0),
    (0.20, 35.0),
    (0.30, 47.0),
    (0.40, 61.0),
    (0.50, 78.0),
    (0.60, 102.0),
    (0.70, 143.0),
    (0.80, 226.0),
    (0.85, 312.0),
    (0.90, 488.0),
    (0.925, 726.0),
    (0.95, 1_236.0),
    (0.975, 2_531.0),
    (0.99, 4_876.0),
    (0.995, 7_133.0),
    (0.999, 12_586.0),
    (1.0, 15_000.0),
];

/// Characters of assistant messages; ends at 5,000 where the source's longest has 82,687.
const ASSISTANT: &Knots = &[
    (0.0, 4.0),
    (0.01, 13.0),
    (0.025, 53.0),
    (0.05, 113.0),
    (0.10, 249.0),
    (0.20, 538.0),
    (0.30, 795.0),
    (0.40, 1_029.0),
    (0.50, 1_245.0),
    (0.60, 1_460.0),
    (0.70, 1_708.0),
    (0.80, 2_039.0),
    (0.85, 2_283.0),
    (0.90, 2_624.0),
    (0.925, 2_832.0),
    (0.95, 3_098.0),
    (0.975, 3_442.0),
    (0.99, 3_793.0),
    (0.995, 4_034.0),
    (0.999, 4_478.0),
    (1.0, 5_000.0),
];

/// Probability that a message's length follows its conversation's typical rank, set so that the log lengths of consecutive
/// assistant messages of a chat correlate about as in the source, at 0.59.
const HABIT: f64 = 0.85;

/// Largest deviation, in ranks, of a message that follows the typical rank.
const STRAY: f64 = 0.15;

/// The value of the inverse distribution function `knots` at `rank` in [0, 1].
pub(super) fn quantile(knots: &Knots, rank: f64) -> f64 {
    let mut before = (0.0, 0.0);
    for &(p, value) in knots {
        if rank <= p {
            let width = p - before.0;
            let part = if width > 0.0 {
                (rank - before.0) / width
            } else {
                1.0
            };
            return before.1 + (value - before.1) * part;
        }
        before = (p, value);
    }
    before.1
}

/// The lengths of one conversation.
pub(super) struct Lengths {
    /// Typical rank of this conversation's assistant messages.
    assistant_habit: f64,
    user_habit: f64,
}

impl Lengths {
    /// Draws the typical ranks of a conversation.
    pub(super) fn draw(stream: &mut Stream) -> Self {
        Self {
            assistant_habit: stream.unit(),
            user_habit: stream.unit(),
        }
    }

    /// Number of user messages, each with a reply; at least 1, at most `most`.
    pub(super) fn turns(stream: &mut Stream, most: usize) -> usize {
        // rounded up, so that P(turns <= k) is exactly the knot of k
        let turns = quantile(TURNS, stream.unit()).ceil() as usize;
        turns.clamp(1, most.max(1))
    }

    /// Characters of the user message of turn `turn`, from 0.
    pub(super) fn user(&self, stream: &mut Stream, turn: usize) -> usize {
        let rank = near(stream, self.user_habit);
        let knots = if turn == 0 { FIRST_USER } else { LATER_USER };
        quantile(knots, rank).round() as usize
    }

    /// Characters of an assistant message.
    pub(super) fn assistant(&self, stream: &mut Stream) -> usize {
        let rank = near(stream, self.assistant_habit);
        quantile(ASSISTANT, rank).round() as usize
    }
}

/// A rank that is uniform over all conversations but similar within one: near the typical rank, reflected at 0 and 1.
fn near(stream: &mut Stream, habit: f64) -> f64 {
    if !stream.chance(HABIT) {
        return stream.unit();
    }
    let rank = habit + (stream.unit() - 0.5) * 2.0 * STRAY;
    if rank < 0.0 {
        -rank
    } else if rank > 1.0 {
        2.0 - rank
    } else {
        rank
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::synth::lengths::*;

    #[test]
    fn quantiles_are_linear_between_knots_and_closed_outside() {
        let knots: &Knots = &[(0.0, 2.0), (0.5, 10.0), (1.0, 30.0)];
        // half of the way from 10 to 30
        assert_eq!(quantile(knots, 0.75), 20.0);
        assert_eq!(quantile(knots, 0.0), 2.0);
        assert_eq!(quantile(knots, 1.5), 30.0);
    }

    #[test]
    fn tables_rise() {
        for knots in [TURNS, FIRST_USER, LATER_USER, ASSISTANT] {
            assert!(
                knots
                    .windows(2)
                    .all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1)
            );
            assert_eq!(knots.last().map(|knot| knot.0), Some(1.0));
        }
    }

    #[test]
    fn habits_leave_ranks_uniform() {
        let mut stream = Stream::new(3, "t", 0);
        let mut tenths = [0u32; 10];
        for _ in 0..20_000 {
            let habit = stream.unit();
            tenths[(near(&mut stream, habit) * 10.0) as usize % 10] += 1;
        }
        // 2,000 each, standard deviation 42
        assert!(
            tenths.iter().all(|count| count.abs_diff(2_000) < 210),
            "{tenths:?}"
        );
    }

    #[test]
    fn the_share_of_single_turns_is_the_measured_one() {
        let mut stream = Stream::new(4, "t", 0);
        let single = (0..20_000)
            .filter(|_| Lengths::turns(&mut stream, 150) == 1)
            .count();
        // 0.3073 of 20,000 is 6,146, standard deviation 65
        assert!(single.abs_diff(6_146) < 330, "{single}");
    }
}
