//! What a large inventory costs: `cargo bench --bench inventory`, for another number of domains `cargo bench --bench inventory -- 10000`.
//!
//! A list of a million domains in each form (YAML has a tenth of them): the first look, a look at the same content written anew,
//! and one after a hundredth of the domains were replaced. A look reads the file, joins the lists, and finds what leads from the
//! domains before to these; all of it is beside the keeper of the monitor, which only gets the difference. Time, and memory over what
//! was there before: at the peak, and afterwards. With `--check` it fails where the bound of docs/performance.md is missed.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program for the person at the terminal"
)]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::{Change, DomainList, ProbeSettings, Settings, inventory::FilesState, inventory::merged},
    terms::Timestamp,
};

/// What a reload of a million domains that did not change may take.
const RELOAD_MOST: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let mut missed = Vec::new();
    println!("{count} domains; memory in MiB over what was there before\n");
    println!(
        "| form | domains | look | seconds | of it the difference | peak | after |\n|---|---|---|---|---|---|---|"
    );
    for (ending, count) in [("json", count), ("groups.json", count), ("txt", count), ("yml", count / 10)] {
        run(&folder.path().join(format!("list.{ending}")), count, &mut missed);
    }
    for missed in &missed {
        println!("missed: {missed}");
    }
    let check = arguments.iter().any(|argument| argument == "--check");
    if check && !missed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// All looks at one list.
fn run(path: &Path, count: usize, missed: &mut Vec<String>) {
    let form = path.file_name().unwrap().to_str().unwrap().trim_start_matches("list.").to_owned();
    let mut files = FilesState::following(&FilesState::default(), &[path.display().to_string()]);
    let mut domains = DomainList::default();
    for (look, replaced) in [("first", 0), ("the same again", 0), ("a hundredth replaced", count / 100)] {
        write(path, &form, count, replaced);
        let before = Memory::now();
        Memory::forget_peak();
        let began = Instant::now();
        files.look(&ProbeSettings::default(), Timestamp::from_unix_seconds(1_795_464_000), false);
        let lists: Vec<&DomainList> = files.lists().map(|list| &list.domains).collect();
        let new = merged(&lists).0.reusing(&domains);
        let settings = |domains: &DomainList| Settings { domains: domains.clone(), ..Settings::default() };
        let (old, current) = (settings(&domains), settings(&new));
        let compared = Instant::now();
        let change = Change::between(&old, &current);
        let (took, difference) = (began.elapsed(), compared.elapsed());
        let after = Memory::now();
        let over = |bytes: u64| bytes.saturating_sub(before.resident) / 1024;
        println!(
            "| {form} | {count} | {look} | {:.3} | {:.3} | {} | {} |",
            took.as_secs_f64(),
            difference.as_secs_f64(),
            over(after.peak),
            over(after.resident)
        );
        assert_eq!(new.len(), count, "{form}: {:?}", files.patterns().next().map(|(_, _, error)| error.cloned()));
        if look != "first" {
            assert_eq!((change.added.len(), change.removed.len()), (replaced, replaced), "{form}: {look}");
            if took > RELOAD_MOST {
                missed.push(format!("{form}: {look}: {took:?}"));
            }
        }
        domains = new;
    }
}

/// Names as hosters have them, in an order that is none. The first `replaced` have other names.
fn write(path: &Path, form: &str, count: usize, replaced: usize) {
    let name = |place: usize| {
        // An odd factor below 2^32 mixes the places without a collision.
        let mixed = u32::try_from(place).unwrap().wrapping_mul(2_654_435_761);
        let word = if place < replaced { "new" } else { "customer" };
        format!("{word}-{mixed:08x}.example.com")
    };
    let names = (0..count).map(name);
    let mut text = String::with_capacity(count * 48);
    match form {
        "json" => {
            text.push_str("[{\"targets\": [");
            for (place, name) in names.enumerate() {
                write!(text, "{}\"{name}\"", if place == 0 { "" } else { ", " }).unwrap();
            }
            text.push_str("], \"labels\": {\"group\": \"customers\"}}]\n");
        }
        "groups.json" => {
            text.push_str("[\n");
            for (place, name) in names.enumerate() {
                let comma = if place + 1 == count { "" } else { "," };
                let group = place % 1000;
                writeln!(text, "{{\"targets\": [\"{name}\"], \"labels\": {{\"group\": \"reseller-{group}\"}}}}{comma}")
                    .unwrap();
            }
            text.push_str("]\n");
        }
        "txt" => names.for_each(|name| writeln!(text, "{name}").unwrap()),
        _ => {
            text.push_str("- labels: {group: customers}\n  targets:\n");
            names.for_each(|name| writeln!(text, "  - {name}").unwrap());
        }
    }
    let draft: PathBuf = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

/// In kB, as the kernel of Linux tells.
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
        };
        Self { resident: value("VmRSS:"), peak: value("VmHWM:") }
    }

    /// The peak begins at what is there now (proc(5), clear_refs).
    fn forget_peak() {
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
}
