//! Chat templates: what the built-in ones render, and how the engine follows Jinja2.

use kvreplay::dataset::Role;
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens, TemplateError};

use crate::common::templates::{GAPS, message};

#[test]
fn gaps_are_closed() {
    let mut wrong = Vec::new();
    for (source, wanted) in GAPS {
        let got = match ChatTemplate::from_source("gap", source, SpecialTokens::default()) {
            Ok(template) => template
                .render(&template.messages(&[]), 0, false)
                .unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        };
        if got != wanted {
            wrong.push(format!("{source}\n  wanted {wanted:?}\n  got    {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn templates_that_refuse_are_told_from_those_that_fail() {
    let render = |source: &str| {
        let template =
            ChatTemplate::from_source("t", source, SpecialTokens::default()).expect("valid source");
        template.render(&template.messages(&[]), 0, false)
    };
    let refusing =
        "{% macro m() %}{{ raise_exception('roles must alternate') }}{% endmacro %}{{ m() }}";
    assert_eq!(
        render(refusing),
        Err(TemplateError::Rejected("roles must alternate".to_owned()))
    );
    assert!(matches!(
        render("{{ missing.a.b }}"),
        Err(TemplateError::Failed(_))
    ));
    assert!(matches!(
        render("{{ 'a' + missing }}"),
        Err(TemplateError::Failed(_))
    ));
}

#[test]
fn errors_name_template_and_line() {
    let error = ChatTemplate::from_source("mine", "a\n{% if %}", SpecialTokens::default())
        .expect_err("no condition");
    assert!(
        error
            .to_string()
            .starts_with("mine:2: the chat template is invalid"),
        "{error}"
    );
    let error = ChatTemplate::builtin("chatmll").expect_err("no such template");
    assert!(
        error.to_string().contains("did you mean `chatml`?"),
        "{error}"
    );
}

#[test]
fn builtin_templates_render_their_format() {
    let talk = [
        message(Role::System, "Be brief."),
        message(Role::User, " Hi "),
        message(Role::Assistant, "Yo"),
    ];
    let render = |name: &str, generate| {
        let template = ChatTemplate::builtin(name).expect("built in");
        template
            .render(&template.messages(&talk), talk.len(), generate)
            .expect("renders")
    };
    assert_eq!(
        render("simple", true),
        "System: Be brief.\nUser:  Hi \nAssistant: Yo\nAssistant:"
    );
    assert_eq!(
        render("simple", false),
        "System: Be brief.\nUser:  Hi \nAssistant: Yo"
    );
    assert!(
        render("chatml", true)
            .ends_with("<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>assistant\n")
    );
    assert!(
        render("llama3", false)
            .starts_with("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe")
    );
    assert!(render("llama3.1", false).contains("Today Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"));
}
