//! How far DANE goes for a domain, in one word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Assessment, DaneWord};

/// How far DANE goes with the addresses of a domain's mail hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DaneReach {
    /// An address fails its TLSA records: senders that apply DANE do not deliver to it.
    Broken,
    /// Some addresses match their records, others have none that authenticate.
    Some,
    /// Every address matches.
    Every,
    /// No host asks for it.
    None,
}

impl DaneReach {
    /// All, in the order of lists.
    pub const ALL: [Self; 4] = [Self::Broken, Self::Some, Self::Every, Self::None];

    /// Over the addresses of which it can be told.
    pub fn of(assessment: &Assessment) -> Option<Self> {
        let addresses = assessment.mx.iter().flat_map(|mx| &mx.addresses);
        let (mut matches, mut others) = (false, false);
        for word in addresses.filter_map(|address| address.dane_word) {
            match word {
                DaneWord::Mismatch | DaneWord::Failed => return Some(Self::Broken),
                DaneWord::Match => matches = true,
                DaneWord::EncryptOnly | DaneWord::NotApplicable => others = true,
            }
        }
        match (matches, others) {
            (true, true) => Some(Self::Some),
            (true, false) => Some(Self::Every),
            (false, true) => Some(Self::None),
            (false, false) => None,
        }
    }

    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Some => "some",
            Self::Every => "every",
            Self::None => "none",
        }
    }
}
