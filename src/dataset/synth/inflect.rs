//! English word forms by rule, and the article before a vowel.

/// Form of a word that a slot requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The unchanged word.
    Plain,
    /// `|s`: the plural of a noun.
    Plural,
    /// `|es`: the third person of a verb.
    Third,
    /// `|ing`: the gerund of a verb.
    Gerund,
    /// `|cap`: capitalized.
    Capital,
    /// `|snake`: as an identifier, `like_this`.
    Snake,
    /// `|camel`: as the name of a type, `LikeThis`.
    Camel,
}

impl Form {
    /// The form for an abbreviation used in assets.
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "s" => Self::Plural,
            "es" => Self::Third,
            "ing" => Self::Gerund,
            "cap" => Self::Capital,
            "snake" => Self::Snake,
            "camel" => Self::Camel,
            _ => Self::Plain,
        }
    }

    /// Returns `word` in this form.
    pub(super) fn apply(self, word: &str) -> String {
        match self {
            Self::Plain => word.to_owned(),
            Self::Plural => with_s(word),
            // In "breathe through" the first word is the verb.
            Self::Third => of_first(word, with_s),
            Self::Gerund => of_first(word, gerund),
            Self::Capital => capital(word),
            Self::Snake => word.replace([' ', '-'], "_").to_lowercase(),
            Self::Camel => word.split([' ', '-']).map(capital).collect(),
        }
    }
}

fn of_first(phrase: &str, form: impl Fn(&str) -> String) -> String {
    match phrase.split_once(' ') {
        Some((first, rest)) => format!("{} {rest}", form(first)),
        None => form(phrase),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u')
}

fn with_s(word: &str) -> String {
    const IRREGULAR: &[(&str, &str)] = &[
        ("bacterium", "bacteria"),
        ("child", "children"),
        ("glass of water", "glasses of water"),
        ("hypothesis", "hypotheses"),
        ("knife", "knives"),
        ("loaf", "loaves"),
        ("potato", "potatoes"),
        ("species", "species"),
        ("shelf", "shelves"),
        ("thesis", "theses"),
        ("time series", "time series"),
        ("tomato", "tomatoes"),
        ("hero", "heroes"),
    ];
    if let Some((_, plural)) = IRREGULAR.iter().find(|(single, _)| *single == word) {
        return (*plural).to_owned();
    }
    let bytes = word.as_bytes();
    match bytes {
        [.., before, b'y'] if !is_vowel(*before) => format!("{}ies", &word[..word.len() - 1]),
        [.., b's' | b'x' | b'z'] | [.., b'c' | b's', b'h'] => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

fn gerund(verb: &str) -> String {
    const DOUBLED: &[&str] = &[
        "chop", "plan", "run", "map", "log", "plot", "stir", "cut", "set", "fit", "stop", "get",
        "put",
    ];
    let bytes = verb.as_bytes();
    if DOUBLED.contains(&verb) {
        format!("{verb}{}ing", &verb[verb.len() - 1..])
    } else if let [.., before, b'e'] = bytes
        && !matches!(before, b'e' | b'y' | b'o')
    {
        format!("{}ing", &verb[..verb.len() - 1])
    } else {
        format!("{verb}ing")
    }
}

/// Appends `text`; an "a" directly before it becomes "an" if a vowel follows.
pub(super) fn push(out: &mut String, text: &str) {
    let vowel = match text.as_bytes() {
        [b'u', b'n' | b'r', ..] => !text.starts_with("uni"),
        [b'u', ..] => false,
        [b'h', b'o', b'n', ..] => !text.starts_with("hone") || text.starts_with("honest"),
        [first, ..] => is_vowel(*first),
        [] => false,
    };
    let article = ["a ", "A "]
        .iter()
        .filter_map(|article| out.strip_suffix(article))
        .any(|before| !before.ends_with(char::is_alphanumeric));
    if vowel && article {
        out.pop();
        out.push_str("n ");
    }
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use crate::dataset::synth::inflect::*;

    #[test]
    fn forms_of_words() {
        for (word, form, expected) in [
            ("query", "s", "queries"),
            ("day trip", "s", "day trips"),
            ("branch", "s", "branches"),
            ("breathe through", "es", "breathes through"),
            ("classify", "es", "classifies"),
            ("bake", "ing", "baking"),
            ("chop", "ing", "chopping"),
            ("free", "ing", "freeing"),
            ("unit test", "snake", "unit_test"),
            ("unit test", "camel", "UnitTest"),
            ("élan", "cap", "Élan"),
            ("word", "", "word"),
        ] {
            assert_eq!(Form::parse(form).apply(word), expected);
        }
    }

    #[test]
    fn articles() {
        for (before, word, expected) in [
            ("a ", "apple", "an apple"),
            ("is a ", "apple", "is an apple"),
            ("\"A ", "apple", "\"An apple"),
            ("extra ", "apple", "extra apple"),
            ("A ", "user", "A user"),
            ("A ", "unusual", "An unusual"),
            ("A ", "universal", "A universal"),
            ("A ", "honest", "An honest"),
        ] {
            let mut out = before.to_owned();
            push(&mut out, word);
            assert_eq!(out, expected);
        }
    }
}
