//! Where a name lies among all names.

use aws_lc_rs::digest::{SHA256, digest};

/// The place of a name: the first eight bytes of its SHA-256, big endian. Names lie evenly, and a name lies at the same place for ever
/// and in every version: parts of the metrics and the slots of instances are cut by it.
pub fn place(name: &str) -> u64 {
    let digest = digest(&SHA256, name.as_bytes());
    // A digest of SHA-256 has 32 bytes.
    digest.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf example.com | sha256sum`: the numbers stay, whoever writes them.
    #[test]
    fn places_are_those_of_sha_256() {
        assert_eq!(place("example.com"), 0xa379_a6f6_eeaf_b9a5);
        assert_eq!(place(""), 0xe3b0_c442_98fc_1c14);
    }
}
