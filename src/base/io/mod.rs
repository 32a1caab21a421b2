//! Reading and writing of files: compression, standard input and output, and writes that leave no incomplete files.

mod folder;
mod input;
mod line_limit;
mod lock;
mod open;
mod output;
mod packing;
mod pandas_float;
mod python_float;
mod same_file;
mod shown_path;
mod temporary;

pub use folder::{NewFolder, StagedFolder};
pub(crate) use input::read_packed;
pub use input::{Input, LineReader, read_configuration, read_configuration_text};
pub(crate) use line_limit::{LONGEST as LONGEST_LINE, too_long};
pub use lock::FolderLock;
pub(crate) use open::became_shorter;
pub use output::{Compression, OutputFile, open_journal, write_file, write_json};
pub use pandas_float::parse_pandas_float;
pub use python_float::PythonFloat;
#[cfg(feature = "cli")]
pub(crate) use same_file::refuse_overwriting;
pub(crate) use shown_path::{ShownPath, shown_optional_path, shown_path};
pub(crate) use temporary::{final_path, nameless_file};
#[cfg(feature = "cli")]
pub(crate) use temporary::{remove_all_and_stop, try_remove_all_and_stop, try_remove_unfinished};
