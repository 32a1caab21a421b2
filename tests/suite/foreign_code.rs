//! Chat templates and scripts that do not end, or take all memory, are refused with their line.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use kvreplay::prompt::template::{ChatTemplate, SpecialTokens, TemplateError};

use crate::common::{replay_in, text};

/// What a template that stands alone on its line ends with.
fn ends_with(source: &str) -> String {
    let source = format!("first line\n{source}");
    let template = match ChatTemplate::from_source("t.jinja", &source, SpecialTokens::default()) {
        Ok(template) => template,
        Err(error) => return error.to_string(),
    };
    match template.render(&template.messages(&[]), 0, false) {
        Err(TemplateError::Unusable { line, problem }) => {
            let error = template.unusable(line, &problem).to_string();
            let start = match line {
                Some(2) => "t.jinja:2: the chat template ",
                _ => "t.jinja: the chat template ",
            };
            let end = "; correct the template, or set another `chat_template`";
            let inner = error
                .strip_prefix(start)
                .and_then(|text| text.strip_suffix(end));
            inner.unwrap_or(&error).to_owned()
        }
        Err(other) => other.to_string(),
        Ok(text) => format!("rendered {} bytes", text.len()),
    }
}

#[test]
fn templates_have_limits() {
    let steps = "takes more than 4000000 steps for one conversation";
    let deep = "builds a value that is nested more than 64 levels deep";
    let kept = |what: &str| {
        format!("stores {what} in a namespace, which can hold text, numbers, lists and dicts only")
    };
    let in_loop = |start: &str, step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x={start}) %}}{{% for i in range(100000) %}}{step}{{% endfor %}}{end}"
        )
    };
    let cases: Vec<(String, String)> = [
        // Time.
        ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", steps),
        ("{% for a in range(100000) %}{% for b in range(100000) %}aaaaaaaaaa{% endfor %}{% endfor %}", steps),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests calls of macros or loops too deeply"),
        ("{% for x in [[1]] recursive %}{{ loop([[x]]) }}{% endfor %}", deep),
        ("{% set s = 'a,'*1000000 %}{% for i in range(100000) %}{% set x = s.split(',') %}{% endfor %}", steps),
        // Memory, before it is taken.
        ("{{ [1,2]|batch(10000000000,'x')|list }}", steps),
        ("{{ [1,2]|slice(10000000000)|list }}", steps),
        ("{{ 'a\nb'|indent(10000000000) }}", steps),
        ("{{ (['a'*10000]*10000000)|join('x') }}", steps),
        ("{{ ('a'*1000000).replace('', 'b'*1000000) }}", steps),
        ("{{ ('a'*100000)|replace('a', 'b'*100000) }}", steps),
        ("{{ 'a'*1000000000000 }}", steps),
        ("{{ ([1]*1000000000000)|length }}", steps),
        ("{{ ('x'*100000).join(['a']*100000) }}", steps),
        ("{{ ('{0}'*100000).format('a'*100000) }}", steps),
        ("{{ ('%9999d'*100000) % 1 }}", steps),
        ("{% set x = ['a'*1000000]*100 %}{{ '' ~ [x,x,x,x,x,x,x,x,x,x] }}", steps),
        ("{% set x = ['a'*1000000]*100 %}{{ [x,x,x,x,x,x,x,x,x,x]|upper }}", steps),
        ("{{ [1]|tojson(indent=10000000000) }}", "has an indent of 10000000000, above the limit of 10000"),
        ("{{ '{:>1000000000}'.format('a') }}", "has a width in a format of 1000000000, above the limit of 10000"),
        ("{{ '%.999999999f' % 1.5 }}", "has a width in a format of 999999999, above the limit of 10000"),
        ("{{ '%1000000000d' % 1 }}", "has a width in a format of 1000000000, above the limit of 10000"),
        // The stack.
        ("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", &kept("a namespace")),
        ("{% set a = namespace() %}{% set b = namespace() %}{% set a.x = [b] %}{% set b.x = [a] %}{{ a }}", &kept("a namespace")),
        ("{% set ns = namespace() %}{% set ns.x = [ns.items()] %}{{ ns }}", &kept("an iterator")),
        ("{% set ns = namespace() %}{% macro m() %}{% endmacro %}{% set ns.x = m %}", &kept("a macro or another object")),
        ("{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f([]) }}", deep),
    ]
    .into_iter()
    .map(|(source, problem)| (source.replace('\n', "\\n"), problem.to_owned()))
    .chain([
        (in_loop("'a'", "{% set ns.x = ns.x ~ ns.x %}", ""), steps.to_owned()),
        (in_loop("[1]", "{% set ns.x = ns.x + ns.x %}", ""), steps.to_owned()),
        (in_loop("[]", "{% set ns.x = [ns.x] %}", "{{ ns.x }}"), deep.to_owned()),
        (in_loop("{}", "{% set ns.x = {'a': ns.x} %}", "{{ ns.x|tojson }}"), deep.to_owned()),
        (in_loop("[]", "{% set a, ns.x = 1, [ns.x] %}", "{{ ns.x }}"), deep.to_owned()),
        (in_loop("'ab'", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}"), steps.to_owned()),
        (format!("{{% set x = [] %}}{}{{{{ x }}}}", "{% set x = [x] %}".repeat(100)), deep.to_owned()),
    ])
    .collect();
    for (source, problem) in cases {
        assert_eq!(ends_with(&source), problem, "{source}");
    }
    let panic = ends_with("{% for a in range(3) %}{{ loop.cycle() }}{% endfor %}");
    assert!(
        panic.starts_with("makes the template engine fail: it panicked at loop_object.rs:"),
        "{panic}"
    );
}

