//! Registries: parts that users choose by name, such as policies, routers, engines and formats.
//!
//! A part lives in one file and carries its own [`Card`]; one line of its folder's list registers it. Look-up, error messages,
//! listings, command-line completion, the documentation test and the property tests all follow from that list.

use super::error::{Error, Result};

/// What a part is called and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// Name that users write: lower case, unique in its registry.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// One line for listings and help.
    pub summary: &'static str,
    /// What may or must follow the name and a colon, for example `SECONDS since the last use, as ttl:300`.
    pub parameter: Option<&'static str>,
}

impl Card {
    /// A part without aliases and without a parameter.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            summary,
            parameter: None,
        }
    }

    /// The same part, also known by other names.
    #[must_use]
    pub const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The same part, with a parameter behind a colon.
    #[must_use]
    pub const fn with_parameter(self, parameter: &'static str) -> Self {
        Self {
            parameter: Some(parameter),
            ..self
        }
    }

    /// Whether this is the part that a user means; `-` and `_` are the same.
    fn answers_to(&self, given: &str) -> bool {
        let same = |known: &str| {
            known.len() == given.len()
                && known.bytes().zip(given.bytes()).all(|(known, given)| {
                    known == given || matches!((known, given), (b'-', b'_') | (b'_', b'-'))
                })
        };
        same(self.name) || self.aliases.iter().any(|alias| same(alias))
    }
}

/// A registered part.
pub trait Named {
    /// Its card.
    fn card(&self) -> &Card;

    /// Name that users write.
    fn name(&self) -> &'static str {
        self.card().name
    }

    /// One line for listings and help.
    fn summary(&self) -> &'static str {
        self.card().summary
    }
}

/// All parts of one kind, in the order of listings, tables and charts.
#[derive(Debug)]
pub struct Registry<T: 'static> {
    kind: &'static str,
    page: &'static str,
    parts: &'static [T],
}

impl<T> Registry<T> {
    /// The parts of a kind; `kind` is the noun in error messages, `page` the file below `docs/` that describes every part.
    pub const fn new(kind: &'static str, page: &'static str, parts: &'static [T]) -> Self {
        Self { kind, page, parts }
    }

    /// What the parts are, as a noun: `scaling policy`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// File name below `docs/` that describes every part.
    pub fn page(&self) -> &'static str {
        self.page
    }

    /// All parts, in order.
    pub fn iter(&self) -> std::slice::Iter<'static, T> {
        self.parts.iter()
    }
}

impl<T: Named> Registry<T> {
    /// All names, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(Named::name).collect()
    }

    /// All cards, in order.
    pub fn cards(&self) -> Vec<Card> {
        self.iter().map(|part| *part.card()).collect()
    }

    /// The part of that name or alias; `-` and `_` are the same.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the closest part and lists all.
    pub fn find(&self, given: &str) -> Result<&'static T> {
        self.place(given)
            .and_then(|place| self.parts.get(place))
            .ok_or_else(|| Error::unknown_name(self.kind, given, &self.names()))
    }

    /// Where the part of that name or alias stands in the list, from 0.
    pub fn place(&self, given: &str) -> Option<usize> {
        self.iter().position(|part| part.card().answers_to(given))
    }

    /// The part and its parameter, of a text `NAME` or `NAME:PARAMETER`.
    ///
    /// # Errors
    /// As [`find`](Self::find), and [`Error::Usage`] for a parameter of a part that takes none.
    pub fn select<'a>(&self, text: &'a str) -> Result<(&'static T, Option<&'a str>)> {
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let part = self.find(name)?;
        match parameter {
            Some(_) if part.card().parameter.is_none() => Err(self.refuse(part, text)),
            parameter => Ok((part, parameter)),
        }
    }

    /// The error for a parameter that a part does not understand.
    pub fn refuse(&self, part: &T, text: &str) -> Error {
        let remedy = match part.card().parameter {
            Some(parameter) => format!("give {parameter}"),
            None => format!("it takes no parameter: give `{}` alone", part.name()),
        };
        Error::usage(format!("{} `{text}`", self.kind), remedy)
    }

    /// One line a part for `--list-*`: its name and what it does.
    pub fn listing(&self) -> String {
        let width = self.iter().map(|part| part.name().len()).max().unwrap_or(0);
        let lines = self
            .iter()
            .map(|part| format!("{:<width$}  {}", part.name(), part.summary()));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl<T> IntoIterator for &Registry<T> {
    type Item = &'static T;
    type IntoIter = std::slice::Iter<'static, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::base::registry::*;

    struct Part(Card);

    impl Named for Part {
        fn card(&self) -> &Card {
            &self.0
        }
    }

    const EMPTIEST: Part =
        Part(Card::new("least-loaded", "the emptiest").with_aliases(&["emptiest"]));
    const TIMED: Part = Part(Card::new("ttl", "for a time").with_parameter("SECONDS, as ttl:300"));
    static PARTS: Registry<Part> = Registry::new("part", "parts.md", &[EMPTIEST, TIMED]);

    #[test]
    fn parts_are_found_by_name_alias_and_either_dash() {
        for given in ["least-loaded", "least_loaded", "emptiest"] {
            assert_eq!(PARTS.find(given).unwrap().name(), "least-loaded");
        }
        let error = PARTS.find("leest-loaded").err().map(|e| e.to_string());
        assert_eq!(
            error.unwrap(),
            "unknown part `leest-loaded`; did you mean `least-loaded`? known: least-loaded, ttl"
        );
    }

    #[test]
    fn parameters_stand_behind_a_colon() {
        let (part, parameter) = PARTS.select("ttl:300").unwrap();
        assert_eq!((part.name(), parameter), ("ttl", Some("300")));
        assert_eq!(PARTS.select("ttl").unwrap().1, None);
        let error = PARTS.select("least-loaded:3").err().map(|e| e.to_string());
        assert_eq!(
            error.unwrap(),
            "part `least-loaded:3`; it takes no parameter: give `least-loaded` alone"
        );
    }

    #[test]
    fn listings_align_names() {
        assert_eq!(
            PARTS.listing(),
            "least-loaded  the emptiest\nttl           for a time"
        );
    }
}
