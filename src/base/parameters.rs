//! Parameters of a registered component, as a table of the configuration that only the component itself interprets.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::error::{Error, Result};
use super::registry::{Named, Registry};

/// Keys and values of a table, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(Map<String, Value>);

impl Parameters {
    /// Creates the table of a configuration.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that a table cannot represent, such as a path that is not UTF-8.
    pub fn of<C: Serialize>(config: &C) -> Result<Self> {
        match serde_json::to_value(config) {
            Ok(Value::Object(table)) => Ok(Self(table)),
            Ok(_) => Ok(Self::default()),
            Err(error) => Err(Error::usage(error.to_string(), "give values that are text")),
        }
    }

    /// Reads the configuration from the table; missing keys take their defaults.
    ///
    /// # Errors
    /// A sentence that names the unknown or missing key or the invalid value.
    pub fn read<C: DeserializeOwned>(&self) -> Result<C, String> {
        let table = Value::Object(self.0.clone());
        serde_json::from_value(table).map_err(|error| explain(&error.to_string()))
    }

    /// The same table with every key of the configuration, in the configuration's order.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn complete<C: Serialize + DeserializeOwned>(&self) -> Result<Self, String> {
        let config: C = self.read()?;
        Self::of(&config).map_err(|error| error.to_string())
    }
}

impl From<Map<String, Value>> for Parameters {
    fn from(table: Map<String, Value>) -> Self {
        Self(table)
    }
}

/// Formats without a null value, such as TOML, omit keys without a value.
struct Entry<'a>(&'a Value);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Entry)),
            Value::Object(table) => {
                serializer.collect_map(table.iter().map(|(key, value)| (key, Entry(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Entry(value))))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self)
    }
}

/// Adds the closest known key to a deserialiser's message about an unknown field.
///
/// serde writes "unknown field `a`, expected one of `b`, `c`"; other messages stay as they are.
pub(crate) fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.to_owned();
    };
    let mut quoted = rest.split('`');
    let given = quoted.next().unwrap_or_default();
    // Known keys are separated by other text.
    let known: Vec<&str> = quoted.skip(1).step_by(2).collect();
    match Error::unknown_name("key", given, &known) {
        Error::Usage { problem, remedy } if !known.is_empty() => format!("{problem}: {remedy}"),
        _ => format!("unknown key `{given}`: no keys are allowed here"),
    }
}

/// A family of components, one of which a table of the configuration selects by the key `kind`.
pub trait Family: Named + std::fmt::Debug + 'static {
    /// Name of the component that is used if the configuration selects none.
    const DEFAULT: &'static str;

    /// All components of the family.
    fn registry() -> &'static Registry<Self>
    where
        Self: Sized;

    /// Returns the component's table with every key.
    ///
    /// # Errors
    /// A sentence that names the unknown or missing key or the invalid value.
    fn complete(&self, given: &Parameters) -> Result<Parameters, String>;
}

/// Parameters of one component of a family.
pub trait PartOf<T>: Serialize + DeserializeOwned {
    /// Name of the component.
    const NAME: &'static str;
}

/// A component that a table of the configuration selects by its key `kind`, with the parameters from the same table.
#[derive(Debug)]
pub struct Chosen<T: 'static> {
    part: &'static T,
    parameters: Parameters,
}

impl<T> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        Self {
            part: self.part,
            parameters: self.parameters.clone(),
        }
    }
}

impl<T: Named> PartialEq for Chosen<T> {
    fn eq(&self, other: &Self) -> bool {
        self.part.name() == other.part.name() && self.parameters == other.parameters
    }
}

impl<T: Family> Default for Chosen<T> {
    fn default() -> Self {
        match Self::read(T::DEFAULT, &Parameters::default()) {
            Ok(chosen) => chosen,
            Err(error) => unreachable!("the default part is registered: {error}"),
        }
    }
}

impl<T: Family> Chosen<T> {
    fn read(kind: &str, given: &Parameters) -> Result<Self, String> {
        let part = T::registry()
            .find(kind)
            .map_err(|error| error.to_string())?;
        let parameters = part
            .complete(given)
            .map_err(|message| format!("{} `{}`: {message}", T::registry().kind(), part.name()))?;
        Ok(Self { part, parameters })
    }

    /// Returns the component that has parameters of this type.
    ///
    /// # Errors
    /// As [`Parameters::of`].
    pub fn of<C: PartOf<T>>(parameters: &C) -> Result<Self> {
        Ok(Self {
            part: T::registry().find(C::NAME)?,
            parameters: Parameters::of(parameters)?,
        })
    }

    /// The selected component.
    pub fn part(&self) -> &'static T {
        self.part
    }

    /// Name of the selected component.
    pub fn name(&self) -> &'static str {
        self.part.name()
    }

    /// All parameters, with defaults.
    pub fn table(&self) -> &Parameters {
        &self.parameters
    }

    /// The parameters as this type, if it is the type of the selected component; `None` otherwise.
    pub fn parameters<C: PartOf<T>>(&self) -> Option<C> {
        (self.name() == C::NAME)
            .then(|| self.parameters.read().ok())
            .flatten()
    }
}

impl<T: Named> Serialize for Chosen<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.part.name())?;
        for (key, value) in &self.parameters.0 {
            map.serialize_entry(key, &Entry(value))?;
        }
        map.end()
    }
}

impl<'de, T: Family> Deserialize<'de> for Chosen<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut given = Parameters::deserialize(deserializer)?;
        match given.0.shift_remove("kind") {
            Some(Value::String(kind)) => Self::read(&kind, &given).map_err(D::Error::custom),
            Some(other) => Err(D::Error::custom(format!(
                "kind is {other}, expected a name"
            ))),
            None => Err(D::Error::missing_field("kind")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::base::parameters::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        target: f64,
        limit: Option<u32>,
    }

    impl Default for Config {
        fn default() -> Self {
            Self {
                target: 0.7,
                limit: None,
            }
        }
    }

    #[test]
    fn tables_are_completed_by_defaults() {
        let given: Parameters = toml::from_str("target = 2").unwrap();
        let all = given.complete::<Config>().unwrap();
        assert_eq!(toml::to_string(&all).unwrap(), "target = 2.0\n");
        assert_eq!(
            serde_json::to_string(&all).unwrap(),
            r#"{"target":2.0,"limit":null}"#
        );
        assert_eq!(all.read::<Config>().unwrap().target, 2.0);
    }

    #[test]
    fn unknown_keys_come_with_a_guess() {
        let given: Parameters = toml::from_str("tarket = 2").unwrap();
        assert_eq!(
            given.read::<Config>().unwrap_err(),
            "unknown key `tarket`: did you mean `target`? known: target, limit"
        );
        assert_eq!(
            explain("unknown field `a`, there are no fields"),
            "unknown key `a`: no keys are allowed here"
        );
    }
}
