//! Trust anchors: the keys from which validation goes down (RFC 4033 §2).

use std::{io, path::Path, path::PathBuf, str::FromStr};

use hickory_resolver::proto::{
    dnssec::{
        PublicKey as _, PublicKeyBuf, TrustAnchors as Keys,
        rdata::{DNSKEY, DNSSECRData, DS},
    },
    rr::{Name, RData, RecordType},
};

use crate::net::own_file::read_own_file;

/// The keys that are trusted for themselves: as DNSKEY records, or as DS records that stand for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    anchors: Vec<(Name, Anchor)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Anchor {
    Key(PublicKeyBuf),
    Digest(DS),
}

/// Why a file of trust anchors cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorsError {
    /// The file cannot be read.
    #[error("cannot read the trust anchors in {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no DNSKEY and no DS record.
    #[error("{path}:{line}: {problem}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The file holds no anchor.
    #[error("{path} holds no trust anchor: no DNSKEY and no DS line")]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

impl TrustAnchors {
    /// The keys of the root that this version was built with (IANA, KSK-2017 and KSK-2024).
    pub fn built_in() -> Self {
        let keys = Keys::default();
        let anchors = (0..keys.len()).filter_map(|index| keys.get(index));
        Self { anchors: anchors.map(|key| (Name::root(), Anchor::Key(key.clone()))).collect() }
    }

    /// The anchors of a file with DNSKEY and DS records, one a line, as in a zone file; `;` begins a comment.
    ///
    /// # Errors
    /// [`AnchorsError`] names the file and the line.
    pub fn from_file(path: &Path) -> Result<Self, AnchorsError> {
        let unreadable = |source| AnchorsError::Unreadable { path: path.to_owned(), source };
        let bytes = read_own_file(path).map_err(unreadable)?;
        let text =
            String::from_utf8(bytes).map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let mut anchors = Vec::new();
        for (number, line) in text.lines().enumerate() {
            match anchor(line) {
                Ok(Some(anchor)) => anchors.push(anchor),
                Ok(None) => {}
                Err(problem) => return Err(AnchorsError::Line { path: path.to_owned(), line: number + 1, problem }),
            }
        }
        match anchors.is_empty() {
            true => Err(AnchorsError::Empty { path: path.to_owned() }),
            false => Ok(Self { anchors }),
        }
    }

    /// Whether the zone has an anchor of its own.
    pub(super) fn holds(&self, zone: &Name) -> bool {
        self.anchors.iter().any(|(name, _)| name == zone)
    }

    /// Whether all of them are of the root: then nothing below an unsigned delegation is signed.
    pub(super) fn are_of_the_root(&self) -> bool {
        self.anchors.iter().all(|(name, _)| name.is_root())
    }

    /// Whether the key of the zone is trusted for itself.
    pub(super) fn covers(&self, zone: &Name, key: &DNSKEY) -> bool {
        self.anchors.iter().filter(|(name, _)| name == zone).any(|(_, anchor)| match anchor {
            Anchor::Key(trusted) => trusted == key.public_key(),
            Anchor::Digest(ds) => {
                ds.algorithm() == key.public_key().algorithm() && ds.covers(zone, key).unwrap_or(false)
            }
        })
    }

    /// The zones whose anchors are DS records: their DNSKEY records have to be asked for.
    pub(super) fn digested_zones(&self) -> Vec<Name> {
        let mut zones: Vec<Name> = Vec::new();
        for (name, anchor) in &self.anchors {
            if matches!(anchor, Anchor::Digest(_)) && !zones.contains(name) {
                zones.push(name.clone());
            }
        }
        zones
    }

    /// The anchors that are keys.
    pub(super) fn keys(&self) -> Keys {
        let mut keys = Keys::empty();
        for (name, anchor) in &self.anchors {
            if let Anchor::Key(key) = anchor {
                insert(&mut keys, name, key);
            }
        }
        keys
    }
}

/// Adds a key to those of the library.
pub(super) fn insert(keys: &mut Keys, zone: &Name, key: &PublicKeyBuf) {
    match zone.is_root() {
        true => keys.insert(key),
        false => keys.insert_with_name(key, zone.into()),
    };
}

