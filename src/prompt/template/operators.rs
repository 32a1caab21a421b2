//! Python's `%`, `*`, `~` and `for`, which minijinja cannot be extended with: they become filters, in the token stream. So do
//! the filters of minijinja that turn lists into text: what they make must be charged before.

use super::bindings::{BOUND_FILTER, builds, filter};
use super::source::{Kind, Token};

/// Name of the filter that stands for Python's `%`.
pub(super) const REM_FILTER: &str = "__python_mod";

/// Name of the filter that stands for Python's `*`.
pub(super) const MUL_FILTER: &str = "__python_mul";

/// Name of the filter that stands for `~`.
pub(super) const CONCAT_FILTER: &str = "__python_concat";

/// Name of the filter that charges the arguments of another one, and calls it.
pub(super) const CHARGED_FILTER: &str = "__charged";

/// Filters that charge what they make themselves, or that make nothing.
const CHARGING: [&str; 11] = [
    "tojson", "string", "trim", "length", "count", "list", "first", "last", "default", "d", "items",
];

/// Name of the filter that stands for Python's iteration in `for`.
pub(super) const ITER_FILTER: &str = "__python_iter";

/// Words that cannot be part of an operand of `%`, unless they follow a dot or a bar.
pub(super) const KEYWORDS: [&str; 24] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "set",
    "for",
    "print",
    "do",
    "import",
    "include",
    "from",
    "extends",
    "call",
    "filter",
    "macro",
    "block",
    "with",
    "recursive",
    "as",
    "autoescape",
];

