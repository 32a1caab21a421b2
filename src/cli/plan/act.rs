//! Carries out a decision through a command or a webhook.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::command;
use super::web_args::{TlsArgs, token};
use crate::autoscale::planner::Decision;
use crate::autoscale::web::{WebOptions, WebServer};
use crate::base::error::Result;
use crate::base::limits;
use crate::cli::output;
use crate::cli::ranges::number;

/// How decisions are carried out. Nothing is scaled unless one of these is given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scaling a live cluster")]
pub(super) struct ActArgs {
    /// Shell command that scales; it gets REPLAY_PREFILL, REPLAY_DECODE and REPLAY_REASON, and the decision as JSON on its standard input
    #[arg(long, value_name = "CMD", requires = "prometheus")]
    scale_command: Option<String>,

    /// URL that the decision is posted to as JSON; only an answer of 200 to 299 counts as scaled
    #[arg(long, value_name = "URL", requires = "prometheus")]
    scale_webhook: Option<String>,

    /// File with the webhook's bearer token [default: the environment variable REPLAY_WEBHOOK_TOKEN]
    #[arg(long, value_name = "FILE", requires = "scale_webhook")]
    webhook_token_file: Option<PathBuf>,

    /// Timeout of scaling, in seconds; a command is then ended with all its processes
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60.0,
        requires = "prometheus", value_parser = number::<f64>(limits::TIMEOUT))]
    scale_timeout: f64,
}

/// Longest answer of a webhook, in bytes.
const LONGEST: u64 = 1 << 20;

/// What carries out decisions.
pub(super) struct Scaler<'a> {
    command: Option<&'a str>,
    webhook: Option<WebServer>,
    timeout: Duration,
}

impl ActArgs {
    /// The command and the webhook; `None` if neither is given.
    pub(super) fn scaler(&self, tls: &TlsArgs) -> Result<Option<Scaler<'_>>> {
        let timeout = Duration::from_secs_f64(self.scale_timeout);
        let open = |url: &String| {
            let options = WebOptions {
                timeout,
                token: token(self.webhook_token_file.as_deref(), "REPLAY_WEBHOOK_TOKEN")?,
                ..tls.options()
            };
            WebServer::new(url, "scale_webhook", &options)
        };
        let webhook = self.scale_webhook.as_ref().map(open).transpose()?;
        let command = self.scale_command.as_deref();
        Ok((command.is_some() || webhook.is_some()).then_some(Scaler {
            command,
            webhook,
            timeout,
        }))
    }
}

impl Scaler<'_> {
    /// The webhook.
    pub(super) fn webhook(&self) -> Option<&WebServer> {
        self.webhook.as_ref()
    }

    /// Passes the decision to the command, and then to the webhook.
    ///
    /// # Errors
    /// A phrase that describes why the cluster may not have been scaled.
    pub(super) fn scale(&self, decision: &Decision) -> Result<(), String> {
        let text = serde_json::to_string(decision).map_err(|e| e.to_string())?;
        if let Some(command) = self.command {
            let finished = command::run(command, decision, &text, self.timeout)
                .map_err(|problem| format!("scale command: {problem}"))?;
            for line in finished.output.lines() {
                output::note(&format!("scale command: {}", printable(line)));
            }
            finished
                .outcome
                .map_err(|problem| format!("scale command: {problem}"))?;
        }
        if let Some(webhook) = &self.webhook {
            let fail = |problem: String| format!("scale webhook {}: {problem}", webhook.shown());
            let answer = webhook.post_json(&text, LONGEST).map_err(fail)?;
            if !answer.is_success() {
                return Err(fail(answer.status_text()));
            }
        }
        Ok(())
    }
}

/// A line without control characters, which could act on the terminal.
fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}
