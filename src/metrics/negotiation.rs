//! In which format and encoding an exposition is sent: what `Accept` and `Accept-Encoding` say (RFC 9110 §12.5).

use super::text::Format;

/// How the bytes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are.
    #[default]
    Identity,
    /// Compressed (RFC 1952).
    Gzip,
}

/// Qualities have three decimals at most (RFC 9110 §12.4.2): here they are thousandths.
const WHOLE: u16 = 1000;

/// The format that a client prefers: OpenMetrics where it names it and does not like the other better. Whoever says nothing, or wants
/// neither, gets the text format of Prometheus, which browsers show as well.
pub fn format(accept: &str) -> Format {
    let (mut open, mut text) = (0, None::<(u8, u16)>);
    for (range, quality) in entries(accept) {
        let mut parameters = range.split(';').map(str::trim);
        let kind = parameters.next().unwrap_or_default();
        // What is more specific counts, wherever it stands.
        let specific = match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                let version = parameters.find_map(|parameter| value(parameter, "version"));
                if version.is_none_or(|version| version.starts_with("1.") || version.starts_with("0.")) {
                    open = open.max(quality);
                }
                continue;
            }
            "text/plain" => 2,
            "text/*" => 1,
            "*/*" => 0,
            _ => continue,
        };
        text = text.max(Some((specific, quality)));
    }
    match open > 0 && open >= text.map_or(0, |(_, quality)| quality) {
        true => Format::OpenMetrics,
        false => Format::Prometheus,
    }
}

/// The encoding that a client prefers. Whoever says nothing gets the bytes as they are, and so does whoever wants neither.
pub fn encoding(accept: &str) -> Encoding {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for (coding, quality) in entries(accept) {
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = gzip.max(Some(quality)),
            "identity" => identity = Some(quality),
            "*" => any = Some(quality),
            _ => {}
        }
    }
    match gzip.or(any).unwrap_or(0) {
        0 => Encoding::Identity,
        gzip if gzip >= identity.unwrap_or(0) => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}

/// The entries of a list, each with its quality in thousandths. An entry whose quality cannot be read is left out.
fn entries(header: &str) -> impl Iterator<Item = (&str, u16)> {
    header.split(',').filter_map(|entry| {
        let entry = entry.trim();
        let Some((before, quality)) = entry.split(';').skip(1).find_map(|p| Some((entry, value(p.trim(), "q")?)))
        else {
            return (!entry.is_empty()).then_some((entry, WHOLE));
        };
        let name = before.split(';').map(str::trim);
        let quality = quality.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let quality = (quality * f32::from(WHOLE)).round() as u16;
        // Codings have no other parameter than their quality.
        let bare = name.clone().count() == 2;
        Some((if bare { before.split(';').next().unwrap_or_default().trim() } else { before }, quality))
    })
}

fn value<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = parameter.split_once('=')?;
    key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_openmetrics_where_it_likes_it_best() {
        // Prometheus 2.42.
        let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(old), Format::OpenMetrics);
        // Prometheus 3.
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format(new), Format::OpenMetrics);
        for (accept, expected) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Prometheus),
            ("text/plain;version=0.0.4, application/openmetrics-text;q=0.9", Format::Prometheus),
            ("text/plain;q=0.9, Application/OpenMetrics-Text; version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", Format::Prometheus),
            ("application/openmetrics-text;q=0.5,*/*;q=0.1,text/plain;q=0.9", Format::Prometheus),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.1,*/*;q=0.9", Format::OpenMetrics),
            ("application/openmetrics-text;q=2", Format::Prometheus),
            (";;;,=,q=", Format::Prometheus),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accept, expected) in [
            ("", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("deflate, GZIP;q=0.5", Encoding::Gzip),
            ("gzip;q=0", Encoding::Identity),
            ("gzip; q=0.0, *", Encoding::Identity),
            ("*", Encoding::Gzip),
            ("*;q=0", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("identity;q=0.5, gzip;q=0.4", Encoding::Identity),
            ("identity;q=0, gzip;q=0.4", Encoding::Gzip),
            ("br, zstd", Encoding::Identity),
            ("gzip;q=nan", Encoding::Identity),
            ("x-gzip", Encoding::Gzip),
        ] {
            assert_eq!(encoding(accept), expected, "{accept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(header in ".*") {
            let _ = (format(&header), encoding(&header));
        }
    }
}
