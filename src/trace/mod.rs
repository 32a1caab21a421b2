//! Traces: requests in arrival order, with the content that decides what they share.

pub mod arrival;
pub mod format;
mod from_conversations;
mod generate;
pub mod inspect;
mod model;
mod nanos;
mod rate_shape;
mod replayer;

pub use from_conversations::{BuildReport, TakeOptions, build_trace};
pub use generate::{
    GenerateOptions, GenerateReport, Generator, Mode, Overlong, RateUnit, SessionTurns,
};
pub use model::{
    Content, ExtraKeys, Identity, NewRequest, Request, Service, Span, Trace, TraceBuilder,
    TraceMeta,
};
pub use nanos::Nanos;
pub use rate_shape::RateShape;
pub use replayer::{TokenReplay, Tokens};
