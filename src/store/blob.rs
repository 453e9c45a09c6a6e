//! One subject's state as bytes: a version, then JSON under Zstandard.
//!
//! JSON, because a field can be added to it with a default, and because a person with `zstd -d` and `jq` can read it.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

/// The first byte of a blob that is read and written here.
const VERSION: u8 = 1;

/// The library's own default; measured beside deflate in docs/reliability.md.
const LEVEL: i32 = 3;

/// The largest text behind a blob. The largest observation that the limits of the probes allow lies far below it; a damaged
/// or planted blob must not fill the memory.
const LARGEST_TEXT: usize = 64 * 1024 * 1024;

/// Why a state cannot be packed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// Another program wrote it, or nothing did.
    #[error("it is of version {0}, and this program knows version {VERSION}")]
    Version(u8),
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It does not unpack, or is larger than anything that is written here.
    #[error("it does not unpack: {0}")]
    Packing(#[from] std::io::Error),
    /// The text is no state.
    #[error("it does not read: {0}")]
    Text(#[from] serde_json::Error),
}

/// One subject's state as the store keeps it, and as it lies in memory while nobody looks at it.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

impl Packed {
    /// Packs a state.
    ///
    /// # Errors
    /// [`PackedError`] where it is no JSON, as a map with keys that are no text.
    pub fn of(state: &impl Serialize) -> Result<Self, PackedError> {
        Ok(Self(pack(state)?.into()))
    }

    /// Bytes that were packed some time, by this version or an earlier one. Whether they are whole shows when they are opened.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The state.
    ///
    /// # Errors
    /// [`PackedError`] where a later version packed it, or it is damaged.
    pub fn open<T: DeserializeOwned>(&self) -> Result<T, PackedError> {
        unpack(&self.0)
    }

    /// The bytes, for a store.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

/// Packs one state after the other: what the library sets up for a frame is larger than a small state, and is set up once.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub(super) fn new() -> Result<Self, PackedError> {
        Ok(Self(zstd::bulk::Compressor::new(LEVEL)?))
    }

    pub(super) fn pack(&mut self, state: &impl Serialize) -> Result<Vec<u8>, PackedError> {
        let packed = self.0.compress(&serde_json::to_vec(state)?)?;
        let mut blob = Vec::with_capacity(packed.len() + 1);
        blob.push(VERSION);
        blob.extend(packed);
        Ok(blob)
    }
}

/// Packs a state.
pub(super) fn pack(state: &impl Serialize) -> Result<Vec<u8>, PackedError> {
    Packer::new()?.pack(state)
}

/// Unpacks a state. Any bytes may come: what is no state of this version is an error.
pub(super) fn unpack<T: DeserializeOwned>(blob: &[u8]) -> Result<T, PackedError> {
    match blob.split_first() {
        None => Err(PackedError::Empty),
        Some((&VERSION, packed)) => {
            let announced = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(u64::MAX);
            let size = usize::try_from(announced).ok().filter(|size| *size <= LARGEST_TEXT);
            let size = size.ok_or_else(|| std::io::Error::other("it does not tell its size, or too much"))?;
            Ok(serde_json::from_slice(&zstd::bulk::decompress(packed, size)?)?)
        }
        Some((&version, _)) => Err(PackedError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_packed_unpacks() {
        let state = vec!["a".repeat(100_000), "\\x00".to_owned()];
        let blob = pack(&state).unwrap();
        assert!(blob.len() < 1000, "{}", blob.len());
        assert_eq!(unpack::<Vec<String>>(&blob).unwrap(), state);
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut blob = pack(&1).unwrap();
        blob[0] = 9;
        assert!(matches!(unpack::<i32>(&blob), Err(PackedError::Version(9))));
        assert!(matches!(unpack::<i32>(&[]), Err(PackedError::Empty)));
        let blob = pack(&"text").unwrap();
        assert!(matches!(unpack::<i32>(&blob), Err(PackedError::Text(_))));
        assert!(matches!(unpack::<String>(&blob[..blob.len() - 1]), Err(PackedError::Packing(_))));
    }

    #[test]
    fn a_blob_that_would_fill_the_memory_is_refused() {
        // A frame that announces 1 TiB: magic number, descriptor with an 8-byte size and one segment, the size.
        let mut blob = vec![VERSION, 0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
        blob.extend((1_u64 << 40).to_le_bytes());
        assert!(matches!(unpack::<String>(&blob), Err(PackedError::Packing(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes: Vec<u8>) {
            let _ = unpack::<serde_json::Value>(&bytes);
            let _ = unpack::<serde_json::Value>(&[&[VERSION, 0x28, 0xb5, 0x2f, 0xfd], bytes.as_slice()].concat());
        }
    }
}
