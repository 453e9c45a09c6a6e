//! gzip in members (RFC 1952 §2.2): texts that are compressed apart and sent one after the other are one text to the reader.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// RFC 1952 §2.3: deflate, no name, no time, no system told.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Makes members. Its tables are made once: for short texts that is most of the work.
#[derive(Debug)]
pub(super) struct Members {
    /// At the fastest level: the text repeats itself so much that a higher one gains a tenth and takes twice as long.
    compress: Compress,
}

impl Members {
    pub(super) fn new() -> Self {
        Self { compress: Compress::new(Compression::fast(), false) }
    }

    /// A text as a member, after what is in `out`.
    pub(super) fn add(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.compress.reset();
        let mut crc = Crc::new();
        crc.update(text);
        out.extend_from_slice(&HEADER);
        loop {
            // What does not compress grows by five bytes in 16 kB.
            out.reserve(text.len() / 8 + 1024);
            let taken = usize::try_from(self.compress.total_in()).unwrap_or(usize::MAX);
            let rest = text.get(taken..).unwrap_or_default();
            match self.compress.compress_vec(rest, out, FlushCompress::Finish) {
                Ok(Status::Ok | Status::BufError) => {}
                // An error is one of decompressing alone.
                Ok(Status::StreamEnd) | Err(_) => break,
            }
        }
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::*;

    proptest::proptest! {
        #[test]
        fn members_are_one_text_to_the_reader(texts in proptest::collection::vec(".{0,200}", 1..8)) {
            let (mut members, mut packed) = (Members::new(), Vec::new());
            for text in &texts {
                members.add(text.as_bytes(), &mut packed);
            }
            let mut read = String::new();
            MultiGzDecoder::new(&*packed).read_to_string(&mut read).unwrap();
            proptest::prop_assert_eq!(read, texts.concat());
        }
    }

    #[test]
    fn what_does_not_compress_is_whole_too() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(300_000)
        .collect();
        let mut packed = Vec::new();
        Members::new().add(&noise, &mut packed);
        let mut read = Vec::new();
        MultiGzDecoder::new(&*packed).read_to_end(&mut read).unwrap();
        assert_eq!(read, noise);
    }
}
