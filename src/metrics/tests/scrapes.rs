//! Scrapes: in parts, compressed, in both formats, within bounds, and after changes.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::*;
use crate::{
    metrics::{Encoding, Format, Part, Wanted},
    monitor::{KnownDomain, Rendered, Renderer, Roll},
};

/// An exposition that shows this snapshot, rendered by its extent.
fn showing(snapshot: &Snapshot, extent: impl Into<Extent>) -> (Exposition, Arc<Blocks>) {
    let blocks = Blocks::new(extent);
    let exposition = Exposition::new(Arc::clone(&blocks));
    exposition.update(Arc::new(fixture::rendered(snapshot, &*blocks)));
    (exposition, blocks)
}

fn bytes(exposition: &Exposition, wanted: Wanted) -> Vec<u8> {
    let mut all = Vec::new();
    exposition.scrape(&telemetry(), wanted, |frame| {
        all.extend_from_slice(&frame);
        true
    });
    all
}

/// The samples of domains and mail hosts, in the order of the alphabet.
fn samples(text: &str) -> Vec<&str> {
    let mut samples: Vec<&str> = text.lines().filter(|line| !subject(line).is_empty()).collect();
    samples.sort_unstable();
    samples
}

fn text(exposition: &Exposition, part: Part) -> String {
    String::from_utf8(bytes(exposition, Wanted { part, ..Wanted::default() })).unwrap()
}

/// Many domains like the healthy one, on the hosts of the small world.
fn many(domains: usize) -> Snapshot {
    let mut snapshot = fixture::snapshot();
    for number in 0..domains {
        let name = format!("d{number}.example");
        let seen = Assessment { domain: fixture::domain(&name), ..fixture::healthy() };
        snapshot.put(fixture::domain_state(&name, Some(seen)));
    }
    snapshot
}

#[test]
fn parts_are_disjoint_and_together_they_are_all() {
    let (exposition, _) = showing(&many(700), Level::Normal);
    let whole = text(&exposition, Part::ALL);
    for of in [2, 3, 16, 1000] {
        let mut together = Vec::new();
        for number in 1..=of {
            let part = text(&exposition, Part::new(number, of).unwrap());
            assert_eq!(part.contains("smtptls_build_info"), number == 1, "the exporter itself is in the first part");
            let headers: Vec<&str> = part.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
            for family in headers.iter().map(|header| header.split_once(' ').unwrap().0) {
                assert!(part.lines().any(|line| line.starts_with(family)), "{family} in part {number} of {of}");
            }
            together.extend(samples(&part).into_iter().map(str::to_owned));
        }
        together.sort_unstable();
        assert!(together == samples(&whole), "in {of} parts");
    }
}

#[test]
fn a_subject_stays_in_its_part_whatever_others_come() {
    let before = showing(&many(10), Level::Summary).0;
    let after = showing(&many(900), Level::Summary).0;
    for number in 1..=7 {
        let part = Part::new(number, 7).unwrap();
        let (before, after) = (text(&before, part), text(&after, part));
        let after = samples(&after);
        assert!(samples(&before).iter().all(|line| after.binary_search(line).is_ok()), "part {number}");
    }
}

#[test]
fn what_is_gone_leaves_no_series() {
    let blocks = Blocks::new(Level::Full);
    let exposition = Exposition::new(Arc::clone(&blocks));
    let mut snapshot = fixture::rendered(&fixture::snapshot(), &*blocks);
    exposition.update(Arc::new(snapshot.clone()));
    assert!(text(&exposition, Part::ALL).contains("broken.example"));
    snapshot.domains = snapshot.domains.with([], ["broken.example"]);
    snapshot.hosts = snapshot.hosts.with([], ["mx.broken.example"]);
    exposition.update(Arc::new(snapshot.clone()));
    let left = text(&exposition, Part::ALL);
    assert!(!left.contains("broken.example") && left.contains("example.com"));
    (snapshot.domains, snapshot.hosts) = (Roll::default(), Roll::default());
    exposition.update(Arc::new(snapshot));
    let none = text(&exposition, Part::ALL);
    assert!(
        !none.contains("smtptls_domain_") && !none.contains("smtptls_mx_"),
        "no family without samples has a header"
    );
}

