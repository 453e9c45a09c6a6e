//! What scrapes show of one subject, in few bytes: by family, and of each sample what does not stand in every other one.
//!
//! The name of the subject, the names of the families and those of the labels are left out; whoever writes the text has them. What
//! is left is numbers, and the values of labels, each written once a block and referred to after that. A healthy domain with two
//! mail hosts takes some 150 bytes at level summary, where its text takes 1,200.
//!
//! ```text
//! block   = FORMAT flags text-length *family
//! family  = gap samples *sample          gap: families left out since the one before
//! sample  = value *label                 a label for each that the family has after its subject
//! label   = 2 * length, text             one that was not there yet
//!         / 2 * index + 1                one that was
//! ```
//!
//! Blocks come back from the store, so reading takes any bytes: it fails, and never panics or grows without end.

use std::collections::HashMap;

use super::{
    registry::{Family, Subject},
    text::{self, Value},
};
use crate::monitor::Rendered;

/// What is written today. Another order of bytes is another number: a block of another version is made anew, never guessed at.
pub(super) const FORMAT: u8 = 1;

/// Set in the flags where one set of samples stands for all addresses of a host, so that the label `address` is not there.
const WITHOUT_ADDRESS: u8 = 1;
/// The label that is then not there.
const ADDRESS: &str = "address";

/// Text that one block may make, in bytes: some hundred times what a host with as many addresses as are kept makes. References to
/// one long label could make gigabytes of a damaged block.
const MOST_TEXT: usize = 16 << 20;

/// Integers below it are one byte, the tag itself.
const SMALL: u8 = 240;
/// A larger one follows.
const INTEGER: u8 = 240;
/// One below zero follows, as its distance from -1.
const NEGATIVE: u8 = 241;
/// Thousandths follow: times and durations.
const THOUSANDTHS: u8 = 242;
/// The eight bytes of a float follow, the smallest first.
const FLOAT: u8 = 243;

/// Bytes that are no block of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no block of this version")]
pub(super) struct Damaged;

/// Writes a block, family after family in the order of the table.
#[derive(Debug)]
pub(super) struct Writer {
    subject: Subject,
    flags: u8,
    /// The length of the subject's name in the text.
    name: usize,
    families: Vec<u8>,
    /// Where the next family would stand without a gap.
    next: usize,
    open: Open,
    labels: HashMap<String, u64>,
    series: u32,
    text: usize,
}

/// The family that is being written.
#[derive(Debug, Default)]
struct Open {
    index: usize,
    samples: Vec<u8>,
    count: u32,
}

impl Writer {
    /// `without_address`: one set of samples stands for all addresses.
    pub(super) fn new(subject: Subject, name: &str, without_address: bool) -> Self {
        let mut escaped = Vec::with_capacity(name.len());
        text::label_value(&mut escaped, name);
        Self {
            subject,
            flags: if without_address { WITHOUT_ADDRESS } else { 0 },
            name: escaped.len(),
            families: Vec::new(),
            next: 0,
            open: Open::default(),
            labels: HashMap::new(),
            series: 0,
            text: 0,
        }
    }

    /// Begins the family at this place of the table, which comes after those before.
    pub(super) fn family(&mut self, index: usize) {
        self.close();
        self.open.index = index;
    }

    /// A sample of the family; `labels` are the values after the subject's name.
    pub(super) fn sample<'a>(&mut self, labels: impl Iterator<Item = &'a str>, value: Value) {
        let Some(family) = self.subject.families().get(self.open.index) else { return };
        put_value(&mut self.open.samples, value);
        let mut tail = Vec::new();
        let mut values = Vec::new();
        for label in labels {
            put_label(&mut self.open.samples, &mut self.labels, label);
            values.push(label);
        }
        text::after_subject(&mut tail, names(family, self.flags).zip(values), value);
        let mut head = Vec::new();
        text::before_subject(&mut head, family.name, self.subject.label());
        self.text += head.len() + self.name + tail.len();
        self.open.count += 1;
        self.series += 1;
    }

    /// The block.
    pub(super) fn finish(mut self) -> Rendered {
        self.close();
        let mut bytes = Vec::with_capacity(self.families.len() + 8);
        bytes.extend_from_slice(&[FORMAT, self.flags]);
        put_number(&mut bytes, self.text as u64);
        bytes.append(&mut self.families);
        Rendered { bytes: bytes.into(), series: self.series }
    }

    fn close(&mut self) {
        let Open { index, samples, count } = std::mem::take(&mut self.open);
        if count > 0 {
            put_number(&mut self.families, index.saturating_sub(self.next) as u64);
            put_number(&mut self.families, u64::from(count));
            self.families.extend_from_slice(&samples);
            self.next = index + 1;
        }
    }
}

