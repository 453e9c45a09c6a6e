//! docs/fault-matrix.md is made from the cells.

use std::{collections::BTreeSet, fs, path::Path};

use smtptls_exporter::verdict::Code;

use super::{
    cell::{Cell, Ends, Step, Taken},
    table,
};

#[test]
fn the_table_of_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fault-matrix.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- cells: made from tests/suite/faults -->\n", "<!-- end of cells -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let rows: String = table::cells().iter().map(row).collect();
    let head =
        "| step | fault | the peer | findings | delivery | ends | is read at most |\n|---|---|---|---|---|---|---|\n";
    let made = format!("{before}{begin}{head}{rows}{end}{after}");
    if std::env::var_os("SMTPTLS_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
        return;
    }
    assert!(page == made, "docs/fault-matrix.md is not what the code says; write it with SMTPTLS_BLESS=1");
}

#[test]
fn every_step_has_its_faults_and_no_cell_stands_twice() {
    let cells = table::cells();
    let labels: BTreeSet<String> = cells.iter().map(Cell::label).collect();
    assert_eq!(labels.len(), cells.len(), "a label stands twice");
    let told: BTreeSet<(Step, &str)> = cells.iter().map(|cell| (cell.step, cell.what)).collect();
    assert_eq!(told.len(), cells.len(), "a fault stands twice");
    assert!(cells.len() >= 100, "{}", cells.len());
    for step in Step::ALL {
        let faults: BTreeSet<_> = cells.iter().filter(|cell| cell.step == step).map(|cell| cell.fault).collect();
        assert!(faults.len() >= 2, "{step:?}: {faults:?}");
    }
    for cell in &cells {
        let known = |code: &str| Code::ALL.iter().any(|known| known.as_str() == code);
        assert!(cell.findings.iter().all(|code| known(code)), "{}", cell.label());
        // A label of the DNS has at most 63 octets, and copies are numbered.
        assert!(cell.label().len() <= 60, "{}", cell.label());
    }
}

fn row(cell: &Cell) -> String {
    let codes: Vec<String> = cell.findings.iter().map(|code| format!("`{code}`")).collect();
    let findings = if codes.is_empty() { "none".to_owned() } else { codes.join(", ") };
    let ends = match cell.ends {
        Ends::AtOnce => "at once".to_owned(),
        Ends::Within { lookups, probes: 0 } => times(lookups, "lookup"),
        Ends::Within { probes, .. } => times(probes, "probe"),
    };
    let taken = match cell.taken {
        Taken::Little => String::new(),
        Taken::Most(octets) => octets.to_string(),
    };
    let (step, fault, what, delivery) = (cell.step.words(), cell.fault.word(), cell.what, cell.delivery);
    format!("| {step} | {fault} | {what} | {findings} | {delivery} | {ends} | {taken} |\n")
}

fn times(times: u32, what: &str) -> String {
    if times == 1 { format!("deadline of a {what}") } else { format!("{times} deadlines of a {what}") }
}
