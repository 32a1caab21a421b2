//! Traces: requests in arrival order, with the content that decides what they share.

pub mod format;
mod model;
mod nanos;
mod replayer;

pub use model::{
    Content, ExtraKeys, Identity, NewRequest, Request, Span, Trace, TraceBuilder, TraceMeta,
};
pub use nanos::Nanos;
pub use replayer::{TokenReplay, Tokens};
