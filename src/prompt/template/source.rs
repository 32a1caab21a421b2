//! Jinja2's lexer, and a rewriting of its token stream into source that minijinja reads the same way.
//!
//! Whitespace control (`trim_blocks`, `lstrip_blocks`, `-` and `+` marks, raw blocks) is done here, by the rules of
//! `jinja2/lexer.py` 3.1, because minijinja differs in edge cases. The other differences are in tokens only: string
//! escapes, `generation` tags, and `%`, which is string formatting in Python; and filters that keep a rendering within its
//! limits. Line numbers are preserved for error messages.

use super::bindings::{ARGUMENT_FILTER, check_bindings};
use super::limits;
use super::nesting::{Expression, Statements};
use super::operators::{charge_filters, format_operators, iterate_as_python};
use super::python::is_space;

/// A source that Jinja2's lexer rejects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LexError {
    pub(super) line: u64,
    pub(super) problem: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Number(String),
    Text(String),
    Op(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Newlines of the source before it.
    pub(super) newlines: usize,
}

const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Converts a Jinja2 source to minijinja source without whitespace control.
pub(super) fn rewrite(source: &str) -> Result<String, LexError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut writer = Writer::default();
    let mut lexer = Lexer {
        source,
        at: 0,
        slices: 0,
    };
    if source.len() > limits::SOURCE_BYTES {
        return Err(lexer.error(format!(
            "it has {} bytes, more than {}",
            source.len(),
            limits::SOURCE_BYTES
        )));
    }
    let mut statements = Statements::default();
    // Whether the preceding text ended a line: only then does `lstrip_blocks` strip leading blanks.
    let mut line_starting = true;
    while lexer.at < source.len() {
        let rest = lexer.rest();
        let Some(start) = find_tag(rest) else {
            writer.data(rest);
            break;
        };
        let text = &rest[..start];
        let mark = rest.as_bytes()[start + 1];
        let sign = rest[start + 2..]
            .chars()
            .next()
            .filter(|c| "+-".contains(*c));
        let open_len = 2 + usize::from(sign.is_some());
        writer.stripped(text, sign, mark != b'{', line_starting);
        lexer.at += start + open_len;
        match mark {
            b'#' => {
                let body = lexer.rest();
                let end = body
                    .find("#}")
                    .ok_or_else(|| lexer.error("missing end of comment tag"))?;
                writer.owed += newlines(&body[..end]);
                let close_sign = body[..end].chars().next_back();
                lexer.at += end + 2;
                line_starting = lexer.close(close_sign, true, &mut writer);
            }
            b'%' if raw_word(lexer.rest(), "raw").is_some() => {
                let (len, close_sign) = raw_word(lexer.rest(), "raw").unwrap_or_default();
                writer.owed += newlines(&lexer.rest()[..len]);
                lexer.at += len;
                // The first newline of a raw block is kept: `trim_blocks` does not apply to it.
                line_starting = lexer.close(close_sign, false, &mut writer);
                line_starting = raw_block(&mut lexer, &mut writer, line_starting)?;
            }
            _ => {
                let block = mark == b'%';
                let (tokens, close_sign) = lexer.tag(block)?;
                if block {
                    statements
                        .count(&tokens)
                        .map_err(|problem| lexer.error(problem))?;
                }
                writer.tag(block, tokens);
                line_starting = lexer.close(close_sign, block, &mut writer);
            }
        }
    }
    writer.flush(true);
    Ok(writer.out)
}

