//! The command line of `replay`.

fn main() {}
