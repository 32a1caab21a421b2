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
fn any_bytes_name_a_tokenizer_and_a_template() {
    let place = Place::new();
    let model = OsStr::from_bytes(b"model\xff");
    let template = OsStr::from_bytes(b"t\xff.jinja");
    std::fs::create_dir(place.path(model)).unwrap();
    let tokenizer = "tests/suite/tokenizers/data/tekken.json.gz";
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join(tokenizer);
    std::fs::copy(tokenizer, place.path(model).join("tekken.json.gz")).unwrap();
    place.write(
        template,
        "{% for m in messages %}{{ m.content }}{% endfor %}",
    );
    let words = |tokenizer: &OsStr, template: &OsStr, output: &str| -> Vec<OsString> {
        let [command, data] = ["gen-trace", "d.jsonl"].map(OsString::from);
        let [t, c, o] = ["--tokenizer", "--chat-template", "-o"].map(OsString::from);
        let [tokenizer, template] = [tokenizer, template].map(OsString::from);
        vec![command, data, t, tokenizer, c, template, o, output.into()]
    };
    place.works(&words(model, template, "one.jsonl"));
    std::fs::rename(place.path(model), place.path("model")).unwrap();
    std::fs::rename(place.path(template), place.path("t.jinja")).unwrap();
    place.works(&words("model".as_ref(), "t.jinja".as_ref(), "two.jsonl"));
    let requests = |name: &str| {
        let text = String::from_utf8(place.read(name)).unwrap();
        // The header names the files.
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(requests("one.jsonl"), requests("two.jsonl"));
    assert!(!requests("one.jsonl").is_empty());
}

#[test]
fn an_option_that_is_text_names_its_remedy() {
    let place = Place::new();
    let words = [
        OsString::from("analyze"),
        "t.jsonl".into(),
        "--format".into(),
        OsStr::from_bytes(b"a\xff").into(),
    ];
    assert_eq!(
        place.fails(&words),
        "an option that is text, such as a format or a name, has bytes that are not UTF-8; \
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
