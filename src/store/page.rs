//! Changes page by page, from the oldest to the latest: for readers that follow them.

use std::{fmt, str::FromStr};

use super::{StoreError, StoredChange};
use crate::terms::{MxHost, PolicyDomain, Timestamp};

/// The changes that follow a place in the log, the oldest first.
///
/// The log is in the order of writing, and one writer numbers it: what is written later has a larger number, even where it was seen
/// earlier. So whoever goes on behind the last number misses nothing and gets nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageWanted {
    /// Only those about this domain and these mail hosts; all, where there is none.
    pub about: Option<(PolicyDomain, Vec<MxHost>)>,
    /// Only those that were seen at this time or later.
    pub since: Option<Timestamp>,
    /// Only those behind this place.
    pub after: Option<Cursor>,
    /// How many at most.
    pub most: usize,
}

/// A page of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The changes, the oldest first.
    pub changes: Vec<StoredChange>,
    /// The place behind them: that of the question where nothing follows it, and nothing where that had none.
    pub next: Option<Cursor>,
    /// There are more now.
    pub more: bool,
}

/// A place in the log: behind a change. It prints as its number and time, which together tell one log from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the change.
    pub id: i64,
    /// When it was seen.
    pub at: Timestamp,
}

/// A text is no place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor")]
pub struct CursorError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The place is in another log: the file was lost, or set aside as damaged, and the log began anew.
    #[error("the log of changes began anew since this cursor was given")]
    Elsewhere,
    /// Nothing can be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.at.unix_milliseconds())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (id, at) = text.split_once('.').ok_or(CursorError)?;
        let id = id.parse().map_err(|_| CursorError)?;
        Ok(Self { id, at: Timestamp::from_unix_milliseconds(at.parse().map_err(|_| CursorError)?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_what_it_prints(id: i64, at: i64) {
            let cursor = Cursor { id, at: Timestamp::from_unix_milliseconds(at) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_an_answer(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn what_is_no_cursor() {
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "a.1", "1.a", "99999999999999999999.1"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