/// The labels of a family after its subject.
fn names<'a>(family: &Family, flags: u8) -> impl Iterator<Item = &'a str> {
    let without_address = flags & WITHOUT_ADDRESS != 0;
    let labels: &'static [&'static str] = family.labels;
    labels.iter().copied().skip(1).filter(move |label| !(without_address && *label == ADDRESS))
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::Integer(integer) => match u64::try_from(integer) {
            Ok(small) if small < u64::from(SMALL) => out.push(small as u8),
            Ok(large) => {
                out.push(INTEGER);
                put_number(out, large);
            }
            Err(_) => {
                out.push(NEGATIVE);
                put_number(out, integer.unsigned_abs() - 1);
            }
        },
        Value::Float(float) => match thousandths(float) {
            Some(number) => {
                out.push(THOUSANDTHS);
                put_number(out, number);
            }
            None => {
                out.push(FLOAT);
                out.extend_from_slice(&float.to_le_bytes());
            }
        },
    }
}

/// The thousandths that a float is made of, where that is the very same float.
fn thousandths(float: f64) -> Option<u64> {
    /// 2^53: up to here every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let scaled = (float * 1000.0).round();
    if !(0.0..EXACT).contains(&scaled) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and within the bounds")]
    let number = scaled as u64;
    (of_thousandths(number).to_bits() == float.to_bits()).then_some(number)
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^53, or damaged, and then it is some number")]
fn of_thousandths(number: u64) -> f64 {
    number as f64 / 1000.0
}

fn put_label(out: &mut Vec<u8>, known: &mut HashMap<String, u64>, label: &str) {
    match known.get(label) {
        Some(index) => put_number(out, 2 * index + 1),
        None => {
            put_number(out, 2 * label.len() as u64);
            out.extend_from_slice(label.as_bytes());
            known.insert(label.to_owned(), known.len() as u64);
        }
    }
}

/// How long the text of a block is, in bytes, as it says itself. Of bytes that are no block 0, and of those that claim more than a
/// block may make: one that is damaged must not count for a whole fleet.
pub(super) fn text_length(bytes: &[u8]) -> u64 {
    Cursor::begin(bytes).map(|(_, length, _)| length).filter(|length| *length <= MOST_TEXT as u64).unwrap_or(0)
}

/// How many series a block has, as is noted beside it. 0 where that cannot be, for the same reason.
pub(super) fn series(rendered: &Rendered) -> u64 {
    if rendered.is_plausible() { u64::from(rendered.series) } else { 0 }
}

/// The ends of samples, read from blocks: all that stands after the subject's name.
#[derive(Debug, Default)]
pub(super) struct Tails {
    text: Vec<u8>,
    samples: Vec<Tail>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Tail {
    family: usize,
    end: usize,
}

impl Tails {
    /// Reads a block in place of the one before. No bytes at all are a subject without samples.
    ///
    /// # Errors
    /// The bytes are no block of this version; then there is no sample.
    pub(super) fn read(&mut self, rendered: &Rendered, subject: Subject, name: usize) -> Result<(), Damaged> {
        self.text.clear();
        self.samples.clear();
        if rendered.bytes.is_empty() && rendered.series == 0 {
            return Ok(());
        }
        let read = self.block(rendered, subject, name);
        if read.is_none() {
            self.samples.clear();
        }
        read.ok_or(Damaged)
    }

    /// The place of the family in the table, and the text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        self.samples.iter().filter_map(move |tail| {
            let text = self.text.get(start..tail.end)?;
            start = tail.end;
            Some((tail.family, text))
        })
    }

    fn block(&mut self, rendered: &Rendered, subject: Subject, name: usize) -> Option<()> {
        let (flags, length, mut cursor) = Cursor::begin(&rendered.bytes)?;
        let families = subject.families();
        let (mut next, mut heads) = (0_usize, 0_usize);
        let mut labels: Vec<&str> = Vec::new();
        let mut values: Vec<&str> = Vec::new();
        while !cursor.0.is_empty() {
            let index = next.checked_add(cursor.length()?)?;
            let family = families.get(index)?;
            let head = family.name.len() + subject.label().len() + BETWEEN + name;
            for _ in 0..cursor.number()? {
                let value = cursor.value()?;
                values.clear();
                for _ in names(family, flags) {
                    values.push(cursor.label(&mut labels)?);
                }
                text::after_subject(&mut self.text, names(family, flags).zip(values.iter().copied()), value);
                if self.text.len() > MOST_TEXT {
                    return None;
                }
                heads += head;
                self.samples.push(Tail { family: index, end: self.text.len() });
            }
            next = index + 1;
        }
        let made = heads + self.text.len();
        let whole = made <= MOST_TEXT && u64::try_from(made).ok() == Some(length);
        (whole && u32::try_from(self.samples.len()).ok() == Some(rendered.series)).then_some(())
    }
}

