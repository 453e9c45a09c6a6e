//! What a policy says (RFC 8461 §3.2).

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MxPattern;
use crate::{
    protocol::problems::worst,
    terms::{MaxAge, MxHost, Problem, Reading},
};

/// What senders do with a host that fails the policy (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// They do not deliver to it.
    Enforce,
    /// They deliver, and report.
    Testing,
    /// As if there were no policy.
    None,
}

/// A policy that senders can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What senders do with a host that fails.
    pub mode: Mode,
    /// How long they may keep the policy. It can be above [`MaxAge::CAP`]: senders differ about that.
    pub max_age: MaxAge,
    /// The patterns in the order of the policy; never empty except in mode none.
    pub mx: Vec<MxPattern>,
}

/// What was made of a policy body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyReading {
    /// The policy; present exactly if it is usable.
    pub value: Option<Policy>,
    /// What is wrong or odd in it. The spans are offsets into the body; what is missing has an empty span at its end.
    pub problems: Vec<Problem>,
}

impl Mode {
    /// The word of the policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    /// Reads the word, whose case matters (RFC 8461 §3.2).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.as_str().as_bytes() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Policy {
    /// Whether a pattern matches `host` (RFC 8461 §4.1), whatever the mode.
    pub fn matches(&self, host: &MxHost) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// The patterns that match none of `hosts`.
    pub fn unused_patterns(&self, hosts: &[MxHost]) -> Vec<&MxPattern> {
        self.mx.iter().filter(|pattern| !hosts.iter().any(|host| pattern.matches(host))).collect()
    }

    /// Whether senders do the same under both: equal mode, max_age and set of patterns.
    pub fn same_meaning(&self, other: &Self) -> bool {
        let patterns = |policy: &Self| -> BTreeSet<MxPattern> { policy.mx.iter().cloned().collect() };
        self.mode == other.mode && self.max_age == other.max_age && patterns(self) == patterns(other)
    }

    /// A number that two policies have in common exactly if they mean the same (but for one chance in 2^64). It stays the same over
    /// versions of the program, so that it can be stored.
    pub fn print(&self) -> u64 {
        let patterns: BTreeSet<String> = self.mx.iter().map(|pattern| pattern.as_str().to_ascii_lowercase()).collect();
        let mut text = format!("{} {}", self.mode.as_str(), self.max_age.0);
        for pattern in patterns {
            text.push(' ');
            text.push_str(pattern.strip_suffix('.').unwrap_or(&pattern));
        }
        let digest = digest(&SHA256, text.as_bytes());
        digest.as_ref().iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
    }
}

impl PolicyReading {
    /// Whether mainstream senders use the policy.
    pub fn usable(&self) -> bool {
        self.value.is_some()
    }

    /// Whether every sender uses it, as far as its grammar goes.
    pub fn valid(&self) -> bool {
        self.usable() && self.worst().is_none_or(|reading| reading == Reading::Note)
    }

    /// The worst that was found.
    pub fn worst(&self) -> Option<Reading> {
        worst(&self.problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mx: &[&str]) -> Policy {
        let mx = mx.iter().map(|text| MxPattern::parse(text).unwrap()).collect();
        Policy { mode: Mode::Enforce, max_age: MaxAge(604_800), mx }
    }

    #[test]
    fn meaning_is_mode_age_and_the_set_of_patterns() {
        let one = policy(&["mx1.example.com", "*.example.net"]);
        assert!(one.same_meaning(&policy(&["*.EXAMPLE.net", "mx1.example.com.", "mx1.example.com"])));
        assert!(!one.same_meaning(&policy(&["mx1.example.com"])));
        assert!(!one.same_meaning(&Policy { mode: Mode::Testing, ..one.clone() }));
        assert!(!one.same_meaning(&Policy { max_age: MaxAge(1), ..one.clone() }));
    }

    #[test]
    fn unused_patterns_match_no_host() {
        let policy = policy(&["mx1.example.com", "*.example.net", "old.example.com"]);
        let hosts = [MxHost::parse("mx1.example.com").unwrap(), MxHost::parse("a.example.net").unwrap()];
        assert_eq!(policy.unused_patterns(&hosts), [&MxPattern::parse("old.example.com").unwrap()]);
        assert!(policy.matches(&hosts[1]));
    }

    #[test]
    fn the_word_of_a_mode_is_the_same_everywhere() {
        for mode in [Mode::Enforce, Mode::Testing, Mode::None] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{mode}\""));
            assert_eq!(Mode::parse(mode.as_str().as_bytes()), Some(mode));
        }
    }
}
