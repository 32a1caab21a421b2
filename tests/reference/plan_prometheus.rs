//! `replay plan --prometheus` against a real Prometheus (Debian's package `prometheus`) that scrapes metrics made here.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::Need::Program;
use crate::harness::tests;
use serde_json::Value;

tests! {
    decisions_from_a_real_prometheus: [Program(PROGRAM)];
}

const PROGRAM: &str = "prometheus";

/// Seconds of the planner's interval.
const INTERVAL: &str = "4";

/// Requests a second of the busy servers.
const RATE: f64 = 2.0;

/// What all servers show, each under its own path.
struct Servers {
    start: Instant,
    /// The server at /down answers no more.
    down: AtomicBool,
    /// The server at /reset has started anew.
    reset: AtomicBool,
}

impl Servers {
    fn start() -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let servers = Arc::new(Self {
            start: Instant::now(),
            down: AtomicBool::new(false),
            reset: AtomicBool::new(false),
        });
        let shared = Arc::clone(&servers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let servers = Arc::clone(&shared);
                std::thread::spawn(move || servers.answer(stream));
            }
        });
        (servers, port)
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        // Prometheus keeps its connections.
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            loop {
                line.clear();
                if !reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    break;
                }
            }
            line.clear();
            let (status, body) = match self.metrics(path.trim_start_matches('/')) {
                Some(body) => ("200 OK", body),
                None => ("503 Service Unavailable", String::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if stream
                .write_all(format!("{head}{body}").as_bytes())
                .is_err()
            {
                break;
            }
        }
    }

    fn metrics(&self, server: &str) -> Option<String> {
        // Counters rise from the beginning on, by parts of a request.
        let served = 1000.0 + RATE * self.start.elapsed().as_secs_f64();
        match server {
            "busy" => Some(vllm(served, "inter_token_latency_seconds", 0.15, "")),
            "idle" => Some(vllm(1000.0, "inter_token_latency_seconds", 0.15, "")),
            "old" => Some(vllm(served, "time_per_output_token_seconds", 0.15, "")),
            "nan" => Some(vllm(served, "inter_token_latency_seconds", f64::NAN, "")),
            "late" => Some(vllm(served, "inter_token_latency_seconds", 31.0, "")),
            "down" if self.down.load(Ordering::Relaxed) => None,
            "down" => Some(vllm(served, "inter_token_latency_seconds", 0.15, "")),
            "reset" if self.reset.load(Ordering::Relaxed) => {
                let anew = served - 1000.0;
                Some(vllm(anew, "inter_token_latency_seconds", 0.15, ""))
            }
            "reset" => Some(vllm(served, "inter_token_latency_seconds", 0.15, "")),
            "stale" => {
                // The exporter goes on, but tells samples of a minute ago.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let then = format!(" {}", now.as_millis() - 60_000);
                Some(vllm(served, "inter_token_latency_seconds", 0.15, &then))
            }
            "dynamo" => Some(dynamo(served)),
            _ => None,
        }
    }
}

fn histogram(name: &str, labels: &str, count: f64, mean: f64, time: &str) -> String {
    let sum = count * mean;
    let sum = if sum.is_nan() {
        "NaN".to_owned()
    } else {
        sum.to_string()
    };
    format!("{name}_sum{{{labels}}} {sum}{time}\n{name}_count{{{labels}}} {count}{time}\n")
}

/// A vLLM server's metrics: prompts of 1000 tokens, outputs of 120, 10 ms between tokens, half of the prompts cached.
fn vllm(served: f64, itl: &str, ttft: f64, time: &str) -> String {
    let labels = "model_name=\"m\"";
    let mut out = format!(
        "vllm:request_success_total{{{labels},finished_reason=\"stop\"}} {}{time}\nvllm:request_success_total{{{labels},finished_reason=\"length\"}} {}{time}\n",
        0.75 * served,
        0.25 * served
    );
    for (name, count, mean) in [
        ("time_to_first_token_seconds", served, ttft),
        (itl, 119.0 * served, 0.01),
        ("request_prompt_tokens", served, 1000.0),
        ("request_generation_tokens", served, 120.0),
        ("e2e_request_latency_seconds", served, 1.5),
    ] {
        out += &histogram(&format!("vllm:{name}"), labels, count, mean, time);
    }
    for (name, value) in [
        ("prefix_cache_queries_total", 1000.0 * served),
        ("prefix_cache_hits_total", 500.0 * served),
        ("num_requests_running", 3.0),
        ("num_requests_waiting", 0.0),
    ] {
        out += &format!("vllm:{name}{{{labels}}} {value}{time}\n");
    }
    out
}

