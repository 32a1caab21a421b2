//! Restores whole prompts, in order of arrival, from a trace that stores each token once.

use super::{Content, Trace};

/// The ids of one request, borrowed until the next call.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Index of the request in [`Trace::requests`].
    pub index: usize,
    /// Ids of the whole prompt.
    pub prompt: &'a [u32],
    /// Ids of the output; empty if unknown.
    pub output: &'a [u32],
}

/// Iterates over a trace in order of arrival and restores every whole prompt in a buffer per session.
///
/// Keeps one buffer per session with further requests, so its memory is linear in the number of distinct ids.
pub struct TokenReplay<'a> {
    trace: &'a Trace,
    streams: Vec<Vec<u32>>,
    remaining: Vec<u32>,
    next: usize,
}

impl<'a> TokenReplay<'a> {
    /// Starts at the first request.
    pub fn new(trace: &'a Trace) -> Self {
        let mut remaining = vec![0u32; trace.sessions().len()];
        for request in trace.requests() {
            remaining[request.session as usize] += 1;
        }
        Self {
            trace,
            streams: vec![Vec::new(); trace.sessions().len()],
            remaining,
            next: 0,
        }
    }

    /// The next request. Not an `Iterator`, because the result borrows a buffer.
    pub fn next_request(&mut self) -> Option<Tokens<'_>> {
        if let Some(before) = self.next.checked_sub(1) {
            let session = self.trace.requests()[before].session as usize;
            if self.remaining[session] == 0 {
                self.streams[session] = Vec::new();
            }
        }
        let index = self.next;
        let request = self.trace.requests().get(index)?;
        self.next += 1;
        let session = request.session as usize;
        self.remaining[session] -= 1;
        let stream = &mut self.streams[session];
        stream.truncate(request.shared as usize);
        stream.extend_from_slice(self.trace.ids(request.fresh));
        let prompt = stream.len();
        if self.trace.content() == Content::Tokens {
            stream.extend_from_slice(self.trace.ids(request.output));
        }
        let (prompt, output) = stream.split_at(prompt);
        Some(Tokens {
            index,
            prompt,
            output,
        })
    }
}
