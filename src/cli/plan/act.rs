//! Carries out a decision through a command or a webhook.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::autoscale::planner::Decision;
use crate::base::limits;
use crate::cli::ranges::number;

/// How decisions are carried out. Nothing is scaled unless one of these is given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scaling a live cluster")]
pub(super) struct ActArgs {
    /// Shell command that scales; it gets REPLAY_PREFILL, REPLAY_DECODE and REPLAY_REASON, and the decision as JSON on its standard input
    #[arg(long, value_name = "CMD", requires = "prometheus")]
    scale_command: Option<String>,

    /// URL that the decision is posted to as JSON
    #[arg(long, value_name = "URL", requires = "prometheus")]
    scale_webhook: Option<String>,

    /// Timeout of scaling, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60.0,
        requires = "prometheus", value_parser = number::<f64>(limits::TIMEOUT))]
    scale_timeout: f64,
}

impl ActArgs {
    /// Whether a command or webhook for scaling is given.
    pub(super) fn is_asked(&self) -> bool {
        self.scale_command.is_some() || self.scale_webhook.is_some()
    }

    /// URL of the webhook; the caller validates it.
    pub(super) fn webhook(&self) -> Option<&str> {
        self.scale_webhook.as_deref()
    }

    /// Passes the decision to the command and to the webhook.
    pub(super) fn scale(&self, decision: &Decision) -> Result<(), String> {
        let text = serde_json::to_string(decision).map_err(|e| e.to_string())?;
        let timeout = Duration::from_secs_f64(self.scale_timeout);
        if let Some(command) = &self.scale_command {
            run(command, decision, &text, timeout)?;
        }
        if let Some(url) = &self.scale_webhook {
            post(url, &text, timeout)?;
        }
        Ok(())
    }
}

fn run(command: &str, decision: &Decision, text: &str, timeout: Duration) -> Result<(), String> {
    let fail = |problem: std::io::Error| format!("scale command: {problem}");
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("REPLAY_PREFILL", decision.prefill.to_string())
        .env("REPLAY_DECODE", decision.decode.to_string())
        .env("REPLAY_REASON", &decision.reason)
        .stdin(Stdio::piped())
        // Standard output is reserved for decisions.
        .stdout(Stdio::null())
        .spawn()
        .map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input is not an error.
        let _ = stdin.write_all(text.as_bytes());
    }
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            return if status.success() {
                Ok(())
            } else {
                Err(format!("scale command: {status}"))
            };
        }
        if start.elapsed() > timeout {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "scale command: not finished after {} s",
                timeout.as_secs_f64()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn post(url: &str, text: &str, timeout: Duration) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .build()
        .into();
    agent
        .post(url)
        .header("content-type", "application/json")
        .send(text)
        .map(drop)
        .map_err(|problem| format!("scale webhook: {problem}"))
}
