//! Reading and writing files: compression, standard input and output, and writes that never leave half a file.

mod input;
mod output;
mod pandas_float;
mod python_float;

pub use input::{Input, LineReader};
pub use output::{Compression, OutputFile, write_file, write_json};
pub use pandas_float::parse_pandas_float;
pub use python_float::PythonFloat;
