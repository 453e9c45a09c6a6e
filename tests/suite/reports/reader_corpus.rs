//! Reports that real senders wrote, and those of other programs' tests: what each says, or why it is refused.

use std::fs;

use smtptls_exporter::protocol::tls_rpt::{
    Declared, Refusal, ReportReader, ReportedPolicy, Shape, TlsReport, read_mail, sniff,
};

use crate::corpus::{assert_table, corpus};

#[test]
fn reports() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("reports");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name != "index.tsv").collect();
    names.sort();
    assert!(names.len() > 20, "the corpus is there");
    let mut reader = ReportReader::new();
    let lines: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let bytes = fs::read(folder.join(name)).unwrap();
            match read(&mut reader, &bytes) {
                Ok(reports) => reports.iter().map(|report| line(name, report)).collect(),
                Err(refusal) => vec![format!("{name}\trefused\t{}\t-\t-", refusal.reason)],
            }
        })
        .collect();
    assert_table("corpus_reports.tsv", "file\treporter\treport_id\tpolicies\tquirks", &lines);
}

fn read(reader: &mut ReportReader, bytes: &[u8]) -> Result<Vec<TlsReport>, Refusal> {
    if sniff(bytes) == Shape::Mail {
        let reports = read_mail(reader, bytes)?;
        return Ok(reports.into_iter().map(|report| report.report).collect());
    }
    Ok(vec![reader.read(bytes, Declared::default())?])
}

fn line(name: &str, report: &TlsReport) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let policies: Vec<String> = report.policies.iter().map(policy).collect();
    let quirks: Vec<&str> = report.quirks.iter().map(|quirk| quirk.as_str()).collect();
    let quirks = if quirks.is_empty() { "-".to_owned() } else { quirks.join(" ") };
    let (organization, id) = (or_none(&report.organization), or_none(&report.report_id));
    format!("{name}\t{organization}\t{id}\t{}\t{quirks}", policies.join(" "))
}

/// `type:domain:successful/failed`, and each detail as `+type=sessions`.
fn policy(policy: &ReportedPolicy) -> String {
    let details = policy.failures.iter().map(|detail| format!("+{}={}", detail.result_type.as_str(), detail.sessions));
    let domain = policy.domain.as_deref().unwrap_or("-");
    let head = format!("{}:{domain}:{}/{}", policy.policy_type.as_str(), policy.successful, policy.failed);
    head + &details.collect::<String>()
}
