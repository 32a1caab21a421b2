//! Options of HTTPS and of bearer tokens. Tokens come from files or from the environment, never from the command line, which other
//! users of the machine can read.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::autoscale::web::{Token, WebOptions};
use crate::base::error::{Error, Result};

/// How servers are trusted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live cluster")]
pub(super) struct TlsArgs {
    /// PEM file with the certificate authorities to trust [default: Mozilla's, which are built in]
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    ca_file: Option<PathBuf>,

    /// Accept any certificate of an https server: anybody on the way can then read the token and change the answers
    #[arg(long, requires = "prometheus", conflicts_with = "ca_file")]
    insecure_skip_verify: bool,
}

impl TlsArgs {
    /// Options of a client without timeout and token.
    pub(super) fn options(&self) -> WebOptions {
        WebOptions {
            ca_file: self.ca_file.clone(),
            skip_verify: self.insecure_skip_verify,
            ..WebOptions::default()
        }
    }
}

/// The token of a file, or else of an environment variable.
pub(super) fn token(file: Option<&Path>, variable: &str) -> Result<Option<Token>> {
    if let Some(path) = file {
        return Token::from_file(path).map(Some);
    }
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let token = value.to_str().and_then(Token::new);
    token.map(Some).ok_or_else(|| {
        Error::usage(
            format!("the environment variable {variable} is no bearer token, which is printable ASCII without spaces"),
            "set it to the token alone, or unset it",
        )
    })
}