/// A Dynamo frontend's: a third more requests arrive than are completed.
fn dynamo(served: f64) -> String {
    let labels = "model=\"org/m\"";
    let mut out = format!(
        "dynamo_frontend_requests_total{{{labels}}} {served}\ndynamo_frontend_requests_started_total{{{labels}}} {}\n",
        1.5 * served
    );
    for (name, count, mean) in [
        ("time_to_first_token_seconds", served, 0.15),
        ("inter_token_latency_seconds", 119.0 * served, 0.01),
        ("input_sequence_tokens", served, 1000.0),
        ("output_sequence_tokens", served, 120.0),
        ("request_duration_seconds", served, 1.5),
    ] {
        out += &histogram(&format!("dynamo_frontend_{name}"), labels, count, mean, "");
    }
    out
}

const JOBS: [&str; 9] = [
    "busy", "idle", "old", "nan", "late", "down", "reset", "stale", "dynamo",
];

/// A Prometheus that scrapes them four times a second; ended when dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    fn start(folder: &Path, servers: u16) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config =
            "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n"
                .to_owned();
        for job in JOBS {
            config += &format!(
                "  - job_name: {job}\n    metrics_path: /{job}\n    static_configs:\n      - targets: ['127.0.0.1:{servers}']\n"
            );
        }
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !get(&address, "/-/ready").is_some_and(|answer| answer.contains("200 OK")) {
            assert!(Instant::now() < deadline, "{PROGRAM} does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        // It begins to scrape some seconds later. A whole interval of samples must be there.
        let query = "/api/v1/query?query=min(count_over_time(up%5B4s%5D))";
        while !get(&address, query).is_some_and(|answer| {
            let value = answer.rsplit(",\"").next().unwrap_or("");
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().is_ok_and(|samples| samples >= 15)
        }) {
            assert!(Instant::now() < deadline, "{PROGRAM} does not scrape");
            std::thread::sleep(Duration::from_millis(100));
        }
        // And a sample at its beginning.
        std::thread::sleep(Duration::from_millis(700));
        Self { child, address }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Flags that all runs share: 4 prefill and 5 decode instances are there, and the model is not corrected.
fn flags(address: &str) -> Vec<String> {
    let url = format!("http://{address}");
    [
        "plan",
        "--json",
        "--prometheus",
        &url,
        "--interval",
        INTERVAL,
        "--stale-after",
        "2",
    ]
    .into_iter()
    .chain([
        "--prefill",
        "4",
        "--decode",
        "5",
        "--set",
        "enable_correction=false",
    ])
    .map(str::to_owned)
    .collect()
}

fn run(address: &str, more: &[&str]) -> Vec<Value> {
    let flags = flags(address);
    let args: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    let text = crate::common::stdout(&args);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn once(address: &str, job: &str, more: &[&str]) -> Value {
    let selector = format!("job=\"{job}\"");
    // Without measurements, --once fails; one tick is printed in any case.
    let mut args = vec!["--ticks", "1", "--selector", &selector];
    args.extend(more);
    let mut lines = run(address, &args);
    assert_eq!(lines.len(), 1);
    lines.remove(0)["decision"].take()
}

#[track_caller]
fn near(value: &Value, expected: f64, part: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!(
        (value - expected).abs() <= part * expected,
        "{value}, expected {expected}"
    );
}

#[track_caller]
fn held(decision: &Value, told: &str) {
    assert_eq!(decision["held"], true, "{decision}");
    assert_eq!(
        (&decision["prefill"], &decision["decode"]),
        (&4.into(), &5.into())
    );
    let reason = decision["reason"].as_str().unwrap();
    assert!(reason.contains(told), "{reason}");
}

#[track_caller]
fn measured(decision: &Value) {
    assert_eq!(decision["held"], false, "{decision}");
    let seen = &decision["observed"];
    near(&seen["num_req"], 4.0 * RATE, 0.15);
    near(&seen["isl"], 1000.0, 0.001);
    near(&seen["osl"], 120.0, 0.001);
    near(&seen["ttft_ms"], 150.0, 0.001);
    near(&seen["itl_ms"], 10.0, 0.001);
    near(&seen["request_duration_sec"], 1.5, 0.001);
}

fn decisions_from_a_real_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, port) = Servers::start();
    let prometheus = Prometheus::start(folder.path(), port);
    let at = prometheus.address.as_str();

    // 2 requests a second of 1000 tokens: 2000 over 4 x 200 / 1.1 = 727 make 3; 240 tokens/s over 100 make 3.
    let busy = once(at, "busy", &["--variant", "dynamo"]);
    measured(&busy);
    assert_eq!(
        (&busy["raw_prefill"], &busy["raw_decode"]),
        (&3.into(), &3.into())
    );
    assert_eq!((&busy["prefill"], &busy["decode"]), (&3.into(), &3.into()));
    near(&busy["observed"]["cache_hit_ratio"], 0.5, 0.001);
    near(&busy["observed"]["arrivals"], 4.0 * RATE, 0.15);
    // Half of each prompt is in the cache: half the work, and one instance less at a time.
    let ours = once(at, "busy", &["--model", "m", "--ttft-slo", "5s"]);
    assert_eq!(
        (&ours["prefill"], &ours["decode"]),
        (&3.into(), &4.into()),
        "{ours}"
    );

    measured(&once(at, "old", &[]));
    let dynamo = once(
        at,
        "dynamo",
        &[
            "--metrics",
            "dynamo",
            "--model",
            "Org/M",
            "--variant",
            "replay",
        ],
    );
    measured(&dynamo);
    near(&dynamo["observed"]["arrivals"], 6.0 * RATE, 0.15);
    near(&dynamo["predicted"]["num_req"], 6.0 * RATE, 0.15);

    let idle = once(at, "idle", &[]);
    assert_eq!(
        (&idle["held"], &idle["observed"]["num_req"]),
        (&false.into(), &0.0.into())
    );
    assert_eq!(
        (&idle["prefill"], &idle["decode"]),
        (&3.into(), &4.into()),
        "{idle}"
    );

    held(&once(at, "nan", &[]), "TTFT is unknown");
    held(&once(at, "stale", &[]), "stale");
    held(&once(at, "nobody", &[]), "no series");
    held(
        &once(at, "busy", &["--model", "other"]),
        "existing values of model_name: m",
    );
    held(
        &once(at, "busy", &["--ready-decode", "count(up{job=\"none\"})"]),
        "returns no number",
    );
    held(&once(at, "busy", &["--metrics", "dynamo"]), "no series");
    let one = once(
        at,
        "busy",
        &["--ready-prefill", "count(up{job=\"busy\"} == 1)"],
    );
    assert_eq!(one["observed"]["ready_prefill"], 1);
    let window = once(at, "busy", &["--set", "adjustment_interval_sec=0.1"]);
    held(&window, "fewer than two samples");

    servers.down.store(true, Ordering::Relaxed);
    servers.reset.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(1200));
    held(&once(at, "down", &[]), "no series");
    held(&once(at, "reset", &[]), "restarted");

    scaling(at, folder.path());
    listening(at);
    nobody_answers();
}