/// Rewrites `for x in y` as `for x in (y)|filter`: minijinja does not provide a string's length, hence no `loop.last`.
pub(super) fn iterate_as_python(tokens: &mut Vec<Token>) {
    let Some(start) = (0..tokens.len()).find(|at| is_word(tokens, *at, "in")) else {
        return;
    };
    if !is_word(tokens, 0, "for") {
        return;
    }
    let start = start + 1;
    let mut depth = 0_usize;
    let mut end = start;
    while let Some(token) = tokens.get(end) {
        match &token.kind {
            Kind::Op("(" | "[" | "{") => depth += 1,
            Kind::Op(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Kind::Name(word)
                if depth == 0
                    && matches!(word.as_str(), "" | "if" | "recursive")
                    && !is_attribute(tokens, end) =>
            {
                break;
            }
            _ => {}
        }
        end += 1;
    }
    if end == start {
        return;
    }
    if builds(&tokens[start..end]) {
        filter(tokens, start, end, ITER_FILTER);
        let bound = [op("|"), name(BOUND_FILTER)];
        tokens.splice(end + 4..end + 4, bound);
    } else {
        filter(tokens, start, end, ITER_FILTER);
    }
}

/// An operator as a token.
pub(super) fn op(op: &'static str) -> Token {
    Token {
        kind: Kind::Op(op),
        newlines: 0,
    }
}

/// A name as a token.
pub(super) fn name(name: &str) -> Token {
    Token {
        kind: Kind::Name(name.to_owned()),
        newlines: 0,
    }
}

/// Rewrites `x|name(args)` as `x|__charged("name", args)`.
pub(super) fn charge_filters(tokens: &mut Vec<Token>) {
    let mut from = 0;
    while from < tokens.len() {
        let at = from;
        from += 1;
        let is_filter = match at.checked_sub(1).map(|before| &tokens[before].kind) {
            Some(Kind::Op("|")) => true,
            // The tag of a filter block.
            Some(Kind::Name(word)) => at == 1 && word == "filter",
            _ => false,
        };
        let Kind::Name(word) = &tokens[at].kind else {
            continue;
        };
        if !is_filter || word.is_empty() || CHARGING.contains(&word.as_str()) {
            continue;
        }
        let text = Token {
            kind: Kind::Text(word.clone()),
            newlines: 0,
        };
        let newlines = tokens[at].newlines;
        tokens[at] = Token {
            newlines,
            ..name(CHARGED_FILTER)
        };
        let kind = |at: usize| tokens.get(at).map(|token| &token.kind);
        if kind(at + 1) != Some(&Kind::Op("(")) {
            tokens.splice(at + 1..at + 1, [op("("), text, op(")")]);
        } else if kind(at + 2) == Some(&Kind::Op(")")) {
            tokens.insert(at + 2, text);
        } else {
            tokens.splice(at + 2..at + 2, [text, op(",")]);
        }
    }
}

/// Rewrites `a % b` as `(a)|filter(b)`, since only a filter can distinguish numbers from strings; and `*` and `~` likewise.
pub(super) fn format_operators(tokens: &mut Vec<Token>) {
    rewrite(
        tokens,
        &[("%", REM_FILTER), ("*", MUL_FILTER)],
        right_operand,
    );
    rewrite(tokens, &[("~", CONCAT_FILTER)], right_product);
}

fn rewrite(
    tokens: &mut Vec<Token>,
    filters: &[(&'static str, &str)],
    right_operand: fn(&[Token], usize) -> usize,
) {
    let mut from = 0;
    while let Some((at, filter)) = tokens
        .iter()
        .enumerate()
        .skip(from)
        .find_map(|(at, token)| {
            let found = filters.iter().find(|(op, _)| token.kind == Kind::Op(op));
            found.map(|(_, filter)| (at, *filter))
        })
    {
        let (left, right) = (left_operand(tokens, at), right_operand(tokens, at + 1));
        if left == at {
            // The star of `f(*arguments)`.
            from = at + 1;
            continue;
        }
        let newlines = tokens[at].newlines;
        tokens.insert(right, op(")"));
        // A chain of operators becomes a chain of filters, because the engine limits how deeply parentheses nest.
        let is_chain = is_filtered_group(&tokens[left..at]);
        let bar = Token {
            newlines,
            ..op("|")
        };
        tokens.splice(at..=at, [bar, name(filter), op("(")]);
        if !is_chain {
            tokens.insert(at, op(")"));
            tokens.insert(left, op("("));
        }
        from = at + 3;
    }
}

pub(super) fn is_attribute(tokens: &[Token], at: usize) -> bool {
    at > 0 && matches!(tokens[at - 1].kind, Kind::Op("." | "|"))
}

/// Whether tokens are an expression in parentheses, followed by nothing but filters with arguments.
fn is_filtered_group(tokens: &[Token]) -> bool {
    let is = |at: usize, op: &'static str| {
        tokens.get(at).map(|token| &token.kind) == Some(&Kind::Op(op))
    };
    if !is(0, "(") {
        return false;
    }
    let mut at = group_end(tokens, 0);
    while is(at, "|") && is(at + 2, "(") {
        at = group_end(tokens, at + 2);
    }
    at == tokens.len()
}

/// End of the token at `at`, or of the group that it opens.
fn group_end(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match tokens.get(at).map(|token| &token.kind) {
            Some(Kind::Op("(" | "[" | "{")) => depth += 1,
            Some(Kind::Op(")" | "]" | "}")) => depth = depth.saturating_sub(1),
            None => return at,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}

fn is_word(tokens: &[Token], at: usize, word: &str) -> bool {
    matches!(&tokens[at].kind, Kind::Name(name) if name == word)
}

/// Start of the operand that ends before `at`.
fn left_operand(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut start = at;
    while start > 0 {
        let here = start - 1;
        match &tokens[here].kind {
            Kind::Op(")" | "]" | "}") => depth += 1,
            Kind::Op("(" | "[" | "{") if depth == 0 => break,
            Kind::Op("(" | "[" | "{") => depth -= 1,
            _ if depth > 0 => {}
            Kind::Op("+" | "-") => {
                let binary = here > 0
                    && match &tokens[here - 1].kind {
                        Kind::Op(op) => matches!(*op, ")" | "]" | "}"),
                        Kind::Name(name) => {
                            !KEYWORDS.contains(&name.as_str()) || is_attribute(tokens, here - 1)
                        }
                        _ => true,
                    };
                if binary {
                    break;
                }
            }
            Kind::Op("." | "|" | "*" | "/" | "//" | "**" | "%") => {}
            Kind::Op(_) => break,
            // Tests bind tighter than operators.
            Kind::Name(word) if word == "is" => {}
            Kind::Name(word) if word == "not" && here > 0 && is_word(tokens, here - 1, "is") => {}
            Kind::Name(word)
                if KEYWORDS.contains(&word.as_str()) && !is_attribute(tokens, here) =>
            {
                break;
            }
            _ => {}
        }
        start = here;
    }
    start
}

/// End of the operand that begins at `from`: a unary expression with its filters, and powers of it.
fn right_operand(tokens: &[Token], from: usize) -> usize {
    let kind = |at: usize| tokens.get(at).map(|token| &token.kind);
    let mut at = from;
    while let Some(Kind::Op("+" | "-")) = kind(at) {
        at += 1;
    }
    at = group_end(tokens, at);
    loop {
        at = match kind(at) {
            Some(Kind::Op("." | "|")) => at + 2,
            Some(Kind::Op("(" | "[")) => group_end(tokens, at),
            Some(Kind::Op("**")) => return right_operand(tokens, at + 1),
            _ => return at.min(tokens.len()),
        };
    }
}

/// End of the product or quotient that begins at `from`.
fn right_product(tokens: &[Token], from: usize) -> usize {
    let mut at = right_operand(tokens, from);
    while matches!(
        tokens.get(at).map(|token| &token.kind),
        Some(Kind::Op("/" | "//"))
    ) {
        at = right_operand(tokens, at + 1);
    }
    at
}