/// Offset of the next `{{`, `{%` or `{#`.
fn find_tag(text: &str) -> Option<usize> {
    text.as_bytes()
        .windows(2)
        .position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Matches `<word> %}` behind an opening mark: its length and the sign before `%}`.
fn raw_word(text: &str, word: &str) -> Option<(usize, Option<char>)> {
    let rest = text.trim_start_matches(is_space).strip_prefix(word)?;
    let rest = rest.trim_start_matches(is_space);
    let (rest, sign) = match rest.strip_prefix("-%}") {
        Some(rest) => (rest, Some('-')),
        None => match rest.strip_prefix("+%}").filter(|_| word == "endraw") {
            Some(rest) => (rest, Some('+')),
            None => (rest.strip_prefix("%}")?, None),
        },
    };
    Some((text.len() - rest.len(), sign))
}

fn raw_block(
    lexer: &mut Lexer<'_>,
    writer: &mut Writer,
    line_starting: bool,
) -> Result<bool, LexError> {
    let rest = lexer.rest();
    let mut from = 0;
    while let Some(found) = rest[from..].find("{%") {
        let start = from + found;
        let after = &rest[start + 2..];
        let sign = after.chars().next().filter(|c| "+-".contains(*c));
        let skip = usize::from(sign.is_some());
        if let Some((len, close_sign)) = raw_word(&after[skip..], "endraw") {
            writer.stripped(&rest[..start], sign, true, line_starting);
            writer.owed += newlines(&after[..skip + len]);
            lexer.at += start + 2 + skip + len;
            return Ok(lexer.close(close_sign, true, writer));
        }
        from = start + 2;
    }
    Err(lexer.error("missing end of raw directive"))
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    /// Slices so far.
    slices: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error(&self, problem: impl Into<String>) -> LexError {
        LexError {
            line: newlines(&self.source[..self.at]) as u64 + 1,
            problem: problem.into(),
        }
    }

    /// Skips what the end of a tag removes; returns whether it ended a line.
    fn close(&mut self, sign: Option<char>, trim: bool, writer: &mut Writer) -> bool {
        let rest = self.rest();
        let skipped = match sign {
            Some('-') => rest.len() - rest.trim_start_matches(is_space).len(),
            Some('+') => 0,
            _ => usize::from(trim && rest.starts_with('\n')),
        };
        writer.owed += newlines(&rest[..skipped]);
        self.at += skipped;
        rest[..skipped].ends_with('\n')
    }

    /// The tokens up to and including the end mark; and the sign before it.
    fn tag(&mut self, block: bool) -> Result<(Vec<Token>, Option<char>), LexError> {
        let end = if block { "%}" } else { "}}" };
        let mut tokens: Vec<Token> = Vec::new();
        let mut expression = Expression::new();
        let mut depth = 0_usize;
        let mut lines = 0;
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else {
                return Err(self.error(format!("unexpected end of template, expected `{end}`")));
            };
            if depth == 0 {
                let signed = rest
                    .strip_prefix(['-', '+'])
                    .filter(|after| after.starts_with(end) && (block || first == '-'));
                if signed.is_some() || rest.starts_with(end) {
                    self.at += end.len() + usize::from(signed.is_some());
                    // Newlines before the end mark are attributed to the next tag.
                    if lines > 0 {
                        tokens.push(Token {
                            kind: Kind::Name(String::new()),
                            newlines: lines,
                        });
                    }
                    self.slices += expression.slices;
                    return Ok((tokens, signed.map(|_| first)));
                }
            }
            if is_space(first) {
                lines += usize::from(first == '\n');
                self.at += first.len_utf8();
                continue;
            }
            let (kind, len) = if first.is_ascii_digit() {
                let after_dot = matches!(
                    tokens.last(),
                    Some(Token {
                        kind: Kind::Op("."),
                        ..
                    })
                );
                let len = number_len(rest, after_dot);
                (Kind::Number(rest[..len].replace('_', "")), len)
            } else if first == '_' || first.is_alphanumeric() {
                let len = rest
                    .find(|c: char| c != '_' && !c.is_alphanumeric())
                    .unwrap_or(rest.len());
                (Kind::Name(rest[..len].to_owned()), len)
            } else if first == '\'' || first == '"' {
                let len = string_len(rest).ok_or_else(|| self.error("a string does not end"))?;
                (Kind::Text(unescape(&rest[1..len - 1])), len)
            } else if let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
                match *op {
                    "(" | "[" | "{" => depth += 1,
                    ")" | "]" | "}" => {
                        depth = depth
                            .checked_sub(1)
                            .ok_or_else(|| self.error(format!("unexpected `{op}`")))?;
                    }
                    _ => {}
                }
                (Kind::Op(op), op.len())
            } else {
                return Err(self.error(format!("unexpected char {first:?}")));
            };
            expression
                .count(&kind)
                .map_err(|problem| self.error(problem))?;
            if self.slices + expression.slices > limits::SLICES {
                return Err(self.error(format!("it has more than {} slices", limits::SLICES)));
            }
            let inside = newlines(&rest[..len]);
            self.at += len;
            // Adjacent string literals are concatenated, as in Python.
            if let (
                Kind::Text(more),
                Some(Token {
                    kind: Kind::Text(text),
                    ..
                }),
            ) = (&kind, tokens.last_mut())
            {
                text.push_str(more);
            } else {
                tokens.push(Token {
                    kind,
                    newlines: lines,
                });
                lines = 0;
            }
            lines += inside;
        }
    }
}

