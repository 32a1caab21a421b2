//! Files in and out: compression by file ending, standard input, and writes that are whole or not at all.

mod input;
mod output;
mod pandas_float;
mod python_float;

pub use input::{Input, LineReader};
pub use output::{Compression, OutputFile, write_file};
pub use pandas_float::parse_pandas_float;
pub use python_float::PythonFloat;
