//! `--listen`: the latest decision, as JSON over HTTP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::error::{Error, Result};

/// The latest decision, as sent in responses.
#[derive(Debug, Clone)]
pub(super) struct Latest(Arc<Mutex<String>>);

/// Maximum time in which a client must send its request, which has few bytes.
const PATIENCE: Duration = Duration::from_secs(2);

impl Latest {
    /// Starts to answer every GET request at an address with the latest decision.
    pub(super) fn listen(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|problem| {
            Error::usage(
                format!("--listen {address}: {problem}"),
                "give a free ADDRESS:PORT, e.g. 127.0.0.1:9099",
            )
        })?;
        let latest = Self(Arc::new(Mutex::new("null".to_owned())));
        let shared = latest.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Clients are served one after the other: responses are short, and the timeout limits how long a client delays
                // the next.
                let _ = shared.answer(stream);
            }
        });
        Ok(latest)
    }

    /// Replaces the latest decision.
    pub(super) fn set(&self, text: &str) {
        text.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut head = [0; 4096];
        let mut length = 0;
        while length < head.len() && !head[..length].windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut head[length..])? {
                0 => break,
                count => length += count,
            }
        }
        let body = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (status, body) = if head.starts_with(b"GET ") {
            ("200 OK", body)
        } else {
            (
                "405 Method Not Allowed",
                "{\"error\":\"ask with GET\"}".to_owned(),
            )
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}
