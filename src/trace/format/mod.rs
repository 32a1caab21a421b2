//! Trace files: one file a format, one registry that readers, writers, help and messages share.
