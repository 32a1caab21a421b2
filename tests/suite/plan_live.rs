//! `replay plan --prometheus` against servers that answer well, badly, slowly, or not at all.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::text;
use crate::common::web::{Reply, Server, idle_prometheus};

/// 4 prefill and 5 decode instances, of which an idle interval takes one each.
const START: [&str; 4] = ["--prefill", "4", "--decode", "5"];

fn plan(url: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command
        .args(["plan", "--prometheus", url])
        .args(START)
        .args(more)
        .env_remove("REPLAY_PROMETHEUS_TOKEN")
        .env_remove("REPLAY_WEBHOOK_TOKEN");
    command
}

fn run(url: &str, more: &[&str]) -> Output {
    plan(url, more).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn decisions(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn idle() -> Server {
    Server::start(|request| idle_prometheus(request, |_| None))
}

/// An address without a server.
fn no_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn once_without_measurements_fails() {
    let answers: [(Reply, &str); 11] = [
        (
            Reply::http("200 OK", "<html>"),
            "the answer is not from Prometheus",
        ),
        (Reply::http("404 Not Found", "no"), "HTTP status 404"),
        (
            Reply::http("503 Service Unavailable", ""),
            "HTTP status 503",
        ),
        (
            Reply::http(
                "400 Bad Request",
                r#"{"status":"error","error":"bad query"}"#,
            ),
            "HTTP status 400: Prometheus refuses the query: bad query",
        ),
        (
            Reply::redirect("https://me:secret@login.example/?next=1"),
            "HTTP status 302, which redirects to https://...@login.example/",
        ),
        (
            Reply::http(
                "200 OK",
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            ),
            "Prometheus does not return the time",
        ),
        (Reply::Silence, "timeout"),
        (Reply::Bytes(Vec::new()), "does not answer"),
        (
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec()),
            "incomplete answer",
        ),
        (
            Reply::Bytes(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
            "does not answer",
        ),
        (
            Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".repeat(1000)),
            "incomplete answer",
        ),
    ];
    for (reply, told) in answers {
        let server = Server::start(move |_| reply.clone());
        fails(&server.url("http"), told);
    }
    fails(&no_server(), "does not answer");
    let readings: [(&str, &'static str, &str); 5] = [
        ("timestamp", "NaN", "no series vllm:request_success_total"),
        ("timestamp", "900", "is stale"),
        (
            "success_total",
            "-3",
            "is -3, expected a finite number of 0 or more",
        ),
        (
            "waiting",
            "+Inf",
            "is inf, expected a finite number of 0 or more",
        ),
        ("success_total", "x", "the answer is not from Prometheus"),
    ];
    for (part, value, told) in readings {
        let part = part.to_owned();
        let other = move |query: &str| query.contains(&part).then_some(value);
        let server = Server::start(move |request| idle_prometheus(request, &other));
        fails(&server.url("http"), told);
    }
}

/// Exit code 2, one line with the address and a remedy, and no decision.
#[track_caller]
fn fails(url: &str, told: &str) {
    let output = run(url, &["--once", "--timeout", "3"]);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}: {error}");
    assert!(error.contains(told), "{told}: {error}");
    assert!(error.starts_with(&format!("error: {url}: ")), "{error}");
    assert!(
        error.contains("; give the address of a Prometheus that scrapes the servers"),
        "{error}"
    );
    assert_eq!(
        (error.lines().count(), output.stdout.len()),
        (1, 0),
        "{error}"
    );
}

#[test]
fn without_once_it_waits_and_scales_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("scaled");
    let command = format!("touch {}", text(&mark));
    let url = no_server();
    let more = [
        "--ticks",
        "2",
        "--interval",
        "0.2",
        "--scale-command",
        &command,
    ];
    let output = run(&url, &more);
    assert!(output.status.success());
    let error = stderr(&output);
    let warning = format!("warning: {url}: Prometheus does not answer");
    assert_eq!(error.matches(&warning).count(), 2, "{error}");
    assert_eq!(
        error.matches("; the instances stay as they are").count(),
        2,
        "{error}"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert!(
        lines.starts_with("tick 0: prefill 4, decode 5: held: Prometheus does not answer"),
        "{lines}"
    );
    assert!(!mark.exists());
}

#[test]
fn a_line_for_people_and_json_for_programs() {
    let server = idle();
    let output = run(&server.url("http"), &["--once"]);
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.starts_with("tick 0: prefill 4 -> 3, decode 5 -> 4 (requests 0.0)"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    let found = decisions(&run(&server.url("http"), &["--once", "--json"])).remove(0);
    assert_eq!(
        (&found["tick"], &found["scaled"]),
        (&0.into(), &false.into())
    );
    assert_eq!(found["scaling_fault"], Value::Null);
    assert_eq!(
        (&found["decision"]["prefill"], &found["decision"]["decode"]),
        (&3.into(), &4.into())
    );
}

#[test]
fn only_success_of_the_post_counts_as_scaled() {
    let prometheus = idle();
    let other = Server::start(|_| Reply::http("200 OK", ""));
    let elsewhere = other.url("http");
    let cases: [(Reply, Option<&str>); 12] = [
        (Reply::http("200 OK", "done"), None),
        (Reply::http("202 Accepted", "{}"), None),
        (
            Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            None,
        ),
        (
            Reply::redirect(&elsewhere),
            Some("HTTP status 302, which redirects to"),
        ),
        (
            Reply::http(
                &format!("307 Temporary Redirect\r\nLocation: {elsewhere}"),
                "",
            ),
            Some("HTTP status 307"),
        ),
        (Reply::http("304 Not Modified", ""), Some("HTTP status 304")),
        (Reply::http("403 Forbidden", ""), Some("HTTP status 403")),
        (
            Reply::http("500 Internal Server Error", ""),
            Some("HTTP status 500"),
        ),
        (Reply::Silence, Some("timeout")),
        (Reply::Bytes(Vec::new()), Some("does not answer")),
        (
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
            Some("incomplete answer (HTTP status 200)"),
        ),
        (
            Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".repeat(1000)),
            Some("incomplete answer (HTTP status 200)"),
        ),
    ];
    for (reply, fault) in cases {
        let hook = Server::start(move |_| reply.clone());
        let url = format!("{}/scale?key=hidden", hook.url("http"));
        let more = [
            "--ticks",
            "2",
            "--interval",
            "0.2",
            "--json",
            "--scale-timeout",
            "3",
        ];
        let output = run(
            &prometheus.url("http"),
            &[&more[..], &["--scale-webhook", &url]].concat(),
        );
        let found = decisions(&output);
        let first = &found[0];
        assert_eq!(first["scaled"], fault.is_none(), "{first}");
        let decided: Vec<_> = found
            .iter()
            .map(|tick| tick["decision"]["prefill"].as_u64().unwrap())
            .collect();
        let error = stderr(&output);
        match fault {
            // The next interval starts from what was scaled.
            None => assert_eq!(decided, [3, 2], "{error}"),
            // And from what is still there.
            Some(fault) => {
                let told = first["scaling_fault"].as_str().unwrap();
                assert!(told.contains(fault) && !told.contains("hidden"), "{told}");
                assert!(
                    told.starts_with(&format!("scale webhook {}/scale: ", hook.url("http"))),
                    "{told}"
                );
                assert_eq!(decided, [3, 3], "{error}");
                assert!(
                    error.contains("warning: not scaled: scale webhook"),
                    "{error}"
                );
            }
        }
        let request = &hook.requests()[0];
        assert!(
            request.starts_with("POST /scale?key=hidden HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\"prefill\":3"), "{request}");
        assert_eq!(hook.requests().len(), 2);
    }
    assert!(other.requests().is_empty(), "redirects are not followed");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/common/tls")
        .join(name)
}

#[test]
fn certificates_are_checked() {
    let server = Server::start_tls(|request| idle_prometheus(request, |_| None));
    let url = server.url("https");
    let authority = fixture("authority.pem");
    let ok = run(&url, &["--once", "--json", "--ca-file", text(&authority)]);
    assert_eq!(decisions(&ok)[0]["decision"]["prefill"], 3);
    let any = run(&url, &["--once", "--json", "--insecure-skip-verify"]);
    assert_eq!(decisions(&any)[0]["decision"]["prefill"], 3);
    fails(&url, "certificate");
    // The right authority, but no certificate for this name.
    let url = format!("https://localhost.localdomain:{}", server.port);
    let wrong = run(&url, &["--once", "--ca-file", text(&authority)]);
    assert_eq!(wrong.status.code(), Some(2));
    let key = fixture("server-key.pem");
    for (file, told) in [
        (text(&key), "server-key.pem: holds no certificate"),
        ("/none.pem", "/none.pem"),
    ] {
        let output = run(&url, &["--once", "--ca-file", file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    // The webhook's certificate is checked by the same rules.
    let hook = Server::start_tls(|_| Reply::http("200 OK", ""));
    let hook_url = hook.url("https");
    let prometheus = idle().url("http");
    let more = ["--once", "--json", "--scale-webhook", &hook_url];
    let refused = decisions(&run(&prometheus, &more)).remove(0);
    assert!(
        refused["scaling_fault"]
            .as_str()
            .unwrap()
            .contains("certificate"),
        "{refused}"
    );
    let more = [&more[..], &["--ca-file", text(&authority)]].concat();
    assert_eq!(decisions(&run(&prometheus, &more))[0]["scaled"], true);
}

#[test]
fn tokens_come_from_files_or_the_environment_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let prometheus = idle();
    let hook = Server::start(|_| Reply::http("401 Unauthorized", "from-a-file"));
    let (url, hook_url) = (prometheus.url("http"), hook.url("http"));
    let output = plan(&url, &["--once", "--scale-webhook", &hook_url])
        .args(["--webhook-token-file", text(&file)])
        .env("REPLAY_PROMETHEUS_TOKEN", "from-the-environment")
        .output()
        .unwrap();
    assert!(output.status.success());
    let bearer = |server: &Server| -> Vec<String> {
        let heads = server.requests().join("\r\n");
        let mut found: Vec<_> = heads
            .lines()
            .filter_map(|line| line.strip_prefix("authorization: "))
            .map(str::to_owned)
            .collect();
        found.dedup();
        found
    };
    assert_eq!(bearer(&prometheus), ["Bearer from-the-environment"]);
    assert_eq!(bearer(&hook), ["Bearer from-a-file"]);
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        !shown.contains("from-a-file") && !shown.contains("from-the-environment"),
        "{shown}"
    );
    // A file counts more than the environment.
    let both = plan(&url, &["--once", "--prometheus-token-file", text(&file)])
        .env("REPLAY_PROMETHEUS_TOKEN", "from-the-environment")
        .output()
        .unwrap();
    assert!(both.status.success());
    assert_eq!(
        bearer(&prometheus),
        ["Bearer from-the-environment", "Bearer from-a-file"]
    );
    // What is no token, and what holds a password, is refused without being shown.
    std::fs::write(&file, "two words\nof-a-secret").unwrap();
    let refused = run(&url, &["--once", "--prometheus-token-file", text(&file)]);
    let error = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        error.contains("is no bearer token") && !error.contains("secret"),
        "{error}"
    );
    for (place, flag) in [
        (&["--once"][..], "--prometheus"),
        (
            &[
                "--once",
                "--scale-webhook",
                "http://me:secret@127.0.0.1:1/x",
            ],
            "--scale-webhook",
        ),
    ] {
        let url = if place.len() == 1 {
            "http://me:secret@127.0.0.1:1/x"
        } else {
            &url
        };
        let refused = run(url, place);
        let error = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2));
        let told = format!(
            "error: {flag} http://...@127.0.0.1:1/x: the address holds a user name or a password"
        );
        assert!(
            error.starts_with(&told) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn absurd_times_are_refused() {
    for (flag, value, told) in [
        (
            "--timeout",
            "1e300",
            "invalid value '1e300' for '--timeout <SECONDS>': expected a number, from 0.001 to 86400",
        ),
        (
            "--stale-after",
            "inf",
            "invalid value 'inf' for '--stale-after <SECONDS>'",
        ),
        (
            "--scale-timeout",
            "nan",
            "invalid value 'nan' for '--scale-timeout <SECONDS>'",
        ),
        (
            "--interval",
            "1e300",
            "invalid value '1e300' for '--interval <SECONDS>': expected a number, from 0.001 to 1000000000",
        ),
        (
            "--interval",
            "1e-300",
            "invalid value '1e-300' for '--interval <SECONDS>'",
        ),
    ] {
        let output = run("http://127.0.0.1:1", &["--once", flag, value]);
        let error = stderr(&output);
        assert_eq!(
            (output.status.code(), error.lines().count()),
            (Some(2), 1),
            "{error}"
        );
        assert!(error.contains(told), "{error}");
    }
}

/// Whether a process is running. A zombie, which has ended but has not been reaped, is not.
fn runs(process: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
    state.is_ok_and(|state| !state.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_scale_command_ends_with_the_program() {
    let prometheus = idle();
    for signal in ["INT", "TERM", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("processes");
        let command = format!("sleep 1000 & echo $$ $! > {}; sleep 1000", text(&file));
        let mut child = plan(&prometheus.url("http"), &["--scale-command", &command])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let written = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("the command starts", || written().ends_with('\n'));
        let processes = written();
        assert_eq!(processes.split_whitespace().count(), 2);
        assert!(processes.split_whitespace().all(runs));
        let kill = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        child.wait().unwrap();
        eventually(signal, || !processes.split_whitespace().any(runs));
    }
}

#[test]
fn a_scale_command_that_fails_is_told_with_its_output() {
    let prometheus = idle();
    let command = "echo prefill $REPLAY_PREFILL; printf 'bad\\033[31m\\n' >&2; exit 4";
    let output = run(
        &prometheus.url("http"),
        &["--once", "--json", "--scale-command", command],
    );
    let found = decisions(&output).remove(0);
    assert_eq!(
        (&found["scaled"], found["scaling_fault"].as_str()),
        (&false.into(), Some("scale command: exit status: 4"))
    );
    let error = stderr(&output);
    assert!(
        error.contains("scale command: prefill 3\nscale command: bad[31m\n"),
        "{error}"
    );
    assert!(
        error.contains("warning: not scaled: scale command: exit status: 4"),
        "{error}"
    );
}
