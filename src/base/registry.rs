//! Registries of the components that users select by name, such as policies, routers, engines and formats.
//!
//! A component is one file with its own [`Card`]; one line in the list of its folder registers it. Look-up, error messages,
//! listings, command-line completion, the documentation test and the property tests are all derived from that list.

use super::error::{Error, Result};

/// The name of a component and a description of what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// Name in commands and configurations: lower case, unique in its registry.
    pub name: &'static str,
    /// Other accepted names.
    pub aliases: &'static [&'static str],
    /// One line for listings and help.
    pub summary: &'static str,
    /// Description of the parameter after the name and a colon, for example `SECONDS since the last use, as ttl:300`.
    pub parameter: Option<&'static str>,
}

impl Card {
    /// Creates the card of a component without aliases and without a parameter.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            summary,
            parameter: None,
        }
    }

    /// Returns the same card with further names.
    #[must_use]
    pub const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Returns the same card with a parameter after a colon.
    #[must_use]
    pub const fn with_parameter(self, parameter: &'static str) -> Self {
        Self {
            parameter: Some(parameter),
            ..self
        }
    }

    /// Whether a given name refers to this component; `-` and `_` are equivalent.
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

/// A registered component.
pub trait Named {
    /// Its card.
    fn card(&self) -> &Card;

    /// Name in commands and configurations.
    fn name(&self) -> &'static str {
        self.card().name
    }

    /// One line for listings and help.
    fn summary(&self) -> &'static str {
        self.card().summary
    }
}

/// All components of one kind, in the order of listings, tables and charts.
#[derive(Debug)]
pub struct Registry<T: 'static> {
    kind: &'static str,
    page: &'static str,
    parts: &'static [T],
}

impl<T> Registry<T> {
    /// Creates a registry; `kind` is the noun in error messages, `page` the file below `docs/` that describes every component.
    pub const fn new(kind: &'static str, page: &'static str, parts: &'static [T]) -> Self {
        Self { kind, page, parts }
    }

    /// Noun for the components: `scaling policy`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// File name below `docs/` that describes every component.
    pub fn page(&self) -> &'static str {
        self.page
    }

    /// All components, in order.
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

    /// Returns the component of a name or alias; `-` and `_` are equivalent.
    ///
    /// # Errors
    /// [`Error::Usage`] that suggests the closest component and lists all.
    pub fn find(&self, given: &str) -> Result<&'static T> {
        self.place(given)
            .and_then(|place| self.parts.get(place))
            .ok_or_else(|| Error::unknown_name(self.kind, given, &self.names()))
    }

    /// Returns the zero-based position in the list of the component of a name or alias.
    pub fn place(&self, given: &str) -> Option<usize> {
        self.iter().position(|part| part.card().answers_to(given))
    }

    /// Returns the component and its parameter from a text `NAME` or `NAME:PARAMETER`.
    ///
    /// # Errors
    /// As [`find`](Self::find), and [`Error::Usage`] for a parameter of a component that takes none.
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

    /// Creates the error for an invalid parameter of a component.
    pub fn refuse(&self, part: &T, text: &str) -> Error {
        let remedy = match part.card().parameter {
            Some(parameter) => format!("give {parameter}"),
            None => format!("it takes no parameter: give `{}` alone", part.name()),
        };
        Error::usage(format!("{} `{text}`", self.kind), remedy)
    }

    /// Formats one line per component for `--list-*`: its name and what it does.
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
