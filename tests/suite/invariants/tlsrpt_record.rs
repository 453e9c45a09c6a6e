//! The record of TLSRPT (RFC 8460 §3).

use smtptls_exporter::{
    protocol::tls_rpt::{TlsRptRecord, read_tlsrpt_records},
    terms::Octets,
};

use super::{
    check_stored, is_printable,
    sts_record::{check_reading, records},
};

/// Records and their strings are separated as in [`super::sts_record()`].
pub fn tlsrpt_record(bytes: &[u8]) {
    let records = records(bytes);
    let reading = read_tlsrpt_records(&records);
    check_reading(&records, &reading, b"v=TLSRPTv1;");
    let Some(record) = &reading.value else { return };
    assert!(!record.rua.is_empty());
    for destination in &record.rua {
        let scheme = format!("{}:", destination.scheme);
        assert!(is_printable(&destination.uri) && !destination.uri.contains([',', ';', '!', ' ']), "{destination}");
        assert_eq!(destination.uri[..scheme.len()].to_ascii_lowercase(), scheme);
        check_stored(destination);
    }
    let printed = printed(record);
    let again = read_tlsrpt_records(&[vec![Octets::from(printed.as_str())]]);
    assert_eq!(again.value.as_ref(), Some(record), "{printed}");
}

fn printed(record: &TlsRptRecord) -> String {
    let rua: Vec<String> = record.rua.iter().map(ToString::to_string).collect();
    let extensions = record.extensions.iter().map(|(name, value)| format!(";{name}={value}"));
    format!("v=TLSRPTv1;rua={}", rua.join(",")) + &extensions.collect::<String>()
}
