//! The reference matches patterns with Oniguruma, in Ruby's syntax. This program's engine has the same syntax but for a few
//! signs, which are rewritten, or refused where there is no equal.

use crate::prompt::tokenizer::patterns::LONGEST_PATTERN;

/// Members of Oniguruma's `\w`. The engine's own `\w` also has the zero-width joiners.
const WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}";

/// Escapes that have another meaning, or none, in the engine.
const DIFFERENT_ESCAPES: &str = "bBhHRXONKGZyYkg";

/// The pattern in the engine's syntax.
///
/// # Errors
/// What the pattern uses that cannot be rewritten.
pub(super) fn rewrite(pattern: &str) -> Result<String, String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!(
            "it has {} bytes, at most {LONGEST_PATTERN} are accepted",
            pattern.len()
        ));
    }
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut depth = 0_usize;
    while let Some(sign) = rest.chars().next() {
        let after = &rest[sign.len_utf8()..];
        let taken = match sign {
            '\\' => escape(after, &mut out)? + 1,
            '[' => {
                if depth > 0 && after.starts_with(':') {
                    return Err("classes such as [[:alpha:]] are not supported".into());
                }
                depth += 1;
                // A `^` here negates the class.
                let taken = 1 + usize::from(after.starts_with('^'));
                out.push_str(&rest[..taken]);
                taken
            }
            ']' => {
                depth = depth.saturating_sub(1);
                out.push(']');
                1
            }
            // In Ruby's syntax these are the ends of a line.
            '^' | '$' if depth == 0 => {
                out.push_str("(?m:");
                out.push(sign);
                out.push(')');
                1
            }
            '(' if depth == 0 && after.starts_with('?') => {
                check_group(&after[1..])?;
                out.push('(');
                1
            }
            '}' if depth == 0 && after.starts_with('+') => {
                return Err(
                    "`}+` repeats again in one engine and is possessive in the other".into(),
                );
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(out)
}

/// Copies what follows a backslash; returns its length.
fn escape(after: &str, out: &mut String) -> Result<usize, String> {
    let Some(sign) = after.chars().next() else {
        return Err("it ends with a backslash".into());
    };
    match sign {
        'w' => out.push_str(&format!("[{WORD}]")),
        'W' => out.push_str(&format!("[^{WORD}]")),
        'p' | 'P' if after[1..].starts_with('{') => {
            let end = after.find('}').ok_or("a property without `}`")?;
            if after[..end].contains('^') {
                return Err("a negation within \\p{} is not supported".into());
            }
            out.push('\\');
            out.push_str(&after[..=end]);
            return Ok(end + 1);
        }
        _ if DIFFERENT_ESCAPES.contains(sign) => {
            return Err(format!("`\\{sign}` is not supported"));
        }
        _ => {
            out.push('\\');
            out.push(sign);
        }
    }
    Ok(sign.len_utf8())
}

/// Checks what follows `(?`.
fn check_group(after: &str) -> Result<(), String> {
    let flags = after.find([':', ')']).map_or("", |end| &after[..end]);
    let is_flags = !flags.is_empty()
        && flags
            .chars()
            .all(|flag| flag.is_ascii_alphabetic() || flag == '-');
    if (is_flags && flags.contains(|flag| flag != 'i' && flag != '-')) || after.starts_with('~') {
        return Err(format!("the group `(?{flags}` is not supported"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_with_another_meaning_are_rewritten_or_refused() {
        assert_eq!(
            rewrite(r"(?i:'s)|\p{N}{1,3}| ?[^\s\p{L}]+\r"),
            Ok(r"(?i:'s)|\p{N}{1,3}| ?[^\s\p{L}]+\r".into())
        );
        assert_eq!(
            rewrite(r"^\w+[^\w^$]$"),
            Ok(format!("(?m:^)[{WORD}]+[^[{WORD}]^$](?m:$)"))
        );
        let problem = |pattern: &str| rewrite(pattern).expect_err("refused");
        assert_eq!(problem(r"\bx"), r"`\b` is not supported");
        assert_eq!(
            problem(r"[[:alpha:]]"),
            "classes such as [[:alpha:]] are not supported"
        );
        assert_eq!(problem(r"(?m:.)"), "the group `(?m` is not supported");
        assert_eq!(
            problem(r"a{1,3}+"),
            "`}+` repeats again in one engine and is possessive in the other"
        );
        assert_eq!(
            problem(r"\p{^L}"),
            r"a negation within \p{} is not supported"
        );
        assert_eq!(
            problem(&"a".repeat(10_001)),
            "it has 10001 bytes, at most 10000 are accepted"
        );
    }
}
