//! The accepted ranges of quantities, by what they measure. Options and configuration keys of one kind have one range.
//!
//! Upper limits leave room for any cluster and trace that can be simulated, and keep sums and products within the numbers that
//! hold them. The clock counts nanoseconds in 64 bits and ends after 584 years.

use super::check::Range;

/// The last second of a trace: the clock ends soon after.
pub const CLOCK: Range = Range::of(0.0, 1.8e10);

/// Threads of this program.
pub const THREADS: Range = Range::of(1.0, 1024.0);

/// A duration in seconds: up to 31 years.
pub const SECONDS: Range = Range::of(0.0, 1e9);

/// A duration in seconds that is not 0, such as an objective.
pub const SOME_SECONDS: Range = Range::of(1e-9, 1e9);

/// A time between two decisions or measurements, in seconds.
pub const INTERVAL: Range = Range::of(1e-3, 1e9);

/// A time to wait for an answer, in seconds: up to a day.
pub const TIMEOUT: Range = Range::of(1e-3, 86_400.0);

/// Most intervals that a trace is divided into.
pub const INTERVALS: Range = Range::of(1.0, 1e6);

/// A duration in milliseconds.
pub const MILLISECONDS: Range = Range::of(0.0, 1e12);

/// A duration in microseconds.
pub const MICROSECONDS: Range = Range::of(0.0, 1e15);

/// Requests or sessions per second.
pub const RATE: Range = Range::of(1e-9, 1e9);

/// A coefficient of variation.
pub const VARIATION: Range = Range::of(0.001, 1000.0);

/// Values of a threshold of tokens.
pub const THRESHOLD: Range = Range::of(0.0, 100_000.0);

/// Instances of a load test.
pub const TEST_INSTANCES: Range = Range::of(2.0, 1000.0);

/// Requests for which a load test holds a rate.
pub const TEST_REQUESTS: Range = Range::of(1.0, 1e7);

/// Tokens per block.
pub const BLOCK_SIZE: Range = Range::of(1.0, 1_048_576.0);

/// Blocks of a cache. A block takes 20 bytes of memory here, so this is 1 GB.
pub const BLOCKS: Range = Range::of(1.0, 5e7);

/// Blocks of the caches of all instances together.
pub const ALL_BLOCKS: Range = Range::of(1.0, 1e8);

/// Tokens of a request or a step, if there must be one.
pub const TOKENS: Range = Range::of(1.0, 1e9);

/// Requests of a step.
pub const SEQUENCES: Range = Range::of(1.0, 1e6);

/// Instances of a pool or a fleet.
pub const INSTANCES: Range = Range::of(0.0, 10_000.0);

/// Instances added or removed at once, where there must be one.
pub const STEP: Range = Range::of(1.0, 10_000.0);

/// GPUs of an instance, or of one dimension of its parallelism.
pub const GPUS: Range = Range::of(1.0, 1024.0);

/// A fraction.
pub const FRACTION: Range = Range::of(0.0, 1.0);

/// A fraction that is not 0.
pub const SOME_FRACTION: Range = Range::above(0.0, 1.0);

/// A confidence level.
pub const CONFIDENCE: Range = Range::of(0.001, 0.999_999);

/// A percentile.
pub const PERCENTILE: Range = Range::of(0.0, 100.0);

/// A multiple of a rate.
pub const MULTIPLE: Range = Range::of(0.0, 1e6);

/// Resamples of a bootstrap.
pub const RESAMPLES: Range = Range::of(100.0, 1e6);

/// Points of a curve.
pub const POINTS: Range = Range::of(2.0, 10_000.0);

/// Points along one axis of a grid of measurements.
pub const GRID: Range = Range::of(1.0, 200.0);

/// Conversations or requests.
pub const COUNT: Range = Range::of(1.0, 1e9);

/// Turns of a conversation.
pub const TURNS: Range = Range::of(1.0, 10_000.0);

/// A weight or coefficient of either sign.
pub const WEIGHT: Range = Range::of(-1e9, 1e9);

/// A factor or target without a unit of its own.
pub const FACTOR: Range = Range::of(0.0, 1e12);

/// Seeds, decisions and other numbers that use all of 64 bits.
pub const ANY: Range = Range::of(0.0, 18_446_744_073_709_551_615.0);
