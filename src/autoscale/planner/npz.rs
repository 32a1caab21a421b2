//! NumPy's `.npz`: a zip archive of `.npy` arrays. Reads one-dimensional arrays of any numeric type.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Location, Result};
use crate::base::io::read_packed;

/// Largest array that is read, in bytes. Profiles have a few kilobytes.
const LARGEST: u64 = 64 << 20;

/// An opened archive.
pub(super) struct Npz {
    path: PathBuf,
    archive: zip::ZipArchive<Cursor<Vec<u8>>>,
}

impl Npz {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bytes = read_packed(path)?;
        let archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|problem| {
            Error::input(
                Location::file(path),
                format!("not a zip archive: {problem}"),
                "write it with numpy.savez",
            )
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            archive,
        })
    }

    /// The values of an array.
    pub(super) fn numbers(&mut self, name: &str) -> Result<Vec<f64>> {
        let refuse = |problem: String| {
            Error::input(
                Location::file(&self.path),
                format!("array `{name}`: {problem}"),
                "write it with numpy.savez as a one-dimensional array of numbers",
            )
        };
        let mut known: Vec<_> = self
            .archive
            .file_names()
            .filter_map(|name| Some(name.ok()?.trim_end_matches(".npy").to_owned()))
            .collect();
        known.sort_unstable();
        let missing = format!("is missing among {}", known.join(", "));
        let mut file = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => return Err(refuse(missing)),
            Err(problem) => return Err(refuse(problem.to_string())),
        };
        if file.size() > LARGEST {
            return Err(refuse(format!("has {} bytes", file.size())));
        }
        let mut bytes = Vec::new();
        file.by_ref()
            .take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|problem| refuse(problem.to_string()))?;
        npy(&bytes).map_err(refuse)
    }
}

/// Reads an `.npy` file (NumPy's format 1.0 to 3.0).
fn npy(bytes: &[u8]) -> Result<Vec<f64>, String> {
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or("does not begin like an .npy file")?;
    let short = || "ends within its header".to_owned();
    let (header, data) = match rest {
        [1, _, a, b, rest @ ..] => rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => return Err("has an unknown version of the .npy format".into()),
    }
    .ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| short())?;
    let field = |name: &str| {
        let (_, rest) = header.split_once(&format!("'{name}':"))?;
        Some(rest.trim_start())
    };
    let quoted = field("descr")
        .and_then(|rest| rest.strip_prefix('\''))
        .and_then(|rest| rest.split_once('\''));
    let (kind, _) = quoted.ok_or("is not an array of plain numbers")?;
    let shape = field("shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(short)?
        .0;
    let mut sizes = Vec::new();
    for size in shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
    {
        sizes.push(
            size.parse::<usize>()
                .map_err(|_| "has an unreadable shape")?,
        );
    }
    if sizes.iter().filter(|size| **size != 1).count() > 1 {
        return Err(format!("has shape ({shape}), expected one dimension"));
    }
    let count = sizes.iter().product::<usize>();
    let (big, kind) = match kind.split_at_checked(1) {
        Some((">", kind)) => (true, kind),
        Some(("<" | "|" | "=", kind)) => (false, kind),
        _ => return Err(format!("has type {kind}, expected numbers")),
    };
    let read: fn([u8; 8]) -> f64 = match kind {
        "f8" => f64::from_le_bytes,
        "f4" => |b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        "i8" => |b| i64::from_le_bytes(b) as f64,
        "u8" => |b| u64::from_le_bytes(b) as f64,
        "i4" => |b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        "u4" => |b| f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        "i2" => |b| f64::from(i16::from_le_bytes([b[0], b[1]])),
        "u2" => |b| f64::from(u16::from_le_bytes([b[0], b[1]])),
        "i1" => |b| f64::from(i8::from_le_bytes([b[0]])),
        "u1" | "b1" => |b| f64::from(b[0]),
        _ => return Err(format!("has type {kind}, expected numbers")),
    };
    let width = usize::from(kind.as_bytes()[1] - b'0');
    if data.len() / width < count {
        return Err(format!(
            "has {} bytes, too few for {count} numbers of {width}",
            data.len()
        ));
    }
    let number = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(chunk);
        if big {
            word[..width].reverse();
        }
        read(word)
    };
    Ok(data.chunks_exact(width).take(count).map(number).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::npz::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn numbers_of_all_kinds() {
        let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }  \n";
        let data = [7_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat();
        assert_eq!(npy(&file(header, &data)), Ok(vec![7.0, -1.0]));
        let header = "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }\n";
        assert_eq!(npy(&file(header, &1.5_f32.to_be_bytes())), Ok(vec![1.5]));
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }\n";
        assert_eq!(npy(&file(header, &[9])), Ok(vec![9.0]));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let header = |kind: &str, shape: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
        };
        for (bytes, told) in [
            (b"PK".to_vec(), ".npy"),
            (b"\x93NUMPY\x09\x00".to_vec(), "version"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "header"),
            (file(&header("<f8", "(2, 2)"), &[0; 32]), "one dimension"),
            (file(&header("<f8", "(3,)"), &[0; 16]), "too few"),
            (file(&header("|O", "(3,)"), &[0; 16]), "type"),
            (file(&header("<U3", "(3,)"), &[0; 16]), "type"),
        ] {
            let problem = npy(&bytes).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
