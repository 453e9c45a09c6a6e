//! One subject's state as bytes: a version, then JSON under Zstandard.
//!
//! JSON, because a field can be added to it with a default, and because a person with `zstd -d` and `jq` can read it. States of subjects
//! are alike, so that a dictionary makes a fifth of them: `zstd -d -D src/store/wider.dict`, behind the first byte.

use std::{cell::RefCell, fmt, sync::LazyLock};

use serde::{Serialize, de::DeserializeOwned};
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

/// The first byte of a blob that is read and written here.
const VERSION: u8 = 1;

/// The first byte of one that is packed with [`STATES`]: it is read. A dictionary that was released never changes, and stays as long as
/// blobs may be packed with it: another one gets a number of its own.
const WITH_STATES: u8 = 2;

/// The first byte of one that is packed with [`WIDER`]: it is read and written.
const WITH_WIDER: u8 = 3;

/// What states of domains and mail hosts have in common. src/store/dictionary.md says how both were made.
static STATES: &[u8] = include_bytes!("states.dict");
static WIDER: &[u8] = include_bytes!("wider.dict");
static PACKING: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(WIDER, LEVEL));
static UNPACKING_STATES: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(STATES));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(WIDER));

/// What the library sets up for a frame is larger than a state: it is set up once a thread.
type Kept<T> = RefCell<Option<T>>;

thread_local! {
    static PACKER: Kept<Compressor<'static>> = const { RefCell::new(None) };
    static UNPACKER_OF_STATES: Kept<Decompressor<'static>> = const { RefCell::new(None) };
    static UNPACKER: Kept<Decompressor<'static>> = const { RefCell::new(None) };
}

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
    #[error("it is of version {0}, and this program knows versions {VERSION} to {WITH_WIDER}")]
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
        let text = serde_json::to_vec(state)?;
        let packed = PACKER.with_borrow_mut(|kept| {
            let packer = match kept {
                Some(packer) => packer,
                None => kept.insert(Compressor::with_prepared_dictionary(&PACKING)?),
            };
            packer.compress(&text)
        })?;
        Ok(Self(versioned(WITH_WIDER, &packed).into()))
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
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new() -> Result<Self, PackedError> {
        Ok(Self(Compressor::new(LEVEL)?))
    }

    pub(super) fn pack(&mut self, state: &impl Serialize) -> Result<Vec<u8>, PackedError> {
        Ok(versioned(VERSION, &self.0.compress(&serde_json::to_vec(state)?)?))
    }
}

fn versioned(version: u8, packed: &[u8]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(packed.len() + 1);
    blob.push(version);
    blob.extend(packed);
    blob
}

/// Unpacks a state. Any bytes may come: what is no state of this version is an error.
pub(super) fn unpack<T: DeserializeOwned>(blob: &[u8]) -> Result<T, PackedError> {
    let text = match blob.split_first() {
        None => return Err(PackedError::Empty),
        Some((&VERSION, packed)) => zstd::bulk::decompress(packed, size(packed)?)?,
        Some((&WITH_STATES, packed)) => UNPACKER_OF_STATES.with(|kept| decompress(kept, &UNPACKING_STATES, packed))?,
        Some((&WITH_WIDER, packed)) => UNPACKER.with(|kept| decompress(kept, &UNPACKING, packed))?,
        Some((&version, _)) => return Err(PackedError::Version(version)),
    };
    Ok(serde_json::from_slice(&text)?)
}

fn decompress(
    kept: &Kept<Decompressor<'static>>,
    dictionary: &'static DecoderDictionary<'static>,
    packed: &[u8],
) -> std::io::Result<Vec<u8>> {
    let mut kept = kept.borrow_mut();
    let unpacker = match &mut *kept {
        Some(unpacker) => unpacker,
        none => none.insert(Decompressor::with_prepared_dictionary(dictionary)?),
    };
    unpacker.decompress(packed, size(packed)?)
}

/// How large the text is, as the frame announces it.
pub(super) fn size(packed: &[u8]) -> std::io::Result<usize> {
    let announced = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(u64::MAX);
    let size = usize::try_from(announced).ok().filter(|size| *size <= LARGEST_TEXT);
    size.ok_or_else(|| std::io::Error::other("it does not tell its size, or too much"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_packed_unpacks() {
        let state = vec!["a".repeat(100_000), "\\x00".to_owned()];
        let blob = Packer::new().unwrap().pack(&state).unwrap();
        assert!(blob.len() < 1000, "{}", blob.len());
        assert_eq!(unpack::<Vec<String>>(&blob).unwrap(), state);
        let packed = Packed::of(&state).unwrap();
        assert_eq!(packed.open::<Vec<String>>().unwrap(), state);
        assert_eq!(packed.as_bytes()[0], WITH_WIDER);
    }

    #[test]
    fn what_the_version_before_packed_unpacks() {
        let state = "dns-lookup-failed _smtp._tls.example".repeat(100);
        let text = serde_json::to_vec(&state).unwrap();
        let packed = Compressor::with_dictionary(LEVEL, STATES).unwrap().compress(&text).unwrap();
        assert_eq!(unpack::<String>(&versioned(WITH_STATES, &packed)).unwrap(), state);
        // One that is called by the other number was damaged.
        assert!(matches!(unpack::<String>(&versioned(WITH_WIDER, &packed)), Err(PackedError::Packing(_))));
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let of = |state: &str| [Packer::new().unwrap().pack(&state).unwrap(), Packed::of(&state).unwrap().0.into()];
        assert!(matches!(unpack::<i32>(&[]), Err(PackedError::Empty)));
        for mut blob in of("text") {
            assert!(matches!(unpack::<i32>(&blob), Err(PackedError::Text(_))));
            assert!(matches!(unpack::<String>(&blob[..blob.len() - 1]), Err(PackedError::Packing(_))));
            blob[0] = 9;
            assert!(matches!(unpack::<String>(&blob), Err(PackedError::Version(9))));
        }
    }

    #[test]
    fn a_blob_that_would_fill_the_memory_is_refused() {
        // A frame that announces 1 TiB: magic number, descriptor with an 8-byte size and one segment, the size.
        for version in [VERSION, WITH_STATES, WITH_WIDER] {
            let mut blob = vec![version, 0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
            blob.extend((1_u64 << 40).to_le_bytes());
            assert!(matches!(unpack::<String>(&blob), Err(PackedError::Packing(_))));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes: Vec<u8>) {
            let _ = unpack::<serde_json::Value>(&bytes);
            for version in [VERSION, WITH_STATES, WITH_WIDER] {
                let _ = unpack::<serde_json::Value>(&[&[version, 0x28, 0xb5, 0x2f, 0xfd], bytes.as_slice()].concat());
            }
        }
    }
}
