//! Splits a template's source into words.

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Text(String),
    Name(String),
    /// A whole number, clamped to the largest representable one.
    Number(usize),
    Sign(String),
}

/// The words of a template's expressions and statements, without its literal text and comments.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    let opens = |pair: &[u8]| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#');
    while let Some(at) = rest.as_bytes().windows(2).position(opens) {
        let close = match &rest[at..at + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let open = &rest[at..at + 2];
        rest = &rest[at + 2..];
        if close == "#}" {
            rest = rest.find(close).map_or("", |end| &rest[end + 2..]);
            continue;
        }
        found.push(Token::Sign(open.to_owned()));
        rest = expression(rest, close, &mut found);
        found.push(Token::Sign(close.to_owned()));
    }
    found
}

fn expression<'s>(source: &'s str, close: &str, found: &mut Vec<Token>) -> &'s str {
    let mut rest = source.trim_start_matches(['-', '+']);
    while let Some(first) = rest.chars().next() {
        let trimmed = rest.trim_start_matches(['-', '+']);
        if let Some(behind) = trimmed.strip_prefix(close) {
            return behind;
        }
        let length = match first {
            '\'' | '"' => {
                let (text, length) = string(rest, first);
                found.push(Token::Text(text));
                length
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                found.push(match &rest[..length] {
                    "in" => Token::Sign("in".into()),
                    name => Token::Name(name.into()),
                });
                length
            }
            c if c.is_ascii_digit() => {
                let length = rest
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len());
                found.push(Token::Number(rest[..length].parse().unwrap_or(usize::MAX)));
                length
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => {
                let double = rest
                    .get(..2)
                    .filter(|sign| ["==", "!=", "<=", ">=", "**", "//"].contains(sign));
                let sign = double.map_or_else(|| c.to_string(), str::to_owned);
                let length = sign.len();
                found.push(Token::Sign(sign));
                length
            }
        };
        rest = &rest[length..];
    }
    rest
}

/// A string literal at the start of `source`: its text with the common escapes resolved, and its length.
fn string(source: &str, quote: char) -> (String, usize) {
    let mut text = String::new();
    let mut chars = source.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, c)) => text.push(c),
                None => break,
            },
            c if c == quote => return (text, at + c.len_utf8()),
            c => text.push(c),
        }
    }
    (text, source.len())
}
