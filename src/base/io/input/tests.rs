use crate::base::io::input::*;
use std::io::Write;

fn open(bytes: Vec<u8>) -> Result<Input> {
    Input::from_reader("t", Box::new(std::io::Cursor::new(bytes)))
}

fn read(bytes: Vec<u8>) -> Vec<String> {
    let mut lines = open(bytes).expect("opens").lines();
    let mut out = Vec::new();
    while let Some((number, line)) = lines.next_line().expect("reads") {
        out.push(format!("{number}:{}", String::from_utf8_lossy(line)));
    }
    out
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(plain).expect("writes");
    gz.finish().expect("ends")
}

fn zst(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).expect("packs")
}

#[test]
fn compression_is_told_by_content_and_line_ends_are_cut() {
    let plain = b"\xef\xbb\xbfone\r\ntwo\n\nfour".to_vec();
    // A skippable frame of three bytes before the first frame, and a frame after it.
    let skippable = [
        b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(),
        zst(&plain[..8]),
        zst(&plain[8..]),
    ];
    let members = [gzip(&plain[..7]), gzip(&plain[7..])];
    for bytes in [
        gzip(&plain),
        zst(&plain),
        plain,
        skippable.concat(),
        members.concat(),
    ] {
        assert_eq!(read(bytes), ["1:one", "2:two", "3:", "4:four"]);
    }
}

#[test]
fn frames_with_a_large_window_are_read() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("begins");
    encoder.long_distance_matching(true).expect("sets");
    encoder.window_log(28).expect("sets");
    encoder.write_all(b"one\n").expect("writes");
    assert_eq!(read(encoder.finish().expect("ends")), ["1:one"]);
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let utf16: Vec<u8> = "{\"a\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        (
            b"\xfd7zXZ\0rest".to_vec(),
            "t: is xz-compressed, which is not supported; unpack it with `xz -dk`, or compress it as .zst or .gz",
        ),
        (
            zst(b"BZh91AY"),
            "t: is bzip2-compressed, which is not supported; unpack it with `bzip2 -dk`, or compress it as .zst or .gz",
        ),
        (
            b"PK\x03\x04rest".to_vec(),
            "t: is a zip archive, which is not supported here; unpack it with `unzip`",
        ),
        (
            utf16.clone(),
            "t: is UTF-16 text, expected UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`",
        ),
        (
            [b"\xff\xfe".to_vec(), utf16].concat(),
            "t: is UTF-16 text, expected UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`",
        ),
        (
            gzip(&[0; 1000]),
            "t: begins with NUL bytes, expected text; copy or download the file again",
        ),
        (
            zst(&zst(b"one")),
            "t: is compressed twice; unpack it once with `zstd -d` or `gzip -d`",
        ),
    ] {
        assert_eq!(open(bytes).err().expect("refused").to_string(), expected);
    }
}

#[test]
fn a_truncated_archive_is_told_from_a_damaged_one() {
    let plain: Vec<u8> = (0..100_000u32)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    // Only a checksum tells damage from other data.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("begins");
    encoder.include_checksum(true).expect("sets");
    encoder.write_all(&plain).expect("writes");
    for packed in [gzip(&plain), encoder.finish().expect("ends")] {
        let cut = packed[..packed.len() / 2].to_vec();
        let error = open(cut).and_then(Input::read_to_end).expect_err("is cut");
        assert!(
            error
                .to_string()
                .ends_with("; the file is cut off: copy or download it again"),
            "{error}"
        );
        let mut broken = packed;
        let middle = broken.len() / 2;
        broken[middle..middle + 8].fill(0xff);
        let error = open(broken)
            .and_then(Input::read_to_end)
            .map(|bytes| bytes.len())
            .expect_err("is broken");
        assert!(
            error
                .to_string()
                .ends_with("; the file is damaged: copy or download it again"),
            "{error}"
        );
    }
}

#[test]
fn configurations_have_a_size() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, b"a\n\xff").expect("writes");
    assert_eq!(
        read_configuration_text(&path)
            .expect_err("no text")
            .to_string(),
        format!(
            "{}:2: has bytes that are not UTF-8; convert the file to UTF-8",
            path.display()
        )
    );
    let file = File::create(&path).expect("creates");
    (&file).write_all(&[b'a'; 64]).expect("writes");
    file.set_len((16 << 20) + 1).expect("grows");
    assert_eq!(
        read_configuration(&path)
            .expect_err("too large")
            .to_string(),
        format!(
            "{}: has more than 16 MiB, the most for such a file; check that it is the file that you meant",
            path.display()
        )
    );
}
