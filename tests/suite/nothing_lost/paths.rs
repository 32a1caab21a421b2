//! Paths of any bytes, and lists of paths.

use crate::nothing_lost::*;
use std::ffi::OsString;

#[test]
fn any_bytes_make_a_path() {
    let place = Place::new();
    let names: [&[u8]; 7] = [
        b"a\xff.jsonl",
        b"a,b.jsonl",
        b"a b.jsonl",
        b"a=b.jsonl",
        b"a'b\"c.jsonl",
        b"a\nb.jsonl",
        b"./-a.jsonl",
    ];
    let config = place.works(&["simulate", "--print-config"]);
    for bytes in names {
        let name = OsStr::from_bytes(bytes);
        let mut folder = OsString::from(name);
        folder.push(".d");
        let mut toml = OsString::from(name);
        toml.push(".toml");
        place.write(&toml, &config);
        std::fs::copy(place.path("t.jsonl"), place.path(name)).unwrap();
        let o = |text: &str| OsString::from(text);
        let run = |words: Vec<OsString>| place.works(&words);
        run(vec![o("inspect"), name.into()]);
        run(vec![
            o("analyze"),
            name.into(),
            o("--json"),
            o("-o"),
            folder.clone(),
        ]);
        run(vec![o("report"), folder.clone(), o("--json")]);
        run(vec![
            o("gen-trace"),
            o("--json"),
            o("--tokenizer"),
            o("chars"),
            o("d.jsonl"),
            o("-o"),
            name.into(),
        ]);
        assert_eq!(place.read(name), place.read("t.jsonl"));
        let mut results = OsString::from(name);
        results.push(".r");
        run(vec![
            o("matrix"),
            name.into(),
            o("--config"),
            toml.clone(),
            o("--autoscaler"),
            o("no_autoscaling,kpa"),
            o("--json"),
            o("--results"),
            results.clone(),
        ]);
        run(vec![o("compare"), results.clone(), o("--json")]);
        run(vec![o("report"), results.clone(), o("--json")]);
        run(vec![
            o("simulate"),
            name.into(),
            o("--config"),
            toml,
            o("--json"),
            o("--chrome-trace"),
            o("chrome.json"),
            o("--results"),
            results,
        ]);
    }
}

#[test]
fn an_option_that_is_text_names_its_remedy() {
    let place = Place::new();
    let words = [
        OsString::from("analyze"),
        "t.jsonl".into(),
        "--tokenizer".into(),
        OsStr::from_bytes(b"a\xff").into(),
    ];
    assert_eq!(
        place.fails(&words),
        "an option that is text, such as a tokenizer or a name, has bytes that are not UTF-8; \
         name the file through a link whose name is UTF-8"
    );
}

#[test]
fn a_list_of_files_keeps_commas_of_files() {
    let place = Place::new();
    let config = place.works(&["simulate", "--print-config"]);
    place.write(
        "a,b.toml",
        config.replacen("name = \"", "name = \"first-", 1),
    );
    place.write("c.toml", config);
    let told = place.works(&[
        "matrix",
        "t.jsonl",
        "--config",
        "a,b.toml,c.toml",
        "--dry-run",
        "--results",
        "r",
    ]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("--config a,b.toml "), "{told}");
    assert!(lines[1].contains("--config c.toml "), "{told}");
}
