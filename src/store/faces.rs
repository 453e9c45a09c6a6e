//! The faces of many domains, packed together. A row of its own for each takes many times the room, and a stop has little time.

use super::{PackedError, blob};
use crate::terms::PolicyDomain;

/// The first byte of what is written today.
const VERSION: u8 = 1;

/// Faces are alike, and are packed when the program is to end: quickly rather than small.
const LEVEL: i32 = 1;

/// So many domains are packed together: enough to find what they have in common, few enough that damage takes little.
pub const FACES_TOGETHER: usize = 1024;

/// A domain with its face.
pub type NamedFace = (PolicyDomain, Box<[u8]>);

/// What lists and scrapes show of some domains.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedFaces(Box<[u8]>);

impl PackedFaces {
    /// Packs the faces of these domains.
    ///
    /// # Errors
    /// [`PackedError`] where they cannot be packed.
    pub fn of<'a>(faces: impl Iterator<Item = (&'a PolicyDomain, &'a [u8])>) -> Result<Self, PackedError> {
        let mut text = Vec::new();
        for (domain, face) in faces {
            for part in [domain.as_str().as_bytes(), face] {
                // A name is short, and a face has its place in memory many times over.
                text.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
                text.extend_from_slice(part);
            }
        }
        let packed = zstd::bulk::compress(&text, LEVEL)?;
        Ok(Self([&[VERSION], packed.as_slice()].concat().into()))
    }

    /// Bytes that were packed some time. Whether they are whole shows when they are opened.
    pub(super) fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The domains with their faces.
    ///
    /// # Errors
    /// [`PackedError`] where a later version packed them, or they are damaged.
    pub fn open(&self) -> Result<Vec<NamedFace>, PackedError> {
        let packed = match self.0.split_first() {
            None => return Err(PackedError::Empty),
            Some((&VERSION, packed)) => packed,
            Some((&version, _)) => return Err(PackedError::Version(version)),
        };
        let text = zstd::bulk::decompress(packed, blob::size(packed)?)?;
        let mut rest = text.as_slice();
        let mut faces = Vec::new();
        while !rest.is_empty() {
            let face = next(&mut rest).zip(next(&mut rest));
            let named =
                face.and_then(|(name, face)| Some((std::str::from_utf8(name).ok()?.parse().ok()?, face.into())));
            faces.push(named.ok_or_else(|| std::io::Error::other("it ends too early, or a name in it is none"))?);
        }
        Ok(faces)
    }
}

/// Takes off a length and as many bytes.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *rest = behind;
    Some(part)
}

impl std::fmt::Debug for PackedFaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedFaces({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_packed_opens() {
        let faces: Vec<NamedFace> = (0..FACES_TOGETHER)
            .map(|n| (PolicyDomain::parse(&format!("d{n}.example")).unwrap(), vec![7; n % 50].into()))
            .collect();
        let packed = PackedFaces::of(faces.iter().map(|(domain, face)| (domain, &**face))).unwrap();
        assert_eq!(packed.open().unwrap(), faces);
        assert!(packed.as_bytes().len() < FACES_TOGETHER * 10, "{packed:?}");
        let none = PackedFaces::of(std::iter::empty()).unwrap();
        assert_eq!(none.open().unwrap(), []);
        let cut = PackedFaces::from_bytes(&packed.as_bytes()[..packed.as_bytes().len() - 1]);
        assert!(matches!(cut.open(), Err(PackedError::Packing(_))));
        assert!(matches!(PackedFaces::from_bytes([9, 0]).open(), Err(PackedError::Version(9))));
        assert!(matches!(PackedFaces::from_bytes([]).open(), Err(PackedError::Empty)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(text: Vec<u8>) {
            let _ = PackedFaces::from_bytes(text.as_slice()).open();
            let packed = zstd::bulk::compress(&text, LEVEL).unwrap();
            let _ = PackedFaces::from_bytes([&[VERSION], packed.as_slice()].concat()).open();
        }
    }
}
