//! Requests over HTTP and HTTPS to one address: Prometheus, or a webhook. Every request is bounded in time and every answer in size.
//! Redirects are never followed, so that a token reaches no other server.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::base::error::{Error, Location, Result};

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub struct WebOptions {
    /// Longest time of a request, from the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// Bearer token, sent with every request.
    pub token: Option<Token>,
    /// PEM file with the certificate authorities to trust, in place of Mozilla's, which are built in.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub skip_verify: bool,
}

/// A bearer token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

/// Longest token, in bytes.
const LONGEST_TOKEN: u64 = 16 << 10;

impl Token {
    /// The token of a text, without white space around it; `None` if it is none.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = !text.is_empty() && text.len() as u64 <= LONGEST_TOKEN;
        (printable && fits).then(|| Self(text.to_owned()))
    }

    /// The token in a file.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no token.
    pub fn from_file(path: &Path) -> Result<Self> {
        let fail = |source| Error::read(path, source);
        let file = std::fs::File::open(path).map_err(fail)?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TOKEN + 2)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        let token = std::str::from_utf8(&bytes).ok().and_then(Self::new);
        token.ok_or_else(|| {
            Error::input(
                Location::file(path),
                "is no bearer token, which is one line of printable ASCII characters",
                "write the token alone into the file",
            )
        })
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Address to which a redirect leads, if the answer is one.
    pub location: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The status in words: `HTTP status 302, which redirects to URL`.
    pub fn status_text(&self) -> String {
        match &self.location {
            Some(location) => {
                format!("HTTP status {}, which redirects to {location}", self.status)
            }
            None => format!("HTTP status {}", self.status),
        }
    }
}

/// A server at one address.
#[derive(Debug, Clone)]
pub struct WebServer {
    agent: ureq::Agent,
    url: String,
    token: Option<Token>,
}

impl WebServer {
    /// The server at a URL; does not send a request. `parameter` is the name of the parameter that holds the URL.
    ///
    /// # Errors
    /// [`Error::Usage`] for a URL that is not one of HTTP or HTTPS, or that holds a user name or password;
    /// [`Error::Input`] for a file of certificates that is none.
    pub fn new(url: &str, parameter: &str, options: &WebOptions) -> Result<Self> {
        let refuse = |problem: &str, remedy: &'static str| {
            Error::usage(format!("`{parameter}` {}: {problem}", shown(url)), remedy)
        };
        let example = "give an address such as http://localhost:9090 or https://host.example";
        if credentials(url).is_some() {
            return Err(refuse(
                "the address holds a user name or a password",
                "leave them out, and give a bearer token in a file or an environment variable",
            ));
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| refuse("is not an address", example))?;
        let host = uri.host().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // `port_u16` is also `None` for a port beyond 65535.
        let wrong_port = authority.len() > host.len() && uri.port_u16().is_none();
        if wrong_port || url.contains('#') {
            return Err(refuse("has a port or a part that no address has", example));
        }
        if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
            return Err(refuse("is not an http or https address", example));
        }
        let roots = match &options.ca_file {
            Some(path) => RootCerts::from(authorities(path)?),
            None => RootCerts::WebPki,
        };
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .disable_verification(options.skip_verify)
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
            token: options.token.clone(),
        })
    }

    /// The address without what may be secret: user, password and query.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Whether a token goes over the network without encryption.
    pub fn shows_token(&self) -> bool {
        let uri: Option<Uri> = self.url.parse().ok();
        let local = |host: &str| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let address: Option<std::net::IpAddr> = host.parse().ok();
            host == "localhost" || address.is_some_and(|address| address.is_loopback())
        };
        self.token.is_some()
            && uri.is_some_and(|uri| {
                uri.scheme_str() == Some("http") && !uri.host().is_some_and(local)
            })
    }

    /// Sends a GET request to a path below the address; an answer longer than `longest` bytes is refused.
    ///
    /// # Errors
    /// A phrase that describes the problem: no connection, no complete answer in time, or an answer that is not HTTP.
    pub fn get(&self, path: &str, query: &[(&str, &str)], longest: u64) -> Result<Answer, String> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.query_pairs(query.iter().copied());
        let request = match &self.token {
            Some(Token(token)) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        complete(request.call(), longest)
    }

    /// Posts JSON to the address.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post_json(&self, text: &str, longest: u64) -> Result<Answer, String> {
        let request = self.agent.post(&self.url);
        let request = request.header("content-type", "application/json");
        let request = match &self.token {
            Some(Token(token)) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        complete(request.send(text), longest)
    }
}

