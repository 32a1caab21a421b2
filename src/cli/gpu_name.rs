//! Look-up of GPUs by name or by the beginning of a name.

use super::output;
use crate::base::error::{Error, Result};

/// Returns the element of `known` that `given` names, regardless of case, as a full name or as a beginning. If several GPUs
/// with that beginning differ only in memory, the first of them is used, with a note.
///
/// # Errors
/// A name that matches no GPU, or GPUs of several kinds.
pub(super) fn resolve<'a>(given: &str, known: &[&'a str]) -> Result<&'a str> {
    let wanted = given.to_lowercase();
    if let Some(exact) = known.iter().find(|name| **name == wanted) {
        return Ok(exact);
    }
    let kind = |name: &'a str| name.split_once('-').map_or(name, |(kind, _)| kind);
    let matching: Vec<&str> = known
        .iter()
        .copied()
        // A complete kind such as l4 does not match another kind that begins with it, such as l40s.
        .filter(|name| kind(name) == wanted)
        .collect();
    let matching = if matching.is_empty() && !wanted.is_empty() {
        let begins = known.iter().copied();
        begins.filter(|name| name.starts_with(&wanted)).collect()
    } else {
        matching
    };
    let [first, others @ ..] = matching.as_slice() else {
        return Err(Error::unknown_name("GPU", given, known));
    };
    if others.iter().any(|other| kind(other) != kind(first)) {
        return Err(Error::usage(
            format!("`{given}` is the beginning of several GPU names"),
            format!("name one of {}", matching.join(", ")),
        ));
    }
    let also = if others.is_empty() {
        String::new()
    } else {
        format!(" (there is also {})", others.join(", "))
    };
    output::note(&format!("note: GPU {given} is {first}{also}"));
    Ok(first)
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::GPUS;
    use crate::cli::gpu_name::resolve;

    #[test]
    fn beginnings_and_any_case() {
        let known = GPUS.map(|(name, _)| name);
        let known = known.as_slice();
        for (given, name) in [
            ("h100", "h100-80gb"),
            ("H100", "h100-80gb"),
            ("H100-80GB", "h100-80gb"),
            ("h200-141", "h200-141gb"),
            ("a100", "a100-40gb"),
            ("a100-8", "a100-80gb"),
            ("l4", "l4-24gb"),
            ("l40s", "l40s-48gb"),
            ("mi300", "mi300x-192gb"),
        ] {
            assert_eq!(resolve(given, known).expect(given), name);
        }
        for given in ["", "h", "a1", "rtx", "h300"] {
            assert!(resolve(given, known).is_err(), "{given}");
        }
    }
}
