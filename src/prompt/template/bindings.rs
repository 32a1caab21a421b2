//! Where a template binds a value to a name, the value passes a filter that checks it.
//!
//! Values nest deeper only when one that has a name is put into another that gets a name: in a loop that is possible for the
//! attributes of a namespace only, else by repeating statements or by macros that call themselves. Hence the filter stands in
//! `set`, `with`, loops over expressions that build lists or dicts, in macros for each argument, and in recursive loops.

use super::operators::{KEYWORDS, is_attribute, name, op};
use super::source::{Kind, Token};

/// Name of the filter that checks a value bound to a name.
pub(super) const BOUND_FILTER: &str = "__bound";
/// Name of the filter that checks an argument of a macro.
pub(super) const ARGUMENT_FILTER: &str = "__argument";
/// Name of the filter that checks an attribute of a namespace.
pub(super) const KEPT_FILTER: &str = "__kept";

/// Adds the filters to a block tag. Returns the names for which the tag must be followed by a check of its own.
pub(super) fn check_bindings(tokens: &mut Vec<Token>) -> Vec<String> {
    let Some(Kind::Name(word)) = tokens.first().map(|token| &token.kind) else {
        return Vec::new();
    };
    match word.as_str() {
        "set" => set(tokens),
        "with" => with(tokens),
        "for" => return recursive_targets(tokens),
        "macro" => return parameters(tokens, 2),
        "call" => return parameters(tokens, 1),
        _ => {}
    }
    Vec::new()
}

/// End of the tag's own tokens: the last one may only carry newlines.
fn end(tokens: &[Token]) -> usize {
    let empty = |token: &Token| matches!(&token.kind, Kind::Name(name) if name.is_empty());
    tokens.len() - usize::from(tokens.last().is_some_and(empty))
}

/// First token of these kinds outside of brackets.
fn find(tokens: &[Token], from: usize, ops: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.kind {
            Kind::Op(op) if depth == 0 && ops.contains(op) => return Some(at),
            Kind::Op("(" | "[" | "{") => depth += 1,
            Kind::Op(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Puts tokens in parentheses and appends a filter.
pub(super) fn filter(tokens: &mut Vec<Token>, from: usize, upto: usize, with: &str) {
    if from < upto {
        tokens.splice(upto..upto, [op(")"), op("|"), name(with)]);
        tokens.insert(from, op("("));
    }
}

fn set(tokens: &mut Vec<Token>) {
    let end = end(tokens);
    let assigned = find(tokens, 1, &["="]);
    let target = &tokens[1..assigned.unwrap_or(end)];
    let is_kept = target.iter().any(|token| token.kind == Kind::Op("."));
    let with = if is_kept { KEPT_FILTER } else { BOUND_FILTER };
    match assigned {
        Some(at) if is_flat(&tokens[at + 1..end]) => {}
        Some(at) if is_kept || builds(&tokens[at + 1..end]) => filter(tokens, at + 1, end, with),
        Some(_) => {}
        // The text of a block; only a filter can make it something else.
        None if find(tokens, 1, &["|"]).is_some() => {
            tokens.splice(end..end, [op("|"), name(with)]);
        }
        None => {}
    }
}

fn with(tokens: &mut Vec<Token>) {
    let mut from = 1;
    while let Some(at) = find(tokens, from, &["="]) {
        let upto = find(tokens, at + 1, &[","]).unwrap_or(end(tokens));
        if builds(&tokens[at + 1..upto]) {
            filter(tokens, at + 1, upto, BOUND_FILTER);
            from = upto + 4;
        } else {
            from = upto;
        }
    }
}

/// Names that a recursive loop binds: its calls give it any value.
fn recursive_targets(tokens: &[Token]) -> Vec<String> {
    let is = |at: usize, word: &str| matches!(&tokens[at].kind, Kind::Name(name) if name == word);
    let end = end(tokens);
    let Some(iterable) = (0..end).find(|at| is(*at, "in")) else {
        return Vec::new();
    };
    if !(iterable..end).any(|at| is(at, "recursive") && !is_attribute(tokens, at)) {
        return Vec::new();
    }
    names(&tokens[1..iterable])
}

/// Parameters of the macro or call block whose parentheses open at `open`.
fn parameters(tokens: &[Token], open: usize) -> Vec<String> {
    if tokens.get(open).map(|token| &token.kind) != Some(&Kind::Op("(")) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut from = open + 1;
    while let Some(Token {
        kind: Kind::Name(name),
        ..
    }) = tokens.get(from)
    {
        found.push(name.clone());
        match find(tokens, from, &[",", ")"]) {
            Some(at) if tokens[at].kind == Kind::Op(",") => from = at + 1,
            _ => break,
        }
    }
    found
}

fn names(tokens: &[Token]) -> Vec<String> {
    let names = tokens.iter().filter_map(|token| match &token.kind {
        Kind::Name(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Whether an expression is a literal, or a sum with a text, which is a text.
fn is_flat(tokens: &[Token]) -> bool {
    match tokens {
        [one] => match &one.kind {
            Kind::Text(_) | Kind::Number(_) => true,
            Kind::Name(name) => {
                matches!(
                    name.as_str(),
                    "true" | "True" | "false" | "False" | "none" | "None"
                )
            }
            Kind::Op(_) => false,
        },
        _ => {
            let mut words = tokens.iter().filter_map(|token| match &token.kind {
                Kind::Name(name) => Some(name.as_str()),
                _ => None,
            });
            let is_sum = tokens.windows(2).any(|pair| {
                matches!(&pair[0].kind, Kind::Text(_)) && pair[1].kind == Kind::Op("+")
                    || pair[0].kind == Kind::Op("+") && matches!(&pair[1].kind, Kind::Text(_))
            });
            is_sum
                && !builds(tokens)
                && find(tokens, 0, &["[", "("]).is_none()
                && !words.any(|word| KEYWORDS.contains(&word))
        }
    }
}

/// Whether an expression can make a value that is nested deeper than those it uses: it has a list, a dict, a tuple, a filter or
/// a call of a function.
pub(super) fn builds(tokens: &[Token]) -> bool {
    let ends_operand = |at: usize| match &tokens[at].kind {
        Kind::Name(name) => !KEYWORDS.contains(&name.as_str()) || is_attribute(tokens, at),
        Kind::Op(op) => matches!(*op, ")" | "]" | "}"),
        Kind::Text(_) | Kind::Number(_) => true,
    };
    let calls_function = |at: usize| {
        matches!(&tokens[at].kind, Kind::Name(name) if name != "range") && !is_attribute(tokens, at)
    };
    tokens
        .iter()
        .enumerate()
        .any(|(at, token)| match token.kind {
            Kind::Op("|" | "{" | ",") => true,
            Kind::Op("[") => at == 0 || !ends_operand(at - 1),
            Kind::Op("(") => at > 0 && calls_function(at - 1),
            _ => false,
        })
}
