//! Servers on sockets of this machine, which answer as a test says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server sends back, and what it does then.
#[derive(Clone)]
pub enum Reply {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes again and again, until the client has enough.
    Endless(Vec<u8>),
    /// Nothing.
    Silence,
}

impl Reply {
    /// An HTTP answer with a body.
    pub fn http(status: &str, body: &str) -> Self {
        Self::Bytes(
            format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        )
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Self {
        Self::http(&format!("302 Found\r\nLocation: {to}"), "")
    }
}

/// A server that runs until the test process ends.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request by its text: head and body.
    pub fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, None)
    }

    /// The same with TLS, under a certificate for `localhost` and `127.0.0.1` of the authority in `tls/authority.pem`. Both are valid
    /// until 2126; `openssl req -x509` and `openssl x509 -req` made them, and the authority's key was thrown away.
    pub fn start_tls(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server-key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::with(answer, Some(Arc::new(config)))
    }

    fn with(
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen, tls) = (Arc::clone(&answer), Arc::clone(&seen), tls.clone());
                std::thread::spawn(move || match tls {
                    None => talk(stream, &*answer, &seen),
                    Some(config) => {
                        let session = rustls::ServerConnection::new(config).unwrap();
                        talk(rustls::StreamOwned::new(session, stream), &*answer, &seen);
                    }
                });
            }
        });
        Self { port, requests }
    }

    /// Texts of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Address with a scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

fn talk(mut stream: impl Read + Write, answer: &dyn Fn(&str) -> Reply, seen: &Mutex<Vec<String>>) {
    let Some(request) = request(&mut stream) else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    match answer(&request) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.flush();
        }
        Reply::Endless(bytes) => while stream.write_all(&bytes).is_ok() {},
        Reply::Silence => std::thread::sleep(Duration::from_secs(60)),
    }
}

/// Reads a head and the body of its stated length.
fn request(stream: &mut impl Read) -> Option<String> {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        text += &String::from_utf8_lossy(&part[..count]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let found = name.eq_ignore_ascii_case("content-length");
            found.then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// A Prometheus of a vLLM server that was idle: all counters exist, and none has increased. `other` may answer instead.
pub fn idle_prometheus(request: &str, other: impl Fn(&str) -> Option<&'static str>) -> Reply {
    let query = request.split(' ').nth(1).unwrap_or_default();
    let value = other(query).unwrap_or(match query {
        query if query.contains("time%28%29") || query.contains("time()") => "1000",
        query if query.contains("timestamp") => "995",
        _ => "0",
    });
    Reply::http(
        "200 OK",
        &format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1000,"{value}"]}}]}}}}"#
        ),
    )
}
