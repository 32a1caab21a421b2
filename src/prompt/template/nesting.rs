//! How deeply the expressions and statements of a source nest. The engine reads and compiles them with one call for each level,
//! so a limit keeps it from overflowing the stack.

use super::limits;
use super::source::{Kind, Token};

/// Counts the tokens and operators of one tag.
pub(super) struct Expression {
    tokens: usize,
    /// Operators that can nest in each other.
    operators: usize,
    /// Open brackets, with the operators in each since its last comma.
    brackets: Vec<(&'static str, usize)>,
    /// Number of slices.
    pub(super) slices: usize,
}

impl Expression {
    pub(super) fn new() -> Self {
        Self {
            tokens: 0,
            operators: 0,
            brackets: vec![("", 0)],
            slices: 0,
        }
    }

    /// Counts a token; an error is the limit that it exceeds.
    pub(super) fn count(&mut self, kind: &Kind) -> Result<(), String> {
        self.tokens += 1;
        if self.tokens > limits::TAG_TOKENS {
            return Err(format!("a tag has more than {} tokens", limits::TAG_TOKENS));
        }
        let Some((open, inner)) = self.brackets.last_mut() else {
            return Ok(());
        };
        match kind {
            Kind::Op("," | ";") => {
                self.operators -= *inner;
                *inner = 0;
            }
            Kind::Op(":") if *open == "[" => self.slices += 1,
            Kind::Op(":" | "=") | Kind::Number(_) | Kind::Text(_) => {}
            Kind::Op(")" | "]" | "}") => {
                self.operators -= *inner;
                self.brackets.pop();
            }
            Kind::Name(name) if !is_operator(name) => {}
            Kind::Op(_) | Kind::Name(_) => {
                *inner += 1;
                self.operators += 1;
                if let Kind::Op(open @ ("(" | "[" | "{")) = kind {
                    self.brackets.push((open, 0));
                }
            }
        }
        if self.operators > limits::OPERATORS {
            return Err(format!(
                "an expression has more than {} operators",
                limits::OPERATORS
            ));
        }
        Ok(())
    }
}

fn is_operator(name: &str) -> bool {
    matches!(name, "and" | "or" | "not" | "if" | "else" | "is" | "in")
}

/// Counts open statements.
#[derive(Default)]
pub(super) struct Statements {
    /// Levels of each open statement: one, and one for each `elif`.
    levels: Vec<usize>,
    depth: usize,
}

impl Statements {
    /// Counts a block tag; an error is the limit that it exceeds.
    pub(super) fn count(&mut self, tokens: &[Token]) -> Result<(), String> {
        let Some(Kind::Name(word)) = tokens.first().map(|token| &token.kind) else {
            return Ok(());
        };
        let assigns = || tokens.iter().any(|token| token.kind == Kind::Op("="));
        match word.as_str() {
            "elif" => {
                if let Some(levels) = self.levels.last_mut() {
                    *levels += 1;
                    self.depth += 1;
                }
            }
            "set" if assigns() => {}
            "if" | "for" | "with" | "macro" | "call" | "filter" | "set" | "block"
            | "autoescape" | "generation" => {
                self.levels.push(1);
                self.depth += 1;
            }
            _ if word.starts_with("end") => self.depth -= self.levels.pop().unwrap_or(0),
            _ => {}
        }
        if self.depth > limits::STATEMENTS {
            return Err(format!(
                "statements nest more than {} levels deep, with `elif` as a level",
                limits::STATEMENTS
            ));
        }
        Ok(())
    }
}