#[test]
fn sources_of_templates_have_limits() {
    let open = |text: &str, count: usize| text.repeat(count);
    let operators = "an expression has more than 500 operators";
    let statements = "statements nest more than 100 levels deep, with `elif` as a level";
    let cases = [
        (format!("{{{{ 1{} }}}}", open("+1", 6_000)), operators),
        (
            format!("{{{{ {}1{} }}}}", open("(", 5_000), open(")", 5_000)),
            operators,
        ),
        (format!("{{{{ {}1 }}}}", open("not ", 3_000)), operators),
        (format!("{{{{ a{} }}}}", open("|upper", 2_000)), operators),
        (
            format!("{{{{ [{}] }}}}", open("1,", 5_000)),
            "a tag has more than 5000 tokens",
        ),
        (open("{% if 1 %}", 5_000), statements),
        (
            format!("{{% if 0 %}}{}", open("{% elif 0 %}", 5_000)),
            statements,
        ),
        (
            open("{% set x = x[1:] %}", 300),
            "it has more than 200 slices",
        ),
        (open("a", 300_000), "it has 300011 bytes, more than 262144"),
    ];
    for (source, problem) in cases {
        let line = if problem.starts_with("it has 3") {
            1
        } else {
            2
        };
        assert_eq!(
            ends_with(&source),
            format!(
                "t.jinja:{line}: the chat template is invalid: {problem}; correct it or choose another template"
            )
        );
    }
    // Wide tables and long concatenations as real templates have them are no problem.
    assert_eq!(
        ends_with(&format!("{{{{ 'a'{} }}}}", open(" ~ 'b'", 100))),
        "rendered 112 bytes"
    );
    assert_eq!(
        ends_with(&open("{% if 1 %}{% endif %}", 1_000)),
        "rendered 11 bytes"
    );
}

/// Runs the program in a folder with a conversation and a trace; the error's line. Nothing new may be there afterwards.
fn refused(folder: &Path, args: &[&str]) -> String {
    let count = || std::fs::read_dir(folder).unwrap().count();
    let before = count();
    let output = replay_in(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "{stderr}");
    assert_eq!(count(), before, "{stderr}");
    stderr
}

fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let chat = r#"{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"yo"}]}"#;
    std::fs::write(folder.path().join("g.jsonl"), chat).unwrap();
    let request = |at: u32| {
        format!(
            "{{\"timestamp\": {at}, \"input_length\": 600, \"output_length\": 8, \"hash_ids\": [1, {at}]}}\n"
        )
    };
    let trace: String = (0..40).map(|at| request(at * 1_000)).collect();
    std::fs::write(folder.path().join("t.jsonl"), trace).unwrap();
    folder
}

#[test]
fn a_template_that_compares_for_ever_is_ended() {
    let folder = place();
    let source = "{% set x = 'a'*20000000 %}{% set y = 'a'*20000000 %}{% for i in range(100000) %}{{ x == y }}{% endfor %}";
    std::fs::write(folder.path().join("t.jinja"), source).unwrap();
    let args = [
        "gen-trace",
        "g.jsonl",
        "--tokenizer",
        "chars",
        "--chat-template",
        "t.jinja",
        "--output",
        "o.jsonl",
    ];
    assert_eq!(
        refused(folder.path(), &args),
        "error: t.jinja: the chat template takes more than 5 s for one conversation; correct the template, or choose another one\n"
    );
}

const SIMULATE: [&str; 8] = [
    "simulate",
    "t.jsonl",
    "--quiet",
    "--autoscaler",
    "script",
    "--set",
    "autoscaling.script.path=p.rhai",
    "--output-dir",
];

#[test]
fn a_script_that_fails_ends_the_run_with_its_line() {
    let folder = place();
    let path = folder.path();
    std::fs::write(
        path.join("p.rhai"),
        "// A policy.\nfn decide(s) { #{ decod: 4 } }",
    )
    .unwrap();
    let args: Vec<&str> = SIMULATE.into_iter().chain(["out"]).collect();
    assert_eq!(
        refused(path, &args),
        "error: p.rhai:2: the script returns an unknown key `decod` (did you mean `decode`? known: prefill, decode, reason), \
         10 s after the start; correct the script; docs/autoscaling.md describes what it returns and its limits\n"
    );
    std::fs::write(
        path.join("p.rhai"),
        "fn decide(s) {\n let x = s.prefill.nothing;\n x.y }",
    )
    .unwrap();
    assert!(refused(path, &args).starts_with("error: p.rhai:3: the script fails: "));
}

#[test]
fn a_script_prints_to_standard_error_and_stays_with_its_results() {
    let folder = place();
    let path = folder.path();
    let script = "fn decide(s) { for i in 0..60 { print(`look ${i}`); } debug(1); #{} }";
    std::fs::write(path.join("p.rhai"), script).unwrap();
    let args: Vec<&str> = SIMULATE.into_iter().chain(["out", "--json"]).collect();
    let output = replay_in(path, &args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("p.rhai"))
        .collect();
    assert_eq!(lines[..2], ["p.rhai: look 0", "p.rhai: look 1"]);
    assert_eq!(lines[60], "p.rhai:1: 1");
    assert_eq!(
        lines[100],
        "p.rhai: printed 100 lines; further ones are not shown"
    );
    assert_eq!(lines.len(), 101);
    let kept = std::fs::read_to_string(path.join("out/script.rhai")).unwrap();
    assert_eq!(kept, script);
    let inputs = std::fs::read(path.join("out/inputs.json")).unwrap();
    let inputs: serde_json::Value = serde_json::from_slice(&inputs).unwrap();
    assert_eq!(inputs["script_sha256"].as_str().unwrap().len(), 64);
    // The folder is enough to repeat the run.
    let own = path.join("out/script.rhai");
    std::fs::remove_file(path.join("p.rhai")).unwrap();
    let set = format!("autoscaling.script.path={}", text(&own));
    let again = [
        "simulate",
        "t.jsonl",
        "--config",
        "out/config.toml",
        "--set",
        &set,
        "--json",
        "--quiet",
    ];
    assert_eq!(replay_in(path, &again).stdout, output.stdout);
}
