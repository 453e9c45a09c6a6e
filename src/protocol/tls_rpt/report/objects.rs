//! Objects as they come: in any order, with keys that stand twice or that nobody knows, or with something else in their place.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Quirk, read::Reading};

/// REP-22: a report is seven levels deep, with a policy as an array in a text eight.
pub(super) const DEPTH_MOST: usize = 32;

/// The keys of a report, of all its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Organization,
    DateRange,
    Begin,
    End,
    Contact,
    ReportId,
    Policies,
    Policy,
    PolicyType,
    PolicyString,
    PolicyDomain,
    MxHost,
    Summary,
    Successful,
    Failed,
    FailureDetails,
    ResultType,
    SendingIp,
    ReceivingMx,
    ReceivingHelo,
    ReceivingIp,
    Sessions,
    More,
    Reason,
    /// One that the specification does not have.
    Unknown,
}

impl Key {
    fn exact(text: &[u8]) -> Self {
        match text {
            b"organization-name" => Self::Organization,
            b"date-range" => Self::DateRange,
            b"start-datetime" => Self::Begin,
            b"end-datetime" => Self::End,
            b"contact-info" => Self::Contact,
            b"report-id" => Self::ReportId,
            b"policies" => Self::Policies,
            b"policy" => Self::Policy,
            b"policy-type" => Self::PolicyType,
            b"policy-string" => Self::PolicyString,
            b"policy-domain" => Self::PolicyDomain,
            b"mx-host" => Self::MxHost,
            b"summary" => Self::Summary,
            b"total-successful-session-count" => Self::Successful,
            b"total-failure-session-count" => Self::Failed,
            b"failure-details" => Self::FailureDetails,
            b"result-type" => Self::ResultType,
            b"sending-mta-ip" => Self::SendingIp,
            b"receiving-mx-hostname" => Self::ReceivingMx,
            b"receiving-mx-helo" => Self::ReceivingHelo,
            b"receiving-ip" => Self::ReceivingIp,
            b"failed-session-count" => Self::Sessions,
            b"additional-information" => Self::More,
            b"failure-reason-code" => Self::Reason,
            _ => Self::Unknown,
        }
    }

    /// Also names of early drafts, misread ones, and another case or `_` in place of `-` (FLD-20).
    fn read(text: &[u8]) -> (Self, Option<Quirk>) {
        let exact = Self::exact(text);
        if exact != Self::Unknown {
            return (exact, None);
        }
        let plain: Vec<u8> = text.trim_ascii().iter().map(plain_letter).collect();
        match plain.as_slice() {
            b"mx-host-pattern" | b"mx-hosts" => (Self::MxHost, Some(Quirk::MxHostOtherKey)),
            b"failure-error-code" => (Self::Reason, Some(Quirk::OtherKeyName)),
            b"additional-info-uri" | b"additional-info" => (Self::More, Some(Quirk::OtherKeyName)),
            b"receiving-mx-host-name" => (Self::ReceivingMx, Some(Quirk::OtherKeyName)),
            b"total-failed-session-count" => (Self::Failed, Some(Quirk::OtherKeyName)),
            plain => match Self::exact(plain) {
                Self::Unknown => (Self::Unknown, None),
                key => (key, Some(Quirk::OtherKeyName)),
            },
        }
    }
}

const fn plain_letter(byte: &u8) -> u8 {
    match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = (Key, Option<Quirk>);

    // As bytes: a key with half a surrogate pair is no text, and no reason to lose a report.
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = (Key, Option<Quirk>);

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<Self::Value, E> {
        Ok(Key::read(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Key::read(text.as_bytes()))
    }
}

/// What takes the fields of one object.
pub(super) trait Fields<'de> {
    /// Reads the value of a key. `false`: the key is not at home here, and the value still waits.
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error>;
}

/// Hands the fields of an object over. The last of a repeated key counts (REP-01); the right name before another one.
pub(super) fn read_fields<'de, A: MapAccess<'de>>(
    fields: &mut impl Fields<'de>,
    mut map: A,
    reading: &mut Reading,
) -> Result<(), A::Error> {
    let mut seen = 0_u32;
    while let Some((key, quirk)) = map.next_key_seed(KeySeed)? {
        let bit = 1 << key as u32;
        let repeated = seen & bit != 0;
        let known = key != Key::Unknown && !(repeated && quirk.is_some()) && fields.field(key, &mut map, reading)?;
        if !known {
            skip(&mut map, reading)?;
            continue;
        }
        match quirk {
            Some(quirk) => reading.quirks.add(quirk),
            None if repeated => reading.quirks.add(Quirk::DuplicateKey),
            None => seen |= bit,
        }
    }
    Ok(())
}

