//! A simulated cluster that serves a trace: arrivals, routing, batches, KV transfers, and what each request met.
//!
//! Time is whole nanoseconds; events are ordered by (time, sequence number). Nothing is global, so that many simulations
//! run in one process, each on one thread.

mod kernel;
mod kv;
pub mod latency;
mod live;
pub mod replica;

pub use kernel::{EventQueue, Key};
pub use kv::Kv;
pub use live::{Live, LiveId, Lives, Work};
