//! A reader of the text format that takes nothing but what the format says.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::collections::{BTreeMap, BTreeSet};

/// One answer to a scrape, read.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) families: BTreeMap<String, Family>,
}

/// All samples of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// As it is written: the name with its labels.
    pub(crate) series: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Scrape {
    /// Reads a whole answer. Whatever a strict reader would stumble over is a panic: a family without HELP or TYPE, or in two
    /// places; a sample under another family, with labels that its neighbours do not have, or that stands twice; no line end.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut series = BTreeSet::new();
        let (mut helped, mut current) = (None, None::<String>);
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!help.is_empty(), "{line}");
                helped = Some(name);
                current = None;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(helped, Some(name), "HELP comes before TYPE");
                let family = Family { kind: kind.to_owned(), samples: Vec::new() };
                assert!(families.insert(name.to_owned(), family).is_none(), "{name} stands in two places");
                current = Some(name.to_owned());
            } else {
                let name = current.as_ref().unwrap_or_else(|| panic!("a sample without HELP and TYPE: {line}"));
                let family = families.get_mut(name).unwrap();
                let sample = Sample::read(line, name, &family.kind);
                assert!(series.insert(sample.series.clone()), "{line} stands twice");
                family.samples.push(sample);
            }
        }
        for (name, family) in &families {
            let of = |sample: &Sample| sample.labels.keys().filter(|label| *label != "le").cloned().collect::<Vec<_>>();
            let sets: BTreeSet<_> = family.samples.iter().map(of).collect();
            assert_eq!(sets.len(), 1, "{name}: every sample has the same labels: {sets:?}");
        }
        Self { families }
    }

    /// The value of a series, written as it stands in the text.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.samples().find(|sample| sample.series == series).map(|sample| sample.value)
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.values().flat_map(|family| &family.samples)
    }

    /// The series of which a label has this value.
    pub(crate) fn about(&self, subject: &str) -> BTreeSet<String> {
        let about = |sample: &&Sample| sample.labels.values().any(|value| value == subject);
        self.samples().filter(about).map(|sample| sample.series.clone()).collect()
    }
}

impl Sample {
    fn read(line: &str, family: &str, kind: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, written) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}"))),
            None => (series, ""),
        };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} under {family}"));
        let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix), "{line} is no {kind}");
        let mut labels = BTreeMap::new();
        let mut rest = written;
        while !rest.is_empty() {
            let (label, tail) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            let mut value = String::new();
            let mut letters = tail.chars();
            loop {
                match letters.next().unwrap_or_else(|| panic!("an open quote: {line}")) {
                    '"' => break,
                    '\\' => value.push(match letters.next() {
                        Some('n') => '\n',
                        Some(letter @ ('\\' | '"')) => letter,
                        other => panic!("no escape: {other:?} in {line}"),
                    }),
                    letter => value.push(letter),
                }
            }
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} stands twice: {line}");
            rest = letters.as_str();
            rest = rest.strip_prefix(',').unwrap_or_else(|| {
                assert!(rest.is_empty(), "{rest} after a label: {line}");
                rest
            });
        }
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        Self { series: series.to_owned(), labels, value }
    }
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\",y=\"\\\\ \\\" \\n\"} 1\na_total{x=\"2\",y=\"\"} 2.5\n\
                # HELP b How long.\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 1\nb_count 1\n";
    let seen = Scrape::read(good);
    assert_eq!(seen.families["a_total"].samples[0].labels["y"], "\\ \" \n");
    assert_eq!((seen.value("a_total{x=\"2\",y=\"\"}"), seen.value("b_sum")), (Some(2.5), Some(1.0)));
    for (from, to) in [
        ("b_count 1\n", "b_count 1"),
        ("# HELP a_total What.\n", ""),
        ("# TYPE b histogram\n", ""),
        ("# TYPE b histogram", "# TYPE b gauge"),
        ("b_sum 1", "c_sum 1"),
        ("b_sum 1", "b_sum one"),
        ("x=\"2\",y=\"\"", "x=\"2\""),
        ("x=\"2\",y=\"\"", "x=\"1\",y=\"\\\\ \\\" \\n\""),
        ("y=\"\\\\ \\\" ", "y=\"\\ \" "),
        ("# HELP b How long.\n# TYPE b histogram", "# HELP a_total What.\n# TYPE a_total counter"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(std::panic::catch_unwind(|| Scrape::read(&bad)).is_err(), "taken: {bad}");
    }
}