#[test]
fn a_scrape_under_way_keeps_what_it_began_with() {
    let blocks = Blocks::new(Level::Full);
    let exposition = Exposition::new(Arc::clone(&blocks));
    let snapshot = fixture::rendered(&many(700), &*blocks);
    let expected = {
        exposition.update(Arc::new(snapshot.clone()));
        samples(&text(&exposition, Part::ALL)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    let mut changed = false;
    exposition.scrape(&telemetry(), Wanted::default(), |frame| {
        all.extend_from_slice(&frame);
        if !std::mem::replace(&mut changed, true) {
            exposition.update(Arc::new(Snapshot::default()));
        }
        true
    });
    assert_eq!(samples(&String::from_utf8(all).unwrap()), expected);
}

#[test]
fn a_text_after_changes_is_that_of_a_fresh_start() {
    let blocks = Blocks::new(Level::Full);
    let exposition = Exposition::new(Arc::clone(&blocks));
    let mut snapshot = many(300);
    let gone: Vec<String> = (0..200).map(|number| format!("d{number}.example")).collect();
    for step in 0..4 {
        match step {
            1 => snapshot.domains = snapshot.domains.with([], gone.iter().map(String::as_str)),
            2 => snapshot.put(fixture::domain_state("new.example", Some(fixture::dark("new.example")))),
            3 => (250..900).for_each(|number| {
                let name = format!("d{number}.example");
                snapshot.put(fixture::domain_state(&name, Some(fixture::dark(&name))));
            }),
            _ => {}
        }
        // Only what was put is rendered anew: the rest keeps its pointers, and its shelves.
        let render = |known: &Arc<KnownDomain>| {
            let mut known = (**known).clone();
            known.rendered = blocks.domain(&snapshot.open(&known), &snapshot.vantage);
            Arc::new(known)
        };
        let new: Vec<_> = snapshot.domains.iter().filter(|known| known.rendered.series == 0).map(render).collect();
        snapshot.domains = snapshot.domains.with(new, []);
        exposition.update(Arc::new(snapshot.clone()));
        let fresh = Exposition::new(Arc::clone(&blocks));
        fresh.update(Arc::new(snapshot.clone()));
        let (one, other) = (text(&exposition, Part::ALL), text(&fresh, Part::ALL));
        assert!(samples(&one) == samples(&other), "step {step}");
        let packed = bytes(&exposition, Wanted { encoding: Encoding::Gzip, ..Wanted::default() });
        let mut unpacked = String::new();
        MultiGzDecoder::new(&*packed).read_to_string(&mut unpacked).unwrap();
        assert!(samples(&unpacked) == samples(&other), "compressed, step {step}");
    }
}

#[test]
fn compressed_parts_without_samples_are_compressed_text_too() {
    let (exposition, _) = showing(&Snapshot::default(), Level::Normal);
    let part = Part::new(2, 2).unwrap();
    let packed = bytes(&exposition, Wanted { encoding: Encoding::Gzip, part, ..Wanted::default() });
    let mut text = String::new();
    MultiGzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    assert!(!packed.is_empty() && text.is_empty(), "{text}");
}

#[test]
fn no_frame_is_of_the_size_of_the_whole() {
    let (exposition, _) = showing(&many(3000), Level::Full);
    for encoding in [Encoding::Identity, Encoding::Gzip] {
        let (mut all, mut largest) = (0, 0);
        exposition.scrape(&telemetry(), Wanted { encoding, ..Wanted::default() }, |frame| {
            (all, largest) = (all + frame.len(), largest.max(frame.len()));
            true
        });
        assert!(largest < 320 << 10, "{largest} of {all}");
        assert!(encoding == Encoding::Gzip || all > 10 * largest, "{largest} of {all}");
    }
}

#[test]
fn whoever_reads_no_more_ends_the_scrape() {
    let (exposition, _) = showing(&many(3000), Level::Full);
    let mut frames = 0;
    exposition.scrape(&telemetry(), Wanted::default(), |_| {
        frames += 1;
        frames < 3
    });
    assert_eq!(frames, 3);
}

/// OpenMetrics 1.0: `# EOF` at the end; each family once with its metadata before its samples; counters end in `_total` and their
/// family does not; no two families have one name; bounds of buckets are floats.
#[test]
fn openmetrics_is_as_its_specification_says() {
    let (exposition, _) = showing(&fixture::snapshot(), Level::Full);
    let open =
        String::from_utf8(bytes(&exposition, Wanted { format: Format::OpenMetrics, ..Wanted::default() })).unwrap();
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    let (mut families, mut current) = (BTreeSet::new(), (String::new(), String::new()));
    for line in open.lines().filter(|line| *line != "# EOF") {
        if let Some(header) = line.strip_prefix("# HELP ") {
            let name = header.split_once(' ').unwrap().0;
            assert!(families.insert(name.to_owned()), "{name} stands twice");
            current.0 = name.to_owned();
        } else if let Some(header) = line.strip_prefix("# TYPE ") {
            let (name, kind) = header.split_once(' ').unwrap();
            assert_eq!(name, current.0);
            current.1 = kind.to_owned();
        } else if let Some(header) = line.strip_prefix("# UNIT ") {
            let (name, unit) = header.split_once(' ').unwrap();
            assert!(name == current.0 && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let sample = read(line);
            let suffix = sample.name.strip_prefix(&current.0).unwrap_or_else(|| panic!("{line} under {}", current.0));
            match current.1.as_str() {
                "counter" => assert_eq!(suffix, "_total", "{line}"),
                "gauge" => assert_eq!(suffix, "", "{line}"),
                _ => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
            }
            let bound = sample.labels.iter().find(|(label, _)| *label == "le").map(|(_, bound)| bound);
            assert!(bound.is_none_or(|bound| bound == "+Inf" || bound.contains('.')), "{line}");
        }
    }
    // The samples of subjects are the same in both formats.
    assert_eq!(samples(&open), samples(&text(&exposition, Part::ALL)));
}

#[test]
fn no_more_series_than_may_be_and_those_that_are_left_out_are_counted() {
    let keys = |most: usize| {
        let text = format!(
            "domains: [a.example]\nmetrics: {{level: summary, addresses: all, max_series: {most}, allow: [smtptls_exposition_bytes]}}\n"
        );
        crate::config::parse("t", &text).unwrap().settings.metrics
    };
    let snapshot = many(300);
    let whole = showing(&snapshot, &keys(1_000_000)).0;
    let (all, whole) = (text(&whole, Part::ALL), samples(&text(&whole, Part::ALL)).len());
    assert_eq!(find(&all, "smtptls_series"), Some(whole as f64));
    assert_eq!(find(&all, "smtptls_series_dropped_total{reason=\"max-series\"}"), Some(0.0));
    let most = whole / 2;
    let exposition = showing(&snapshot, &keys(most)).0;
    let (first, second) = (text(&exposition, Part::ALL), text(&exposition, Part::ALL));
    let kept = samples(&first);
    assert!(kept.len() <= most && kept.len() > most - 30, "{} of {most}", kept.len());
    assert_eq!(kept, samples(&second), "the same ones each time");
    assert_eq!(find(&first, "smtptls_series"), Some(kept.len() as f64));
    let dropped = |text: &str| find(text, "smtptls_series_dropped_total{reason=\"max-series\"}").unwrap();
    assert_eq!(dropped(&first), (whole - kept.len()) as f64);
    assert_eq!(dropped(&second), 2.0 * dropped(&first), "at each scrape");
    let hosts = |text: &str| samples(text).iter().filter(|line| line.contains("{mx=")).count();
    assert_eq!(hosts(&first), hosts(&all), "mail hosts come first");
    let bytes = find(&first, "smtptls_exposition_bytes").unwrap();
    assert_eq!(bytes, kept.iter().map(|line| line.len() + 1).sum::<usize>() as f64);
    // All parts together keep the bound, and leave out the same.
    let parts: Vec<String> = (1..=5).map(|number| text(&exposition, Part::new(number, 5).unwrap())).collect();
    let mut together: Vec<&str> = parts.iter().flat_map(|part| samples(part)).collect();
    together.sort_unstable();
    assert_eq!(together, kept);
}

#[test]
fn a_subject_whose_block_is_damaged_is_left_out_and_counted() {
    let blocks = Blocks::new(Level::Normal);
    let exposition = Exposition::new(Arc::clone(&blocks));
    let mut snapshot = fixture::rendered(&fixture::snapshot(), &*blocks);
    let mut known = (**snapshot.domains.get("example.com").unwrap()).clone();
    known.rendered = Rendered { bytes: known.rendered.bytes[..40].into(), series: 17 };
    snapshot.domains = snapshot.domains.with([Arc::new(known)], []);
    exposition.update(Arc::new(snapshot));
    let left = text(&exposition, Part::ALL);
    assert!(!left.contains("domain=\"example.com\"") && left.contains("domain=\"broken.example\""));
    assert_eq!(find(&left, "smtptls_series_dropped_total{reason=\"unreadable\"}"), Some(17.0));
}

#[test]
fn the_worst_address_stands_for_all() {
    let keys = crate::config::parse("t", "domains: [a.example]\nmetrics: {level: full, addresses: worst}\n").unwrap();
    let mut snapshot = fixture::snapshot();
    let mut host = (*fixture::hosts()[0]).clone();
    let refused = SmtpOutcome::StarttlsNotOffered;
    let plain = fixture::path(
        fixture::observation("mx1.example.com", "192.0.2.7", refused),
        Reach::Up,
        StarttlsState::NotOffered,
    );
    let bad = PathAssessment {
        certificate: Some(fixture::bad_certificate()),
        ..fixture::good_path("mx1.example.com", "192.0.2.8")
    };
    host.paths.extend([plain, bad].map(Arc::new));
    snapshot.put_host(Arc::new(host));
    let text = scrape(&snapshot, &keys.settings.metrics);
    let hosts = text.lines().filter(|line| line.contains("{mx="));
    assert_eq!(hosts.filter(|line| line.contains("address=")).count(), 0, "none has a label for it");
    let of = |name: &str| find(&text, &format!("smtptls_mx_{name}{{mx=\"mx1.example.com\"}}"));
    assert_eq!(
        (of("starttls_success"), of("certificate_verified"), of("connect_success")),
        (Some(0.0), Some(0.0), Some(1.0))
    );
    assert_eq!(of("consecutive_failures"), Some(4.0));
    // Both dates are of the certificate that ends first.
    let day = 86_400.0;
    let now = fixture::NOW.unix_seconds() as f64;
    assert_eq!(of("certificate_not_after_timestamp_seconds"), Some(now - 3.0 * day));
    assert_eq!(of("certificate_not_before_timestamp_seconds"), Some(now - 30.0 * day));
    let informed =
        text.lines().filter(|line| line.starts_with("smtptls_mx_certificate_info{mx=\"mx1.example.com\"")).count();
    assert_eq!(informed, 1);
    let versions = text.lines().filter(|line| line.starts_with("smtptls_mx_tls_info{mx=\"mx1.example.com\"")).count();
    assert_eq!(versions, 1, "each different one once");
}
