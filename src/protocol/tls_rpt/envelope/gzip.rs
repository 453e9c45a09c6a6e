//! Gzip (RFC 1952), unpacked into a buffer that is bounded and used again.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::protocol::tls_rpt::{JSON_MOST, Quirk, Refusal, RefusalReason, report::Seen};

/// The buffer grows from here: reports are a few kilobytes.
const FIRST_ROOM: usize = 16 << 10;

/// So many members of one file are unpacked: tools that append make one for each write.
const MEMBERS_MOST: usize = 1000;

pub(super) fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::new(RefusalReason::BadEncoding, detail)
}

/// Unpacks all members, one behind the other (RFC 1952 §2.2), into `output`.
pub(super) fn gunzip(
    inflate: &mut Decompress,
    mut input: &[u8],
    output: &mut Vec<u8>,
    quirks: &mut Seen,
) -> Result<(), Refusal> {
    output.clear();
    for member in 0_usize.. {
        if member > 0 {
            quirks.add(Quirk::MultiMemberGzip);
        }
        if member == MEMBERS_MOST {
            let detail = format!("gzip with more than {MEMBERS_MOST} members");
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        let body = skip_header(input).ok_or_else(|| bad("the gzip header is cut off or damaged"))?;
        let start = output.len();
        let rest = inflate_into(inflate, body, output)?;
        let (Some((sum, rest)), inflated) = (rest.split_first_chunk::<4>(), output.get(start..).unwrap_or_default())
        else {
            return Err(bad("the gzip data end before their checksum"));
        };
        let mut crc = Crc::new();
        crc.update(inflated);
        if crc.sum() != u32::from_le_bytes(*sum) {
            return Err(bad("the gzip data are damaged: their checksum (CRC-32) is another"));
        }
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            return Err(bad("the gzip data end before their length"));
        };
        // Without the upper bits, as RFC 1952 §2.3.1 has it.
        if inflated.len() as u32 != u32::from_le_bytes(*length) {
            return Err(bad("the gzip data are damaged: their length is another"));
        }
        if rest.starts_with(&[0x1f, 0x8b]) {
            input = rest;
            continue;
        }
        // Zeros fill up a block of a tape or a disk.
        if rest.iter().any(|byte| *byte != 0) {
            quirks.add(Quirk::TrailingData);
        }
        return Ok(());
    }
    Ok(())
}

/// What follows the header of a member (RFC 1952 §2.3).
fn skip_header(input: &[u8]) -> Option<&[u8]> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let ([0x1f, 0x8b, 8, flags, ..], mut rest) = input.split_first_chunk::<10>()? else { return None };
    if flags & EXTRA != 0 {
        let (length, more) = rest.split_first_chunk::<2>()?;
        rest = more.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HEADER_CRC != 0 { rest.get(2..) } else { Some(rest) }
}

/// Appends what a deflate stream holds (RFC 1951) to `output`, [`JSON_MOST`] bytes in all, and returns what follows the stream.
pub(super) fn inflate_into<'a>(
    inflate: &mut Decompress,
    input: &'a [u8],
    output: &mut Vec<u8>,
) -> Result<&'a [u8], Refusal> {
    inflate.reset(false);
    let mut rest = input;
    loop {
        if output.len() > JSON_MOST {
            let detail = format!("more than {JSON_MOST} bytes come out of {} compressed ones", input.len());
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        if output.len() == output.capacity() {
            // One byte more than may be: else the end of the room would look like the end of the data.
            let room = (2 * output.capacity()).clamp(FIRST_ROOM, JSON_MOST + 1);
            output.reserve_exact(room - output.len());
        }
        let (consumed, produced) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress_vec(rest, output, FlushDecompress::Finish);
        let took = usize::try_from(inflate.total_in() - consumed).unwrap_or(usize::MAX);
        rest = rest.get(took..).unwrap_or_default();
        match status {
            Ok(Status::StreamEnd) if output.len() <= JSON_MOST => return Ok(rest),
            Ok(Status::StreamEnd) => {}
            Ok(_) if output.len() < output.capacity() && took == 0 && inflate.total_out() == produced => {
                return Err(bad("the compressed data end too early"));
            }
            Ok(_) => {}
            Err(error) => {
                let done = output.len();
                return Err(bad(format!("the compressed data are damaged after {done} bytes of content: {error}")));
            }
        }
    }
}
