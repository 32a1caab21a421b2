//! Traces: requests in order of arrival, with the content that determines which prefixes they share.

pub mod arrival;
pub mod format;
mod from_conversations;
mod generate;
pub mod inspect;
mod model;
mod rate_shape;
mod replayer;
mod spool;

pub use crate::base::{Identity, Nanos};
pub use from_conversations::{BuildReport, TakeOptions, arrange_trace, build_trace};
pub use generate::{
    ArrangedTrace, GenerateOptions, GenerateReport, Generator, Mode, Overlong, RateUnit,
    SessionTurns,
};
pub use model::{
    Content, ExtraKeys, NewRequest, Request, Service, Span, Trace, TraceBuilder, TraceMeta,
};
pub use rate_shape::{LeftOut, RateShape};
pub use replayer::{TokenReplay, Tokens};
pub use spool::Spool;
