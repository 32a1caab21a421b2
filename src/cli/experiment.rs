//! placeholder
use clap::Args;
#[derive(Debug, Args)]
pub(super) struct ExperimentArgs {}
pub(super) fn run(_: &ExperimentArgs) -> anyhow::Result<()> {
    Ok(())
}
