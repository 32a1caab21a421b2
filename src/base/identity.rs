//! Identifies the tokenizer or chat template with which a trace was generated.

/// A name, with the digest of the content that it had when the trace was generated.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The name as given by the user.
    pub name: String,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}
