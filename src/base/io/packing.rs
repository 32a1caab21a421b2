//! Recognises how content is packed or encoded by its first bytes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::input::BUFFER;
use crate::base::error::{Error, Location, Result};

/// Logarithm of the largest window of a zstd frame, in bytes: all that `zstd --long=31` makes.
const LARGEST_WINDOW: u32 = 31;

/// Content that this program does not read, by its first bytes: what it is, and the remedy.
const REFUSED: &[(&[u8], &str, &str)] = &[
    (
        b"\xfd7zXZ\0",
        "is xz-compressed, which is not supported",
        "unpack it with `xz -dk`, or compress it as .zst or .gz",
    ),
    (
        b"BZh",
        "is bzip2-compressed, which is not supported",
        "unpack it with `bzip2 -dk`, or compress it as .zst or .gz",
    ),
    (
        b"PK\x03\x04",
        "is a zip archive, which is not supported here",
        "unpack it with `unzip`",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "is a 7z archive, which is not supported",
        "unpack it with `7z x`",
    ),
    (
        b"\x04\x22\x4d\x18",
        "is lz4-compressed, which is not supported",
        "unpack it with `lz4 -d`, or compress it as .zst or .gz",
    ),
    (
        b"PAR1",
        "is a Parquet file, which is not supported",
        "convert it to JSON lines or CSV",
    ),
    (
        b"\xff\xfe",
        "is UTF-16 text, expected UTF-8",
        "convert it with `iconv -f UTF-16 -t UTF-8`",
    ),
    (
        b"\xfe\xff",
        "is UTF-16 text, expected UTF-8",
        "convert it with `iconv -f UTF-16 -t UTF-8`",
    ),
];

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

/// Whether content begins with a zstd frame, or with a skippable frame before one.
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Unpacks a stream if it is packed; the second value tells whether it was.
///
/// # Errors
/// Content that is not read, or is packed twice.
pub(super) fn unpacked(
    path: &Path,
    raw: Box<dyn Read + Send>,
) -> Result<(Box<dyn BufRead + Send>, bool)> {
    let (head, stream) = look(path, raw)?;
    let stream: Box<dyn Read + Send> = if is_gzip(&head) {
        Box::new(flate2::bufread::MultiGzDecoder::new(stream))
    } else if is_zstd(&head) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(stream)
            .map_err(|source| Error::read(path, source))?;
        decoder
            .window_log_max(LARGEST_WINDOW)
            .map_err(|source| Error::read(path, source))?;
        Box::new(decoder)
    } else {
        check(path, &head)?;
        return Ok((stream, false));
    };
    let (head, stream) = look(path, stream)?;
    if is_gzip(&head) || is_zstd(&head) {
        return Err(Error::input(
            Location::file(path),
            "is compressed twice",
            "unpack it once with `zstd -d` or `gzip -d`",
        ));
    }
    check(path, &head)?;
    Ok((stream, true))
}

/// Returns the first bytes, and the stream that still has them.
fn look(path: &Path, mut raw: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    // A pipe gives as many bytes at a time as its writer wrote, which may be too few to recognise a format.
    let mut head = Vec::new();
    raw.by_ref()
        .take(BUFFER as u64)
        .read_to_end(&mut head)
        .map_err(|source| Error::read(path, source))?;
    let first = head[..head.len().min(64)].to_vec();
    let stream = std::io::Cursor::new(head).chain(raw);
    Ok((first, Box::new(BufReader::with_capacity(BUFFER, stream))))
}

fn check(path: &Path, head: &[u8]) -> Result<()> {
    let refuse =
        |problem: &str, remedy: &str| Err(Error::input(Location::file(path), problem, remedy));
    for (start, problem, remedy) in REFUSED {
        if head.starts_with(start) {
            return refuse(problem, remedy);
        }
    }
    match head {
        [0, a, 0, b, ..] | [a, 0, b, 0, ..] if *a > 0 && *b > 0 => refuse(
            "is UTF-16 text, expected UTF-8",
            "convert it with `iconv -f UTF-16 -t UTF-8`",
        ),
        [0, ..] => refuse(
            "begins with NUL bytes, expected text",
            "copy or download the file again",
        ),
        _ => Ok(()),
    }
}
