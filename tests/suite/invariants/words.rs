//! Single words: points in time, lengths of time, ids of policies.

use std::time::Duration;

use smtptls_exporter::terms::{HumanDuration, PolicyId, Timestamp};

use super::check_stored;

/// The text of a word. The first eight bytes count as a number too, in seconds.
pub fn words(bytes: &[u8]) {
    let mut number = [0; 8];
    number.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    check_timestamp(Timestamp::from_unix_seconds(i64::from_be_bytes(number)));
    check_timestamp(Timestamp::from_unix_milliseconds(i64::from_be_bytes(number)));
    check_duration(HumanDuration::from_secs(u64::from_be_bytes(number)));

    let text = String::from_utf8_lossy(bytes);
    if let Ok(time) = text.parse::<Timestamp>() {
        check_timestamp(time);
    }
    if let Ok(duration) = text.parse::<HumanDuration>() {
        check_duration(duration);
    }
    match PolicyId::parse(&text) {
        Some(id) => {
            assert_eq!(id.as_str(), text);
            assert!((1..=32).contains(&id.as_str().len()) && id.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
            check_stored(&id);
        }
        None => assert!(text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_alphanumeric())),
    }
}

/// It prints to the second, and is read again as that second.
fn check_timestamp(time: Timestamp) {
    let written = serde_json::to_value(time).unwrap();
    assert_eq!(serde_json::from_value::<Timestamp>(written.clone()).unwrap(), time, "{written}");
    let whole = Timestamp::from_unix_seconds(time.unix_seconds());
    assert_eq!(whole.to_string(), time.to_string());
    check_stored(&whole);
    assert_eq!((time + Duration::MAX).since(time + Duration::MAX), Duration::ZERO);
    assert!(time - Duration::MAX <= time && time <= time + Duration::MAX);
}

fn check_duration(duration: HumanDuration) {
    assert_eq!(duration.to_string().parse(), Ok(duration), "{duration}");
    check_stored(&duration);
}