/// Reads an answer to its end.
fn complete(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    longest: u64,
) -> Result<Answer, String> {
    let mut answer = answer.map_err(|problem| format!("does not answer: {problem}"))?;
    let status = answer.status();
    let location = answer.headers().get("location");
    let location = location.filter(|_| status.is_redirection());
    let location = location.map(|to| shown(&String::from_utf8_lossy(to.as_bytes())));
    let body = answer.body_mut().with_config().limit(longest);
    let body = body.read_to_vec().map_err(|problem| {
        let status = status.as_u16();
        format!("gives an incomplete answer (HTTP status {status}): {problem}")
    })?;
    Ok(Answer {
        status: status.as_u16(),
        location,
        body,
    })
}

/// The part of a URL before `@` in its authority.
fn credentials(url: &str) -> Option<&str> {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority
        .rsplit_once('@')
        .map(|(credentials, _)| credentials)
}

/// A URL without user, password and query.
fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    match credentials(url) {
        Some(secret) if !secret.is_empty() => {
            url[..end.max(url.find('@').unwrap_or(end))].replacen(&format!("{secret}@"), "...@", 1)
        }
        _ => url[..end].to_owned(),
    }
}

/// The certificates in a PEM file.
fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let refuse = |problem: &str| {
        Error::input(
            Location::file(path),
            problem.to_owned(),
            "give a PEM file with the certificates of the authorities to trust",
        )
    };
    let bytes = std::fs::read(path).map_err(|source| Error::read(path, source))?;
    let items: Result<Vec<_>, _> = parse_pem(&bytes).collect();
    let items = items.map_err(|_| refuse("is not a PEM file"))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(refuse("holds no certificate"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use crate::autoscale::web::*;

    #[test]
    fn secrets_are_not_shown() {
        for (url, expected) in [
            ("http://host:9090/a", "http://host:9090/a"),
            ("http://me:pass@host/a?key=1", "http://...@host/a"),
            ("https://tok@en@host", "https://...@host"),
            ("https://host/hook?token=abc#x", "https://host/hook"),
            ("http://host/a@b", "http://host/a@b"),
        ] {
            assert_eq!(shown(url), expected);
        }
        let token = Token::new(" secret\n").expect("a token");
        assert_eq!(format!("{token:?}"), "Token(...)");
        for none in ["", " \n", "two words", "k\u{e9}y", "a\nb"] {
            assert_eq!(Token::new(none), None, "{none:?}");
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        let refused = |url: &str| {
            let options = WebOptions::default();
            let error = WebServer::new(url, "prometheus", &options).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        for url in [
            "",
            "host:9090",
            "ftp://host",
            "http://",
            "http:// x",
            "http://host:99999",
            "http://host:",
            "http://host/#x",
        ] {
            assert!(refused(url).contains("give an address"), "{url}");
        }
        let found = refused("https://me:hidden@host/x");
        assert!(
            found.contains("user name or a password") && !found.contains("hidden"),
            "{found}"
        );
        for url in ["https://host/prefix/", "http://[::1]:9090", "http://[::1]"] {
            assert_eq!(refused(url), "");
        }
    }

    #[test]
    fn tokens_over_plain_http() {
        let shows = |url: &str| {
            let options = WebOptions {
                token: Token::new("t"),
                ..WebOptions::default()
            };
            WebServer::new(url, "prometheus", &options)
                .expect("an address")
                .shows_token()
        };
        assert!(shows("http://prometheus.example:9090"));
        for url in [
            "https://host",
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(!shows(url), "{url}");
        }
    }
}
