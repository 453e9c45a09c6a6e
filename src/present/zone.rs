//! Lines of a zone file (RFC 1035 §5.1).

/// RFC 1035 §3.3: a character-string holds so many bytes.
const STRING: usize = 255;

/// A record with an absolute name. It begins in the first column: a line that begins with blanks belongs to the name above it.
pub(super) fn line(name: &str, ttl: u32, kind: &str, data: &str) -> String {
    format!("{name}. {ttl} IN {kind} {data}")
}

/// The data of a TXT record: in quotes, in several strings where it is long. Readers join them with nothing between.
pub(super) fn txt(value: &str) -> String {
    let mut strings = vec![String::new()];
    let mut length = 0;
    for byte in value.bytes() {
        if length == STRING {
            strings.push(String::new());
            length = 0;
        }
        if let Some(string) = strings.last_mut() {
            string.push_str(&escaped(byte));
        }
        length += 1;
    }
    let quoted: Vec<String> = strings.into_iter().map(|string| format!("\"{string}\"")).collect();
    quoted.join(" ")
}

fn escaped(byte: u8) -> String {
    match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts() {
        assert_eq!(txt("v=STSv1; id=1;"), "\"v=STSv1; id=1;\"");
        assert_eq!(txt(""), "\"\"");
        assert_eq!(txt(&"a".repeat(255)).matches('"').count(), 2);
        assert_eq!(txt("a\"b\\c\né"), "\"a\\\"b\\\\c\\010\\195\\169\"");
    }

    proptest::proptest! {
        /// However long: every string holds 255 bytes at most, and together they are the text.
        #[test]
        fn strings_join_to_the_text(value in "[ !#-\\[\\]-~]{0,900}") {
            let shown = txt(&value);
            let strings: Vec<&str> = shown[1..shown.len() - 1].split("\" \"").collect();
            proptest::prop_assert!(strings.iter().all(|string| string.len() <= STRING));
            proptest::prop_assert_eq!(strings.concat(), value);
        }
    }
}
