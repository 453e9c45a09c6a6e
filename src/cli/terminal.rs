//! What the terminal can show.

use std::{env, io};

use anstream::{AutoStream, ColorChoice};

use crate::present::Look;

/// How a report on standard output looks: colours on a terminal, unless `NO_COLOR` is set; more than ASCII where the locale
/// is UTF-8.
pub fn look(verbose: bool) -> Look {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).ok());
    Look {
        colour: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        unicode: is_utf8(variables.iter().map(Option::as_deref)),
        verbose,
    }
}

/// The first variable that is set and not empty decides (POSIX.1-2024 §8.2).
pub(super) fn is_utf8<'a>(variables: impl IntoIterator<Item = Option<&'a str>>) -> bool {
    let locale = variables.into_iter().flatten().find(|value| !value.is_empty());
    locale.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_decides() {
        let cases = [
            ([None, None, Some("en_GB.UTF-8")], true),
            ([None, None, Some("C.utf8")], true),
            ([Some("C"), None, Some("en_GB.UTF-8")], false),
            ([Some(""), Some("de_DE.UTF-8"), Some("C")], true),
            ([None, None, Some("en_GB.ISO-8859-1")], false),
            ([None, None, None], false),
        ];
        for (variables, utf8) in cases {
            assert_eq!(is_utf8(variables), utf8, "{variables:?}");
        }
    }
}
