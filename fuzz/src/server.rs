//! Answers of Prometheus.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use kvreplay::autoscale::prometheus::{Http, Query, Sample, Source, VLLM};
use kvreplay::autoscale::web::WebOptions;

/// A server that sends the same bytes to everyone.
struct Server {
    address: String,
    answer: Arc<Mutex<Vec<u8>>>,
}

static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").ok()?;
    let address = format!("http://{}", listener.local_addr().ok()?);
    let answer = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = shared.lock().map(|bytes| bytes.clone()).unwrap_or_default();
            // A client that has gone away needs no answer.
            let _ = serve(stream, &answer);
        }
    });
    Some(Server { address, answer })
});

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let _ = stream.read(&mut request)?;
    stream.write_all(answer)
}

/// Answers every query with the values of the input in turn.
struct Readings<'a> {
    values: Mutex<std::iter::Cycle<std::slice::Iter<'a, f64>>>,
}

impl Query for Readings<'_> {
    fn instant(&self, _: &str, _: Option<f64>) -> Result<Vec<Sample>, String> {
        let value = self
            .values
            .lock()
            .ok()
            .and_then(|mut all| all.next().copied());
        Ok(value
            .map(|value| Sample {
                labels: BTreeMap::new(),
                value,
            })
            .into_iter()
            .collect())
    }
}

/// Sends the bytes as the answer of a server. Where the first byte is `r`, it is the body of a proper answer; where it is `v`,
/// the bytes behind it are readings, eight bytes each, that a source puts together.
pub fn prometheus(data: &[u8]) {
    let source = Source {
        names: VLLM,
        model: None,
        selector: None,
        prefill_selector: None,
        decode_selector: None,
        interval_sec: 60.0,
        stale_after_sec: 60.0,
        ready_prefill: Some("a".to_owned()),
        ready_decode: Some("b".to_owned()),
    };
    if let Some(bytes) = data.strip_prefix(b"v") {
        let values: Vec<f64> = bytes
            .chunks_exact(8)
            .filter_map(|chunk| chunk.try_into().ok().map(f64::from_le_bytes))
            .collect();
        if !values.is_empty() {
            let values = Mutex::new(values.iter().cycle());
            black_box(source.observe(&Readings { values }, [1, 1]));
        }
        return;
    }
    let Some(server) = &*SERVER else {
        return;
    };
    let bytes = match data.strip_prefix(b"r") {
        Some(body) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        }
        None => data.to_vec(),
    };
    if let Ok(mut answer) = server.answer.lock() {
        *answer = bytes;
    }
    let options = WebOptions {
        timeout: Duration::from_millis(500),
        ..WebOptions::default()
    };
    if let Ok(http) = Http::new(&server.address, &options) {
        black_box(http.instant("up", None).is_ok());
    }
}
