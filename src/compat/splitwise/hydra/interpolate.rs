//! `${a.b}` and `${eval:'...'}` of OmegaConf, to the extent that the reference's configurations use them.

use serde_json::Value;

/// Limit of nesting, larger than in any configuration; detects circular references.
const DEEPEST: usize = 32;

/// A tree whose values are resolved on access.
pub(super) struct Root(Value);

impl Root {
    pub(super) fn new(tree: Value) -> Self {
        Self(tree)
    }

    /// The value at `a.0.b`, resolved; `None` if it is missing or null.
    pub(super) fn find(&self, key: &str) -> Result<Option<Value>, String> {
        self.find_at(key, 0)
    }

    /// Length of the list at `key`.
    pub(super) fn length(&self, key: &str) -> Result<usize, String> {
        match self.find(key)? {
            Some(Value::Array(list)) => Ok(list.len()),
            _ => Err(format!("`{key}`: expected a list")),
        }
    }

    fn find_at(&self, key: &str, depth: usize) -> Result<Option<Value>, String> {
        let pointer = format!("/{}", key.replace('.', "/"));
        match self.0.pointer(&pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => self.resolve(text, depth).map(Some),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// Text with its interpolations resolved; a text that consists of one interpolation keeps the type of its value.
    fn resolve(&self, text: &str, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(format!("`{text}` refers to itself"));
        }
        let Some(start) = text.find("${") else {
            return Ok(Value::String(text.to_owned()));
        };
        let end = closing(&text[start..])
            .ok_or_else(|| format!("`{text}`: a brace is not closed"))?
            + start;
        let inner = &text[start + 2..end];
        let value = match inner.split_once(':') {
            Some(("eval", expression)) => {
                let expression = self.resolve(expression, depth + 1)?;
                let expression = plain(&expression);
                let quotes: &[char] = &['\'', '"'];
                let expression = expression.trim().trim_matches(quotes);
                evaluate(expression).ok_or_else(|| format!("cannot evaluate `{expression}`"))?
            }
            Some((resolver, _)) => return Err(format!("`{text}`: unknown resolver `{resolver}`")),
            None => self
                .find_at(inner.trim(), depth + 1)?
                .ok_or_else(|| format!("`{text}`: `{inner}` is missing"))?,
        };
        if start == 0 && end + 1 == text.len() {
            return Ok(value);
        }
        let text = format!("{}{}{}", &text[..start], plain(&value), &text[end + 1..]);
        self.resolve(&text, depth + 1)
    }
}

/// Position of the brace that closes the one opened by the first two characters.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(place),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Evaluates arithmetic as Python does: `+ - * / // %`, brackets and `int()`.
fn evaluate(expression: &str) -> Option<Value> {
    let mut rest = expression.trim();
    let value = sum(&mut rest)?;
    if !rest.is_empty() || !value.is_finite() {
        return None;
    }
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Some(Value::from(value as i64));
    }
    Some(Value::from(value))
}

fn take(rest: &mut &str, token: &str) -> bool {
    match rest.trim_start().strip_prefix(token) {
        Some(left) => {
            *rest = left.trim_start();
            true
        }
        None => false,
    }
}

fn sum(rest: &mut &str) -> Option<f64> {
    let mut value = product(rest)?;
    loop {
        if take(rest, "+") {
            value += product(rest)?;
        } else if take(rest, "-") {
            value -= product(rest)?;
        } else {
            return Some(value);
        }
    }
}

fn product(rest: &mut &str) -> Option<f64> {
    let mut value = factor(rest)?;
    loop {
        if take(rest, "*") {
            value *= factor(rest)?;
        } else if take(rest, "//") {
            value = (value / factor(rest)?).floor();
        } else if take(rest, "/") {
            value /= factor(rest)?;
        } else if take(rest, "%") {
            let by = factor(rest)?;
            value -= (value / by).floor() * by;
        } else {
            return Some(value);
        }
    }
}

fn factor(rest: &mut &str) -> Option<f64> {
    if take(rest, "-") {
        return factor(rest).map(|value| -value);
    }
    let whole = take(rest, "int");
    if take(rest, "(") {
        let value = sum(rest)?;
        return take(rest, ")").then(|| if whole { value.trunc() } else { value });
    }
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let value = rest[..end].parse().ok().filter(|_| !whole)?;
    *rest = rest[end..].trim_start();
    Some(value)
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::hydra::interpolate::*;

    #[test]
    fn arithmetic() {
        for (text, expected) in [
            ("40 - 10", 30),
            ("int(44 * (40 - 10) // 24.8)", 53),
            ("int(4.76 * (40 - 7) // 2.21)", 71),
            ("2 + 3 * 4", 14),
            ("-(7 % 4)", -3),
            ("(100 + 5)", 105),
        ] {
            assert_eq!(evaluate(text), Some(Value::from(expected)), "{text}");
        }
        for text in ["", "1 +", "int 3", "(1", "os.remove", "1 / 0"] {
            assert_eq!(evaluate(text), None, "{text}");
        }
    }

    #[test]
    fn circles_and_gaps() {
        let root = Root::new(serde_json::json!({
            "a": "${b}", "b": "x${a}", "c": "${missing}", "d": "${hydra:x}", "e": "${f", "n": [4], "g": "${n.0}", "h": "<${n.0}>",
        }));
        for key in ["a", "c", "d", "e"] {
            assert!(root.find(key).is_err(), "{key}");
        }
        assert_eq!(root.find("g"), Ok(Some(Value::from(4))));
        assert_eq!(root.find("h"), Ok(Some(Value::from("<4>"))));
        assert_eq!(root.find("missing"), Ok(None));
    }
}