fn number_len(text: &str, after_dot: bool) -> usize {
    let bytes = text.as_bytes();
    if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B')) {
        return text
            .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .unwrap_or(text.len());
    }
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'_')
            .count()
    };
    let mut len = digits(0);
    if after_dot {
        return len;
    }
    if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        if bytes.get(len + 1 + sign).is_some_and(u8::is_ascii_digit) {
            len += 1 + sign + digits(len + 1 + sign);
        }
    }
    len
}

fn string_len(text: &str) -> Option<usize> {
    let quote = text.as_bytes()[0];
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Python's `unicode-escape`: unlike in most languages an unknown escape keeps its backslash.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let Some(letter) = escape.chars().next() else {
            rest = escape;
            break;
        };
        let mut used = letter.len_utf8();
        let hex = |len: usize| {
            escape
                .get(1..1 + len)
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .and_then(char::from_u32)
        };
        let wide = match letter {
            'x' => hex(2).map(|c| (c, 2)),
            'u' => hex(4).map(|c| (c, 4)),
            'U' => hex(8).map(|c| (c, 8)),
            _ => None,
        };
        match (letter, wide) {
            (_, Some((c, len))) => {
                out.push(c);
                used += len;
            }
            ('\n', _) => {}
            ('n', _) => out.push('\n'),
            ('r', _) => out.push('\r'),
            ('t', _) => out.push('\t'),
            ('a', _) => out.push('\x07'),
            ('b', _) => out.push('\x08'),
            ('f', _) => out.push('\x0c'),
            ('v', _) => out.push('\x0b'),
            ('\\' | '\'' | '"', _) => out.push(letter),
            ('0'..='7', _) => {
                used = escape
                    .bytes()
                    .take(3)
                    .take_while(|byte| matches!(byte, b'0'..=b'7'))
                    .count();
                let code = u32::from_str_radix(&escape[..used], 8).ok();
                out.extend(code.and_then(char::from_u32));
            }
            _ => {
                out.push('\\');
                out.push(letter);
            }
        }
        rest = &escape[used..];
    }
    out.push_str(rest);
    out
}

#[derive(Default)]
struct Writer {
    out: String,
    pending: String,
    /// Newlines of the source that were dropped: the next tag contains them, so that lines keep their numbers.
    owed: usize,
}

impl Writer {
    fn data(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    /// Template text before a tag, after `-` or `lstrip_blocks`.
    fn stripped(&mut self, text: &str, sign: Option<char>, block: bool, line_starting: bool) {
        let kept = match sign {
            Some('-') => text.trim_end_matches(is_space),
            None if block => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                // Matches at least one blank; without any there is nothing to strip.
                if (line > 0 || line_starting) && text[line..].chars().all(is_space) {
                    &text[..line]
                } else {
                    text
                }
            }
            _ => text,
        };
        self.owed += newlines(&text[kept.len()..]);
        self.data(kept);
    }

