//! placeholder
use clap::Args;
#[derive(Debug, Args)]
pub(super) struct SynthDatasetArgs {}
pub(super) fn run(_: &SynthDatasetArgs) -> anyhow::Result<()> {
    Ok(())
}
