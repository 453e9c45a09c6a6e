//! The rules of the conformance catalogue that findings follow, with the clauses that they come from.

/// By id, sorted.
const RULES: &[(&str, &str)] = &[
    ("APP-02", "RFC 8461 §5.1"),
    ("APP-03", "RFC 8461 §5"),
    ("APP-06", "RFC 8461 §4.1, appendix B"),
    ("APP-08", "RFC 8461 §4.1"),
    ("APP-09", "RFC 8461 §4.2, RFC 9525"),
    ("APP-12", "RFC 8461 §8.3"),
    ("APP-13", "RFC 8461 §8.1"),
    ("APP-15", "RFC 8461 §10.3"),
    ("DAN-02", "RFC 7672 §2.2.1"),
    ("DAN-03", "RFC 7672 §2.2, §2.2.2"),
    ("DAN-04", "RFC 7672 §2.2"),
    ("DAN-05", "RFC 7672 §2.2, RFC 7671 §10.3"),
    ("DAN-06", "RFC 7672 §2.2"),
    ("DAN-07", "RFC 7672 §2.1"),
    ("DAN-08", "RFC 6698 §4.1, RFC 7671 §9"),
    ("DAN-09", "RFC 7672 §3.1.3"),
    ("DAN-10", "RFC 7672 §3.1.1, §3.2.1, RFC 7671 §5.1"),
    ("DAN-11", "RFC 7672 §3.1.2"),
    ("DAN-12", "RFC 7672 §3.2.2"),
    ("DAN-13", "RFC 7672 §3.1.2, RFC 7671 §5.2"),
    ("DAN-14", "RFC 7672 §3.1, RFC 7671 §10.1"),
    ("DAN-15", "RFC 7671 §9"),
    ("DAN-16", "RFC 7671 §8, RFC 7672 §4"),
    ("DAN-17", "RFC 7671 §8.1, RFC 7672 §4"),
    ("DAN-20", "RFC 7672 §8.1"),
    ("DAN-21", "RFC 7672 §2.2.1"),
    ("DAN-22", "RFC 7671 §13"),
    ("FET-02", "RFC 8461 §3.3"),
    ("FET-03", "RFC 8461 §3.3, RFC 9525 §2"),
    ("FET-04", "RFC 8461 §3.3"),
    ("FET-05", "RFC 8461 §3.3"),
    ("FET-06", "RFC 8461 §7.1"),
    ("FET-08", "RFC 8461 §3.3"),
    ("FET-09", "RFC 8461 §3.3"),
    ("FET-10", "RFC 8461 §3.3"),
    ("FET-11", "RFC 8461 §3.2"),
    ("FET-12", "RFC 8461 §3.3"),
    ("FET-13", "RFC 8461 §3.3"),
    ("FET-18", "RFC 8461 §8.2"),
    ("FLD-14", "RFC 8460 §4.4"),
    ("FLD-17", "RFC 8460 §4.3"),
    ("FLD-18", "RFC 8460 §4.4"),
    ("MXT-01", "RFC 5321 §5.1"),
    ("MXT-02", "RFC 5321 §5.1"),
    ("MXT-03", "RFC 7505 §3"),
    ("MXT-04", "RFC 5321 §5.1, RFC 2181 §10.3"),
    ("MXT-05", "RFC 5321 §5.1, RFC 2181 §10.3"),
    ("MXT-06", "RFC 5321 §5"),
    ("MXT-07", "RFC 3207 §4"),
    ("MXT-08", "RFC 7672 §9.2"),
    ("MXT-09", "RFC 8461 §7.2, RFC 9325 §3.1.1, RFC 8996"),
    ("MXT-10", "RFC 8461 §7.1, RFC 7672 §8.1"),
    ("MXT-11", "RFC 8461 §4.2"),
    ("MXT-12", "RFC 9325 §4"),
    ("MXT-14", "RFC 8461 §4.2, RFC 7672 §8.1"),
    ("POL-01", "RFC 8461 §3.2"),
    ("POL-02", "RFC 8461 §3.2, erratum 6253"),
    ("POL-03", "RFC 8461 §3.2"),
    ("POL-04", "RFC 8461 §3.2"),
    ("POL-05", "RFC 8461 §3.2"),
    ("POL-06", "RFC 8461 §3.2"),
    ("POL-07", "RFC 8461 §3.2"),
    ("POL-08", "RFC 8461 §3.2"),
    ("POL-09", "RFC 8461 §3.2"),
    ("POL-10", "RFC 8461 §3.2"),
    ("POL-11", "RFC 8461 §3.2"),
    ("POL-12", "RFC 8461 §3.2, erratum 7282"),
    ("POL-13", "RFC 8461 §3.2"),
    ("POL-14", "RFC 8461 §3.2"),
    ("POL-15", "RFC 8461 §3.2"),
    ("POL-16", "RFC 8461 §3.2, §4.1"),
    ("POL-17", "RFC 8461 §3.2, RFC 5321 §4.1.2"),
    ("POL-18", "RFC 8461 §3.2"),
    ("POL-19", "RFC 4343"),
    ("POL-20", "RFC 8461 §10.4"),
    ("POL-21", "RFC 8461 §4.1, §8.4"),
    ("POL-22", "RFC 8461 §4.1"),
    ("REC-01", "RFC 8461 §3.1"),
    ("REC-02", "RFC 8461 §3.1, §8.2"),
    ("REC-04", "RFC 8461 §3.1"),
    ("REC-05", "RFC 8461 §3.1"),
    ("REC-06", "RFC 8461 §3.1, erratum 6285"),
    ("REC-07", "RFC 8461 §3.1"),
    ("REC-08", "RFC 8461 §3.1"),
    ("REC-09", "RFC 8461 §3.1"),
    ("REC-10", "RFC 8461 §3.1, §3.2"),
    ("REC-11", "RFC 8461 §3.1"),
    ("REC-13", "RFC 8461 §3.2"),
    ("REC-14", "RFC 8461 §3.1"),
    ("REC-15", "RFC 8461 §3.1, §3.3, §5.1"),
    ("REC-16", "RFC 8461 §3.4"),
    ("REC-18", "RFC 8461 §3.1, §8.1"),
    ("REC-19", "RFC 8461 §2, §10.2"),
    ("REC-20", "RFC 8461 §3"),
    ("REC-21", "RFC 8461 §8.1"),
    ("REC-22", "RFC 8461 §8.2"),
    ("REP-02", "RFC 8460 §4.1"),
    ("REP-14", "RFC 8460 §3, §5.3.1"),
    ("RPT-01", "RFC 8460 §3"),
    ("RPT-02", "RFC 8460 §3"),
    ("RPT-03", "RFC 8460 §3"),
    ("RPT-04", "RFC 8460 §3"),
    ("RPT-05", "RFC 8460 §3"),
    ("RPT-06", "RFC 8460 §3"),
    ("RPT-07", "RFC 8460 §3"),
    ("RPT-09", "RFC 8460 §3"),
    ("RPT-10", "RFC 8460 §3"),
    ("RPT-11", "RFC 8460 §7"),
    ("RPT-13", "RFC 8460 §7"),
    ("RPT-15", "RFC 8460 §3"),
];

/// The clause of a rule; nothing for a rule that is not in the table.
pub(super) fn clause(rule: &str) -> Option<&'static str> {
    let at = RULES.binary_search_by_key(&rule, |(id, _)| id).ok()?;
    RULES.get(at).map(|(_, clause)| *clause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Code;

    #[test]
    fn the_table_is_sorted() {
        assert!(RULES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_rule_of_a_finding_has_its_clause() {
        for rule in Code::ALL.iter().flat_map(|code| code.row().rules) {
            assert!(clause(rule).is_some_and(|clause| clause.starts_with("RFC ")), "{rule}");
        }
        assert_eq!(clause("REC-09"), Some("RFC 8461 §3.1"));
        assert_eq!(clause("ZZZ-00"), None);
    }
}
