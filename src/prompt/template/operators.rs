//! Python's `%` and `for`, which minijinja cannot be extended with: they become filters, in the token stream.

use super::source::{Kind, Token};

/// Name of the filter that stands for Python's `%`.
pub(super) const REM_FILTER: &str = "__python_mod";

/// Name of the filter that stands for Python's iteration in `for`.
pub(super) const ITER_FILTER: &str = "__python_iter";

/// Words that cannot be part of an operand of `%`, unless they follow a dot or a bar.
const KEYWORDS: [&str; 24] = [
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
    let name = |token: &Token, word: &str| matches!(&token.kind, Kind::Name(name) if name == word);
    if !tokens.first().is_some_and(|token| name(token, "for")) {
        return;
    }
    let Some(start) = tokens.iter().position(|token| name(token, "in")) else {
        return;
    };
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
    let token = |kind| Token { kind, newlines: 0 };
    let filter = [
        token(Kind::Op(")")),
        token(Kind::Op("|")),
        token(Kind::Name(ITER_FILTER.to_owned())),
    ];
    tokens.splice(end..end, filter);
    tokens.insert(start, token(Kind::Op("(")));
}

/// Rewrites `a % b` as `(a)|filter(b)`, since only a filter can distinguish numbers from strings.
pub(super) fn format_operators(tokens: &mut Vec<Token>) {
    let op = |op| Token {
        kind: Kind::Op(op),
        newlines: 0,
    };
    let mut from = 0;
    while let Some(at) = tokens[from..]
        .iter()
        .position(|token| token.kind == Kind::Op("%"))
    {
        let at = from + at;
        let (left, right) = (left_operand(tokens, at), right_operand(tokens, at + 1));
        tokens.insert(right, op(")"));
        let filter = Token {
            kind: Kind::Name(REM_FILTER.to_owned()),
            newlines: 0,
        };
        tokens.splice(at..=at, [op(")"), op("|"), filter, op("(")]);
        tokens.insert(left, op("("));
        from = at + 4;
    }
}

fn is_attribute(tokens: &[Token], at: usize) -> bool {
    at > 0 && matches!(tokens[at - 1].kind, Kind::Op("." | "|"))
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
            Kind::Name(name)
                if KEYWORDS.contains(&name.as_str()) && !is_attribute(tokens, here) =>
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
    let group = |mut at: usize| {
        let mut depth = 0_usize;
        loop {
            match kind(at) {
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
    };
    let mut at = from;
    while let Some(Kind::Op("+" | "-")) = kind(at) {
        at += 1;
    }
    at = group(at);
    loop {
        at = match kind(at) {
            Some(Kind::Op("." | "|")) => at + 2,
            Some(Kind::Op("(" | "[")) => group(at),
            Some(Kind::Op("**")) => return right_operand(tokens, at + 1),
            _ => return at.min(tokens.len()),
        };
    }
}
