//! `--listen`: the latest decision, as JSON over HTTP.
//!
//! One thread accepts connections, and another serves all of them without blocking on any. A client that is slow, silent or sends
//! without end takes up one of a bounded number of connections until its time limit, and delays no other client.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};

/// The latest decision, as sent in responses.
#[derive(Debug, Clone)]
pub(super) struct Latest(Arc<Mutex<String>>);

/// Time that a client has from its connection to the last byte of its response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after the response in which the rest of an oversized request is read and dropped. A connection that is closed with unread
/// bytes is reset, and the client may lose the response.
const LINGER: Duration = Duration::from_secs(1);

/// Most connections at once; one more takes the place of the oldest.
const PLACES: usize = 256;

/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 8 << 10;

/// Time between two looks at connections on which nothing happens.
const PAUSE: Duration = Duration::from_millis(5);

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
        let (sender, receiver) = sync_channel(PLACES);
        std::thread::spawn(move || accept(&listener, &sender));
        std::thread::spawn(move || serve(&receiver, &shared));
        Ok(latest)
    }

    /// Replaces the latest decision.
    pub(super) fn set(&self, text: &str) {
        text.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn get(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn accept(listener: &TcpListener, sender: &SyncSender<TcpStream>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                if stream.set_nonblocking(true).is_ok() && sender.send(stream).is_err() {
                    return;
                }
            }
            // No file descriptor is left, for example: connections that end give some back.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn serve(receiver: &Receiver<TcpStream>, latest: &Latest) {
    // In order of arrival.
    let mut clients: Vec<Client> = Vec::new();
    loop {
        if clients.is_empty() {
            match receiver.recv() {
                Ok(stream) => clients.push(Client::new(stream)),
                Err(_) => return,
            }
        }
        loop {
            match receiver.try_recv() {
                Ok(stream) => {
                    if clients.len() == PLACES {
                        clients.remove(0);
                    }
                    clients.push(Client::new(stream));
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let before = clients.len();
        let now = Instant::now();
        clients.retain_mut(|client| now < client.until && client.goes_on(latest));
        if clients.len() == before {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A connection.
struct Client {
    stream: TcpStream,
    until: Instant,
    state: State,
}

enum State {
    /// The head of the request as far as it is there.
    Reads(Vec<u8>),
    /// The response, and how much of it was sent.
    Writes(Vec<u8>, usize),
    /// The response is sent, and what still comes is dropped.
    Lingers,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            until: Instant::now() + PATIENCE,
            state: State::Reads(Vec::new()),
        }
    }

    /// Reads and writes what is possible without waiting; returns whether the connection stays open.
    fn goes_on(&mut self, latest: &Latest) -> bool {
        if let State::Reads(head) = &mut self.state {
            match read_head(&mut self.stream, head) {
                Progress::Waits => return true,
                Progress::Broken => return false,
                Progress::Done => {
                    self.state = State::Writes(response(head, latest), 0);
                }
            }
        }
        if let State::Writes(response, sent) = &mut self.state {
            while *sent < response.len() {
                match self.stream.write(&response[*sent..]) {
                    Ok(0) => return false,
                    Ok(count) => *sent += count,
                    Err(problem) if waits(&problem) => return true,
                    Err(_) => return false,
                }
            }
            if self.stream.shutdown(Shutdown::Write).is_err() {
                return false;
            }
            self.until = self.until.min(Instant::now() + LINGER);
            self.state = State::Lingers;
        }
        // At most 64 KiB at a time: other clients wait meanwhile.
        let mut dropped = [0; 4096];
        for _ in 0..16 {
            match self.stream.read(&mut dropped) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(problem) => return waits(&problem),
            }
        }
        true
    }
}

fn waits(problem: &std::io::Error) -> bool {
    matches!(
        problem.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}

enum Progress {
    Waits,
    Done,
    Broken,
}

/// Reads the head of a request, up to its empty line, the end of the connection or the longest head.
fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> Progress {
    let mut part = [0; 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) if head.is_empty() => return Progress::Broken,
            Ok(0) => return Progress::Done,
            Ok(count) => {
                // The empty line may begin in the part before.
                let from = head.len().saturating_sub(3);
                head.extend_from_slice(&part[..count]);
                if is_complete(&head[from..]) || head.len() > LONGEST_HEAD {
                    return Progress::Done;
                }
            }
            Err(problem) if waits(&problem) => return Progress::Waits,
            Err(_) => return Progress::Broken,
        }
    }
}

fn is_complete(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}

fn response(head: &[u8], latest: &Latest) -> Vec<u8> {
    let refuse =
        |status: &'static str, problem: &str| (status, format!("{{\"error\":\"{problem}\"}}"));
    let (status, body) = if !is_complete(head) && head.len() > LONGEST_HEAD {
        refuse(
            "431 Request Header Fields Too Large",
            "the request is too long",
        )
    } else if !is_complete(head) {
        refuse("400 Bad Request", "the request is incomplete")
    } else if head.starts_with(b"GET ") {
        ("200 OK", latest.get())
    } else {
        refuse("405 Method Not Allowed", "ask with GET")
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::cli::plan::serve::*;

    fn listen() -> (Latest, String) {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = free.to_string();
        let latest = Latest::listen(&address).unwrap();
        latest.set("{\"tick\":7}");
        (latest, address)
    }

    fn ask(address: &str, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// The latest decision, and the time that it took.
    fn served(address: &str) -> Duration {
        let start = Instant::now();
        let answer = ask(address, GET);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"tick\":7}"), "{answer}");
        start.elapsed()
    }

    #[test]
    fn requests_are_answered_by_what_they_are() {
        let (_, address) = listen();
        served(&address);
        for (request, status) in [
            (
                &b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789"[..],
                "405",
            ),
            (b"\x00\x01\x02\r\n\r\n", "405"),
        ] {
            let answer = ask(&address, request);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        long.resize(100_000, b'a');
        let answer = ask(&address, &long);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        let mut half = TcpStream::connect(&address).unwrap();
        half.write_all(b"GET / HT").unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    #[test]
    fn no_client_delays_another() {
        let (_, address) = listen();
        // A byte from time to time, nothing at all, and a head without end.
        let mut slow = TcpStream::connect(&address).unwrap();
        slow.write_all(b"G").unwrap();
        let silent = TcpStream::connect(&address).unwrap();
        let endless = TcpStream::connect(&address).unwrap();
        let mut writer = endless.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            let part = vec![b'a'; 1 << 16];
            let mut sent = 0_u64;
            while sent < 1 << 30 && writer.write_all(&part).is_ok() {
                sent += part.len() as u64;
            }
            sent
        });
        for _ in 0..5 {
            assert!(served(&address) < PATIENCE / 2);
            slow.write_all(b"E").unwrap();
        }
        drop(silent);
        // The endless head is cut off.
        assert!(writing.join().unwrap() < 1 << 30);
    }

    #[test]
    fn more_connections_than_places() {
        let (_, address) = listen();
        let idle: Vec<_> = (0..2 * PLACES)
            .map(|_| TcpStream::connect(&address).unwrap())
            .collect();
        assert!(served(&address) < PATIENCE / 2);
        // The oldest had to go, and the newest are there.
        let mut first = &idle[0];
        first
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0);
        let mut last = &idle[idle.len() - 1];
        last.write_all(GET).unwrap();
        let mut answer = String::new();
        last.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("{\"tick\":7}"), "{answer}");
    }

    #[test]
    fn a_silent_client_is_let_go() {
        let (_, address) = listen();
        let mut silent = TcpStream::connect(&address).unwrap();
        silent.set_read_timeout(Some(3 * PATIENCE)).unwrap();
        let start = Instant::now();
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
        assert!(start.elapsed() >= PATIENCE - Duration::from_millis(100));
    }
}