    fn flush(&mut self, last: bool) {
        let text = std::mem::take(&mut self.pending);
        // Text of raw blocks may look like tags, so it becomes a string literal.
        if find_tag(&text).is_some() || (!last && text.ends_with('{')) {
            self.out.push_str("{{ ");
            self.literal(&text);
            self.out.push_str(" }}");
            self.owed += newlines(&text);
        } else {
            self.out.push_str(&text);
        }
    }

    fn literal(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn tag(&mut self, block: bool, mut tokens: Vec<Token>) {
        self.flush(false);
        if block
            && let Some(Token {
                kind: Kind::Name(name),
                ..
            }) = tokens.first_mut()
        {
            // The tag only marks the model's output; its body is a separate scope.
            match name.as_str() {
                "generation" => "with".clone_into(name),
                "endgeneration" => "endwith".clone_into(name),
                _ => {}
            }
        }
        charge_filters(&mut tokens);
        let mut bound = Vec::new();
        if block {
            bound = check_bindings(&mut tokens);
            iterate_as_python(&mut tokens);
        }
        format_operators(&mut tokens);
        self.out.push_str(if block { "{%" } else { "{{" });
        let mut tight = false;
        for Token { kind, newlines } in tokens {
            self.owed += newlines;
            if self.owed > 0 {
                self.out.extend(std::iter::repeat_n('\n', self.owed));
                self.owed = 0;
            } else if !tight {
                self.out.push(' ');
            }
            tight = kind == Kind::Op(".");
            match kind {
                Kind::Name(text) | Kind::Number(text) => self.out.push_str(&text),
                Kind::Text(text) => self.literal(&text),
                Kind::Op(op) => self.out.push_str(op),
            }
        }
        self.out.push_str(if block { " %}" } else { " }}" });
        for name in bound {
            self.out.push_str("{% set ");
            self.out.push_str(&name);
            self.out.push_str(" = ");
            self.out.push_str(&name);
            self.out.push('|');
            self.out.push_str(ARGUMENT_FILTER);
            self.out.push_str(" %}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::prompt::template::source::*;

    #[test]
    fn whitespace_control_follows_jinja2() {
        let same = |source: &str, wanted: &str| {
            assert_eq!(rewrite(source).as_deref(), Ok(wanted), "{source:?}");
        };
        same("a\n", "a");
        same("a\n\n", "a\n");
        same(
            "  {% if x %}\n  a\n  {% endif %}\nb",
            "{% if x %}  a\n{%\nendif %}b",
        );
        same(
            "a {%- if x -%} b {%+ endif +%}\nc",
            "a{% if x %}b {% endif %}\nc",
        );
        same("a {{- x -}} \n b", "a{{ x }}b");
        same("{# a #}\nb", "b");
        same("{% raw %}\n{{ x }}{% endraw %}\ny", "{{ \"\\n{{ x }}y\" }}");
    }

    #[test]
    fn modulo_becomes_a_filter_on_the_whole_operand() {
        let rem = |source: &str| rewrite(source).unwrap_or_else(|error| error.problem);
        assert_eq!(
            rem("{{ '%s' % x.y|f(1) ~ 2 }}"),
            "{{ ( \"%s\" ) | __python_mod ( x .y | __charged ( \"f\" , 1 ) ) | __python_concat ( 2 ) }}"
        );
        assert_eq!(
            rem("{{ a + b * c % -d == e }}"),
            "{{ a + ( b ) | __python_mul ( c ) | __python_mod ( - d ) == e }}"
        );
        assert_eq!(
            rem("{% if not a[0] % 2 %}"),
            "{% if not ( a [ 0 ] ) | __python_mod ( 2 ) %}"
        );
    }

    #[test]
    fn escapes_are_pythons() {
        assert_eq!(unescape(r"\d\n\x41\u00e9\101\\\'"), "\\d\nA\u{e9}A\\'");
    }

    #[test]
    fn lexer_errors_name_their_line() {
        assert_eq!(rewrite("a\n{{ 'x }}").map_err(|error| error.line), Err(2));
        assert_eq!(rewrite("{% raw %}").map_err(|error| error.line), Err(1));
    }
}