/// Commands are run where something changes, and only then.
fn scaling(at: &str, folder: &Path) {
    let log = folder.join("scaled");
    let command = format!(
        "(echo \"$REPLAY_PREFILL $REPLAY_DECODE\"; cat) >> '{}'",
        log.display()
    );
    let late = ["--selector", "job=\"late\"", "--scale-command", &command];
    // TTFT is 31 s: more prefill instances.
    let lines = run(at, &[&late[..], &["--once"]].concat());
    assert_eq!(lines[0]["scaled"], true, "{}", lines[0]);
    let text = std::fs::read_to_string(&log).unwrap();
    let (first, json) = text.split_once('\n').unwrap();
    let decision: Value = serde_json::from_str(json).unwrap();
    assert_eq!(
        first,
        format!("{} {}", decision["prefill"], decision["decode"])
    );
    assert!(decision["prefill"].as_u64().unwrap() > 4);
    let dry = [&late[..], &["--once", "--set", "no_operation=true"]].concat();
    assert_eq!(run(at, &dry)[0]["scaled"], false);
    let held = [
        "--selector",
        "job=\"nan\"",
        "--scale-command",
        &command,
        "--once",
    ];
    assert_eq!(run(at, &held)[0]["scaled"], false);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), text);
    let fails = [
        "--selector",
        "job=\"late\"",
        "--scale-command",
        "exit 3",
        "--once",
    ];
    let line = &run(at, &fails)[0];
    assert!(
        line["scaling_fault"]
            .as_str()
            .unwrap()
            .contains("exit status: 3")
    );
}

/// The latest decision is answered over HTTP, tick by tick.
fn listening(at: &str) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(flags(at))
        .args([
            "--selector",
            "job=\"busy\"",
            "--ticks",
            "2",
            "--listen",
            &address,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["tick"], 0);
    std::thread::sleep(Duration::from_millis(100));
    let answer = get(&address, "/").unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), first);
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(second["tick"], 1);
    assert!(child.wait().unwrap().success());
}

/// No server, and one that takes the question and never answers.
fn nobody_answers() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    held(&once(&closed.to_string(), "busy", &[]), "does not answer");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    held(&once(&at, "busy", &["--timeout", "0.5"]), "timeout");
    assert!(start.elapsed() < Duration::from_secs(5));
    // A server that is no Prometheus.
    let (_, port) = Servers::start();
    held(&once(&format!("127.0.0.1:{port}"), "busy", &[]), "503");
}