/// The anchor in a line: `. 172800 IN DNSKEY 257 3 8 AwEAAa…` or `. IN DS 20326 8 2 E06D44…`, TTL and class as they please.
fn anchor(line: &str) -> Result<Option<(Name, Anchor)>, String> {
    let line = line.split(';').next().unwrap_or_default();
    // Parentheses only allow a record to go on in the next line; in one line they change nothing.
    let line = line.replace(['(', ')'], " ");
    let mut words = line.split_ascii_whitespace();
    let Some(owner) = words.next() else { return Ok(None) };
    let name = Name::from_ascii(owner).map_err(|error| format!("{owner:?} is no name of a zone: {error}"))?;
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    let kind = words.find(|word| !word.eq_ignore_ascii_case("IN") && word.parse::<u32>().is_err());
    let data: Vec<&str> = words.collect();
    match kind.map(str::to_ascii_uppercase).as_deref() {
        Some("DNSKEY") => key(&data).map(|key| Some((name, Anchor::Key(key)))),
        Some("DS") => match RData::try_from_str(RecordType::DS, &data.join(" ")) {
            Ok(RData::DNSSEC(DNSSECRData::DS(ds))) => Ok(Some((name, Anchor::Digest(ds)))),
            Ok(_) => Err("this is no DS record".to_owned()),
            Err(error) => Err(format!("this is no DS record: {error}")),
        },
        Some(other) => Err(format!("a DNSKEY or a DS record is expected here, not {other}")),
        None => Err("a DNSKEY or a DS record is expected here".to_owned()),
    }
}

/// The key in the data of a DNSKEY record (RFC 4034 §2.2).
fn key(data: &[&str]) -> Result<PublicKeyBuf, String> {
    let keys = Keys::from_str(&format!(". 0 IN DNSKEY {}", data.join(" "))).map_err(
        |error: hickory_resolver::proto::serialize::txt::ParseError| format!("this is no DNSKEY record: {error}"),
    )?;
    keys.get(0).cloned().ok_or_else(|| "this is no DNSKEY record".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As IANA publishes them: https://data.iana.org/root-anchors/root-anchors.xml
    const IANA: [&str; 2] = [
        ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
        ".\t172800 DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C48 3AF444A4C0FB2B16 ; KSK-2024",
    ];

    #[test]
    fn the_built_in_keys_are_those_of_the_published_digests() {
        let published = TrustAnchors { anchors: IANA.map(|line| anchor(line).unwrap().unwrap()).into() };
        let built_in = TrustAnchors::built_in();
        assert_eq!(built_in.anchors.len(), 2);
        for (zone, anchor) in &built_in.anchors {
            let Anchor::Key(key) = anchor else { panic!("{anchor:?}") };
            let key = DNSKEY::with_flags(257, key.clone());
            assert!(zone.is_root() && published.covers(zone, &key) && built_in.covers(zone, &key));
        }
        assert_eq!(published.digested_zones(), [Name::root()]);
        assert!(published.holds(&Name::root()) && published.keys().is_empty());
    }

    #[test]
    fn a_line_may_be_written_in_every_way_of_a_zone_file() {
        let data = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
        let plain = anchor(&format!("example DNSKEY {data}")).unwrap().unwrap();
        for line in [
            format!("Example. 3600 IN DNSKEY {data} ; a comment"),
            format!("example. IN 3600 dnskey ( {data} )"),
            format!("  example.\tIN\tDNSKEY\t{data}"),
        ] {
            assert_eq!(anchor(&line).unwrap().unwrap(), plain, "{line}");
        }
        assert_eq!(plain.0, Name::from_ascii("example.").unwrap());
        for nothing in ["", "   ", "; only a comment"] {
            assert_eq!(anchor(nothing), Ok(None));
        }
        for broken in [".", ". IN", ". IN DS", ". IN DS 1 8 2 zz", ". DNSKEY 257 3", "a..b DS 1 8 2 00", ". NS a."] {
            assert!(anchor(broken).is_err(), "{broken:?}");
        }
    }
}