/// What takes objects, one after the other.
pub(super) trait Objects<'de> {
    /// Reads one.
    fn object<A: MapAccess<'de>>(&mut self, map: A, reading: &mut Reading) -> Result<(), A::Error>;
}

/// One object.
pub(super) struct One<'a, F>(pub(super) &'a mut F);

impl<'de, F: Fields<'de>> Objects<'de> for One<'_, F> {
    fn object<A: MapAccess<'de>>(&mut self, map: A, reading: &mut Reading) -> Result<(), A::Error> {
        read_fields(self.0, map, reading)
    }
}

/// What stood where an object or a list of objects was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Object,
    /// With so many objects in it.
    List(usize),
    Null,
    Other,
}

/// Reads what stands behind a key: an object, a list of objects, or what is neither.
pub(super) fn read_objects<'de, A: MapAccess<'de>>(
    objects: &mut impl Objects<'de>,
    map: &mut A,
    reading: &mut Reading,
) -> Result<Found, A::Error> {
    map.next_value_seed(Any { objects, reading, in_list: false })
}

pub(super) struct Any<'a, O> {
    pub(super) objects: &'a mut O,
    pub(super) reading: &'a mut Reading,
    pub(super) in_list: bool,
}

impl<'de, O: Objects<'de>> DeserializeSeed<'de> for Any<'_, O> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, O: Objects<'de>> Visitor<'de> for Any<'_, O> {
    type Value = Found;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        self.reading.level += 1;
        self.objects.object(map, self.reading)?;
        self.reading.level -= 1;
        Ok(Found::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        self.reading.level += 1;
        let mut count = 0;
        if self.in_list {
            while let Some(raw) = list.next_element::<&RawValue>()? {
                self.reading.check_depth(raw.get()).map_err(A::Error::custom)?;
            }
        } else {
            loop {
                let seed = Any { objects: &mut *self.objects, reading: &mut *self.reading, in_list: true };
                match list.next_element_seed(seed)? {
                    None => break,
                    Some(Found::Object) => count += 1,
                    Some(_) => self.reading.quirks.add(Quirk::EntryNotObject),
                }
            }
        }
        self.reading.level -= 1;
        Ok(Found::List(count))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::Other)
    }
}

/// A value that is no object, as it stands in the text. What it means is decided by whoever wants it, so that no number is too
/// large and no escape too odd to be passed over.
pub(super) enum Scalar<'de> {
    Null,
    Text(Cow<'de, str>),
    /// A number, `true` or `false`.
    Bare(&'de str),
    /// An array, as JSON.
    Array(&'de str),
    Object,
}

/// Reads what stands behind a key.
pub(super) fn read_scalar<'de, A: MapAccess<'de>>(map: &mut A, reading: &mut Reading) -> Result<Scalar<'de>, A::Error> {
    let raw = map.next_value::<&'de RawValue>()?.get();
    reading.check_depth(raw).map_err(A::Error::custom)?;
    Ok(scalar(raw))
}

/// Tells what a JSON value is.
pub(super) fn scalar(raw: &str) -> Scalar<'_> {
    match raw.as_bytes().first() {
        Some(b'"') => Scalar::Text(unquoted(raw)),
        Some(b'[') => Scalar::Array(raw),
        Some(b'{') => Scalar::Object,
        Some(b'n') | None => Scalar::Null,
        Some(_) => Scalar::Bare(raw),
    }
}

fn unquoted(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    // As bytes: half a surrogate pair is no character, and what stands beside it is.
    let bytes = serde_json::Deserializer::from_str(raw).deserialize_bytes(Unescaped).unwrap_or_default();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

struct Unescaped;

impl Visitor<'_> for Unescaped {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A, reading: &mut Reading) -> Result<(), A::Error> {
    let raw = map.next_value::<&'de RawValue>()?.get();
    reading.check_depth(raw).map_err(A::Error::custom)
}

/// How deep a JSON value is: 0 for what holds no other.
pub(super) fn depth(raw: &str) -> usize {
    if !raw.starts_with(['[', '{']) {
        return 0;
    }
    let (mut level, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in raw.bytes() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The elements of a JSON array, one after the other: none is kept here, so a million cost nothing.
pub(super) fn each_element(array: &str, take: &mut impl FnMut(&str)) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    (&mut deserializer).deserialize_seq(Elements(take)).is_ok() && deserializer.end().is_ok()
}

struct Elements<'a, T>(&'a mut T);

impl<'de, T: FnMut(&str)> Visitor<'de> for Elements<'_, T> {
    type Value = IgnoredAny;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IgnoredAny, A::Error> {
        while let Some(raw) = list.next_element::<&RawValue>()? {
            (self.0)(raw.get());
        }
        Ok(IgnoredAny)
    }
}
