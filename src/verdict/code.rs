//! The codes of findings as texts.

use std::{borrow::Cow, fmt, str::FromStr, sync::LazyLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Code, Row, table::SeverityRule};

impl Code {
    /// The text of the code.
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }
}

impl Row {
    /// How its severity comes about, in words.
    pub fn severity_words(&self) -> String {
        match self.severity {
            SeverityRule::Fixed(severity) => severity.to_string(),
            SeverityRule::ByContext { enforce, dane, testing, none, unknown, dane_only } => {
                let with_dane = dane.map(|severity| format!(", {severity} with DANE on the host")).unwrap_or_default();
                let dane_only = dane_only
                    .map(|severity| format!(", {severity} where only DANE is in force and DANE-EE holds"))
                    .unwrap_or_default();
                format!(
                    "{enforce} with a policy in enforce{with_dane}, {testing} in testing, {none} without a policy, {unknown} \
                     while none was ever seen{dane_only}"
                )
            }
            SeverityRule::Stated(words) => words.to_owned(),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no code of a finding"))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text, and no list of words: a later version knows more of them.
impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "The code of a finding, of those in docs/findings.md."})
    }
}

/// Every code that a configuration may name.
pub fn known_codes() -> &'static [&'static str] {
    static KNOWN: LazyLock<Vec<&'static str>> = LazyLock::new(|| Code::ALL.iter().map(|code| code.as_str()).collect());
    &KNOWN
}
