//! Files in and out: compression by file ending, standard input, and writes that are whole or not at all.

mod input;
mod output;

pub use input::{Input, LineReader};
pub use output::{Compression, OutputFile, write_file};
