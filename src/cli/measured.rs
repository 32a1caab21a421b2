//! Output about the profile that was measured because the policy `sla` has none in the configuration.

use std::path::Path;

use super::output;
use crate::base::error::Result;
use crate::scenario::Scenario;

/// Prints a note on standard error that a profile was measured.
pub(super) fn tell(scenario: &Scenario) {
    if scenario.measured_profile().is_some() {
        output::note(&format!(
            "{}: policy `sla` has no autoscaling.sla.profile_data_dir; measured a profile of the cluster's own instances, as \
             `replay profile` does",
            scenario.config().name
        ));
    }
}

/// Writes the profile into the folder `profile` of a run.
pub(super) fn write(scenario: &Scenario, folder: &Path) -> Result<()> {
    match scenario.measured_profile() {
        Some(measured) => measured.write(&folder.join("profile")),
        None => Ok(()),
    }
}