/// `{`, `=` and `"` between the name of a family, the label and the subject.
const BETWEEN: usize = 3;

/// What is left to read.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    /// The flags, the length of the text, and what follows.
    fn begin(bytes: &'b [u8]) -> Option<(u8, u64, Self)> {
        let (&[format, flags], rest) = bytes.split_first_chunk()?;
        let mut cursor = Self(rest);
        let length = cursor.number()?;
        (format == FORMAT).then_some((flags, length, cursor))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits.checked_shl(shift)? >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.byte()? {
            small if small < SMALL => Value::Integer(i64::from(small)),
            INTEGER => Value::Integer(self.number()?.try_into().ok()?),
            NEGATIVE => Value::Integer(i64::try_from(self.number()?).ok()?.checked_neg()?.checked_sub(1)?),
            THOUSANDTHS => Value::Float(of_thousandths(self.number()?)),
            FLOAT => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Value::Float(f64::from_le_bytes(*bytes))
            }
            _ => return None,
        })
    }

    fn label(&mut self, known: &mut Vec<&'b str>) -> Option<&'b str> {
        let number = self.length()?;
        if number % 2 == 1 {
            return known.get(number / 2).copied();
        }
        let (text, rest) = self.0.split_at_checked(number / 2)?;
        self.0 = rest;
        let text = str::from_utf8(text).ok()?;
        known.push(text);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{Extent, fixture};

    /// The samples of a block as the text writer puts them, of which nothing here is made.
    fn expected(subject: Subject, name: &str, samples: &[(usize, Vec<String>, Value)]) -> Vec<String> {
        samples
            .iter()
            .map(|(index, labels, value)| {
                let family = subject.families()[*index];
                let values = std::iter::once(name).chain(labels.iter().map(String::as_str));
                let mut out = Vec::new();
                text::sample(&mut out, family.name, "", family.labels.iter().copied().zip(values), *value);
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    fn text(subject: Subject, name: &str, rendered: &Rendered) -> Result<Vec<String>, Damaged> {
        let (mut tails, mut escaped) = (Tails::default(), Vec::new());
        text::label_value(&mut escaped, name);
        tails.read(rendered, subject, escaped.len())?;
        let lines = tails.iter().map(|(index, tail)| {
            let mut line = Vec::new();
            text::before_subject(&mut line, subject.families()[index].name, subject.label());
            line.extend_from_slice(&escaped);
            line.extend_from_slice(tail);
            String::from_utf8(line).unwrap()
        });
        Ok(lines.collect())
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            (0_i64..300).prop_map(Value::Integer),
            any::<f64>().prop_map(Value::Float),
            (0_u32..u32::MAX).prop_map(|thousandths| Value::Float(f64::from(thousandths) / 1000.0)),
        ]
    }

    /// Samples of some families, in the order of the table.
    fn samples(subject: Subject) -> impl Strategy<Value = Vec<(usize, Vec<String>, Value)>> {
        let families = subject.families();
        let word = prop_oneof!["[a-z]{0,6}", ".{0,12}"];
        let one = (0..families.len()).prop_flat_map(move |index| {
            (Just(index), prop::collection::vec(word.clone(), families[index].labels.len() - 1), value())
        });
        prop::collection::vec(one, 0..40).prop_map(|mut samples| {
            samples.sort_by_key(|(index, ..)| *index);
            samples
        })
    }

    fn written(subject: Subject, name: &str, samples: &[(usize, Vec<String>, Value)]) -> Rendered {
        let mut writer = Writer::new(subject, name, false);
        let mut last = None;
        for (index, labels, value) in samples {
            if last.replace(*index) != Some(*index) {
                writer.family(*index);
            }
            writer.sample(labels.iter().map(String::as_str), *value);
        }
        writer.finish()
    }

    proptest! {
        #[test]
        fn a_block_says_what_the_text_writer_says(name in "[a-z\"\\\\]{1,12}", samples in samples(Subject::Host)) {
            let rendered = written(Subject::Host, &name, &samples);
            let expected = expected(Subject::Host, &name, &samples);
            prop_assert_eq!(rendered.series as usize, expected.len());
            prop_assert_eq!(text_length(&rendered.bytes), expected.iter().map(String::len).sum::<usize>() as u64);
            prop_assert_eq!(text(Subject::Host, &name, &rendered), Ok(expected));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), series: u8) {
            let mut bytes = bytes;
            bytes.splice(0..0, [FORMAT, 0]);
            let rendered = Rendered { bytes: bytes.into(), series: u32::from(series) };
            let _ = text(Subject::Domain, "a.example", &rendered);
            let _ = text_length(&rendered.bytes);
        }

        #[test]
        fn a_damaged_block_is_read_or_refused(samples in samples(Subject::Domain), at: prop::sample::Index, byte: u8, cut: bool) {
            let rendered = written(Subject::Domain, "a.example", &samples);
            let mut bytes = rendered.bytes.to_vec();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let damaged = Rendered { bytes: bytes.into(), series: rendered.series };
            if let Ok(lines) = text(Subject::Domain, "a.example", &damaged) {
                prop_assert!(lines.iter().all(|line| line.ends_with('\n') && line.matches('\n').count() == 1));
            }
        }
    }

    #[test]
    fn bytes_that_ask_for_gigabytes_are_refused() {
        let mut bytes = vec![FORMAT, 0];
        put_number(&mut bytes, 0);
        // The first family, a hundred thousand samples; the label is long once, and then referred to.
        put_number(&mut bytes, 0);
        put_number(&mut bytes, 100_000);
        let label = "x".repeat(100_000);
        bytes.push(1);
        put_number(&mut bytes, 2 * label.len() as u64);
        bytes.extend_from_slice(label.as_bytes());
        bytes.extend([1, 1].repeat(99_999));
        let rendered = Rendered { bytes: bytes.into(), series: 100_000 };
        let mut tails = Tails::default();
        assert_eq!(tails.read(&rendered, Subject::Domain, 1), Err(Damaged));
        assert!(tails.text.len() <= MOST_TEXT + label.len() + 100, "{}", tails.text.len());
        assert_eq!(tails.iter().count(), 0);
    }

    #[test]
    fn a_healthy_domain_on_two_shared_hosts_has_15_series_in_at_most_300_bytes() {
        let rendered =
            Extent::from(crate::metrics::Level::Summary).domain(&fixture::on_shared_hosts(), &fixture::vantage());
        let text = text(Subject::Domain, "customer-000123.example", &rendered).unwrap();
        assert_eq!(rendered.series, 15, "{text:#?}");
        assert!(rendered.bytes.len() <= 300, "{} bytes", rendered.bytes.len());
    }
}
