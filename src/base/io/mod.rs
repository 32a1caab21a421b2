//! Reading and writing of files: compression, standard input and output, and writes that leave no incomplete files.

mod input;
mod lock;
mod output;
mod pandas_float;
mod python_float;
mod written;

pub use input::{Input, LineReader};
pub use lock::FolderLock;
pub use output::{Compression, OutputFile, write_file, write_json};
pub use pandas_float::parse_pandas_float;
pub use python_float::PythonFloat;
pub use written::with_written;
