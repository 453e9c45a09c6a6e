//! The list of misbehaviours, each with the tests that would fail if it were ours.

use std::{collections::BTreeMap, fs, path::Path};

/// What another program of the field gets wrong.
struct Misbehaviour {
    number: usize,
    /// Who does it.
    peers: &'static str,
    /// In a sentence: what happens there.
    what: &'static str,
    /// What keeps it from being ours: these tests, by module and name.
    tests: &'static [&'static str],
}

const fn by(number: usize, peers: &'static str, what: &'static str, tests: &'static [&'static str]) -> Misbehaviour {
    Misbehaviour { number, peers, what, tests }
}

const MISBEHAVIOURS: [Misbehaviour; 49] = [
    by(
        1,
        "smtp-dane-verify",
        "Text from DNS reaches a shell.",
        &["architecture::no_program_is_ever_started", "misbehaviours::checked::a_name_for_the_shell_is_only_text"],
    ),
    by(
        2,
        "smtp-dane-verify, mail-tlsa-check",
        "One bad domain turns the whole scrape into an error.",
        &[
            "misbehaviours::served::a_domain_with_servfail_leaves_the_scrape_whole",
            "serve::one_bad_domain_spoils_no_scrape",
        ],
    ),
    by(
        3,
        "smtp-dane-verify",
        "No mail host, so all of them are verified.",
        &[
            "misbehaviours::checked::without_a_mail_host_nothing_is_in_order",
            "verdict::peers::nothing_to_look_at_is_not_all_in_order",
        ],
    ),
    by(
        4,
        "blackbox_exporter",
        "The expiry of a certificate vanishes once it has expired.",
        &[
            "misbehaviours::served::an_expired_certificate_still_has_its_date",
            "metrics::tests::the_dates_of_a_bad_certificate_are_exported",
            "verdict::certificates::an_expired_certificate_still_says_when",
        ],
    ),
    by(
        5,
        "Zabbix template, MailCheck",
        "A timeout is read as: it is not there.",
        &[
            "misbehaviours::served::a_timeout_keeps_the_value_and_shows_itself",
            "monitor::a_failed_lookup_keeps_the_last_known_answer",
            "verdict::peers::a_timeout_is_not_missing",
            "verdict::lookups::nodata_nxdomain_and_no_answer_are_told_apart",
        ],
    ),
    by(
        6,
        "checkdmarc",
        "A wildcard matches without an anchor, or several labels.",
        &["verdict::peers::a_wildcard_of_the_policy_covers_one_label", "vectors::mx_match"],
    ),
    by(
        7,
        "checkdmarc, stalwart",
        "Keys that a policy has to have get a default.",
        &["verdict::fetch::each_required_key_is_missed"],
    ),
    by(
        8,
        "MailCheck, dmarq, stalwart, aykevl",
        "A policy of mode none is asked for mail hosts.",
        &["verdict::fetch::mode_none_needs_no_host"],
    ),
    by(
        9,
        "cry-inc, parsedmarc, Mail::TLSRPT, isseis, Neztore",
        "A whole report is lost for one odd field.",
        &[
            "reports::intake::an_odd_field_loses_no_report",
            "reports::reader_quirks::each_has_what_raises_it_and_a_near_miss",
        ],
    ),
    by(
        10,
        "parsedmarc, Comcast, aiadam36",
        "JSON keys are misspelt, and data silently gone.",
        &["reports::reader::every_field_is_read", "reports::reader_quirks::each_has_what_raises_it_and_a_near_miss"],
    ),
    by(
        11,
        "phi-ag, mox, Mail::TLSRPT",
        "A report that comes twice counts twice.",
        &["reports::intake::a_report_counts_once_by_whatever_way_it_comes"],
    ),
    by(
        12,
        "dmarc-service",
        "A forged report with the same id hides the real one.",
        &["reports::intake::a_forged_report_with_the_same_id_hides_nothing"],
    ),
    by(
        13,
        "phi-ag, cry-inc, Mail::TLSRPT, ssl_exporter",
        "Senders of reports choose labels, without escape or bound.",
        &[
            "reports::intake_attack::ten_thousand_organizations_make_no_series",
            "monitor::intake::labels::ten_thousand_organizations_get_few_labels",
        ],
    ),
    by(
        14,
        "all",
        "The sts and the tlsa policy of one sender are summed up as sessions.",
        &["reports::intake::sts_and_tlsa_of_one_report_are_not_added_up"],
    ),
    by(
        15,
        "mail-tlsa-check",
        "A scrape starts the probes and waits for one after the other.",
        &[
            "misbehaviours::served::a_hundred_black_holes_hold_up_no_scrape",
            "serve::metrics_of_a_good_and_a_bad_domain",
        ],
    ),
    by(
        16,
        "mail-tlsa-check, blackbox_exporter's example",
        "One shape of the banner and of the STARTTLS line is assumed.",
        &[
            "smtp_probe::odd_but_fine_replies",
            "smtp_probe::banners_of_every_shape",
            "protocol::smtp::capability::keywords_in_any_spelling",
        ],
    ),
    by(
        17,
        "mail-tlsa-check, tlsrpt-rs, foxcpp, aykevl",
        "A TLS error or odd input ends the program.",
        &[
            "check::bad_peers_end_in_their_finding_and_keep_nobody_waiting",
            "smtp_probe::certificates_are_recorded_whatever_they_are_worth",
            "smtp_probe::ends_and_resets_name_the_phase",
            "protocol::smtp::dialogue::any_bytes_end_the_dialogue",
            "protocol::mta_sts::policy_reader::any_bytes_are_read",
            "protocol::mta_sts::record::any_records_are_read",
            "net::resolver::wire::any_bytes_are_read_without_panic",
        ],
    ),
    by(
        18,
        "check_ssl_cert, mail-tlsa-check, aykevl",
        "DANE is found without DNSSEC, usage and selector are ignored, DANE-EE is judged by the rules of PKIX.",
        &[
            "verdict::dane_peers::each_usage_selector_and_matching_type_in_a_signed_and_an_unsigned_zone",
            "verdict::dane_peers::selector_and_usage_are_heeded",
            "verdict::dane_peers::dane_ee_asks_for_the_key_alone",
            "dane::chains::the_key_of_the_leaf_is_all_that_dane_ee_asks",
        ],
    ),
    by(
        19,
        "dmarq, Internet.nl",
        "The record for the next key is a mismatch, or the same record twice a rollover.",
        &["verdict::dane_peers::a_rollover_is_neither_a_mismatch_nor_a_duplicate"],
    ),
    by(
        20,
        "MailCheck, checkdmarc, dmarq",
        "A redirect is followed, a page is taken for a policy, a body has no limit.",
        &[
            "misbehaviours::checked::each_fault_of_a_policy_host_has_its_own_word",
            "policy_fetch::only_a_200_has_a_body_and_redirects_are_not_followed",
            "policy_fetch::the_body_has_a_limit",
            "verdict::fetch::no_redirect_no_page_no_endless_body",
        ],
    ),
    by(21, "Hardenize, dmarq", "Several records are shown as fine.", &["verdict::peers::two_records_are_none"]),
    by(
        22,
        "dmarq, Snawoot",
        "v=stsv1 and v=STSv1x are accepted.",
        &["verdict::peers::the_version_is_exact", "vectors::txt_sts"],
    ),
    by(
        23,
        "checkdmarc",
        "No STARTTLS and a bad certificate are one answer.",
        &[
            "verdict::peers::what_fails_has_its_own_word",
            "misbehaviours::checked::a_fault_is_printed_and_ends_with_1",
            "smtp_probe::starttls_is_missing_or_refused",
        ],
    ),
    by(
        24,
        "smtp-dane-verify, aykevl, dmarq",
        "Only the first address is looked at.",
        &[
            "misbehaviours::checked::one_address_of_two_is_bad_in_any_order",
            "verdict::peers::every_address_counts_in_any_order",
            "verdict::fetch::one_address_of_the_policy_host_fails",
            "policy_fetch::every_address_is_asked_up_to_the_cap",
        ],
    ),
    by(
        25,
        "dmarq",
        "The handshake names no host, or another one.",
        &[
            "smtp_probe::the_name_chooses_the_certificate",
            "policy_fetch::the_name_chooses_the_site",
            "misbehaviours::checked::two_names_of_one_address_are_two_hosts",
        ],
    ),
    by(
        26,
        "tlsrpt-rs",
        "A damaged store is emptied without a word.",
        &[
            "store::damage::a_damaged_file_is_kept_aside_and_an_empty_one_takes_its_place",
            "store::damage::a_file_of_a_later_version_or_of_another_program_is_refused_and_left_alone",
            "store::restart::a_damaged_file_is_said_and_the_monitor_runs_on",
        ],
    ),
    by(
        27,
        "cry-inc, mail-tlsa-check",
        "Metrics without HELP and TYPE, with changing labels, without the last line end.",
        &[
            "misbehaviours::served::a_scrape_of_odd_peers_is_well_formed",
            "metrics::tests::every_sample_is_as_the_table_says_and_every_family_has_one",
            "metrics::tests::promtool_finds_nothing_to_say",
        ],
    ),
    by(
        28,
        "mox",
        "Failures that only the summary of a report has are not counted.",
        &["reports::intake::failures_that_only_the_summary_has_are_counted"],
    ),
    by(
        29,
        "all",
        "Details that do not add up to the summary are settled in silence.",
        &["reports::intake::details_that_do_not_add_up_stand_beside_the_summary"],
    ),
    by(
        30,
        "aiadam36, dmarc-service, Neztore",
        "A compressed report unfolds without limit.",
        &[
            "reports::intake_attack::many_bombs_at_once_are_refused_a_few_at_a_time",
            "reports::intake_posts::a_bomb_by_post_is_too_large",
            "reports::reader_limits::a_bomb_ends_at_the_limit",
        ],
    ),
    by(
        31,
        "Internet.nl",
        "What one host name got at an address is shown for another.",
        &[
            "misbehaviours::checked::two_names_of_one_address_are_two_hosts",
            "misbehaviours::served::what_one_name_gets_at_an_address_is_not_said_of_another",
        ],
    ),
    by(
        32,
        "smtp-dane-verify",
        "An old result stays for ever, and nothing says how old it is.",
        &[
            "misbehaviours::served::the_age_of_what_is_known_is_shown",
            "verdict::reach::the_last_outcome_stands_for_two_hours",
        ],
    ),
    by(
        33,
        "tlsrpt-be, dmarc-service",
        "Dates of a report are inverted, or missing and so 1970.",
        &["reports::reader::missing_times_are_not_1970"],
    ),
    by(
        34,
        "dmarc-service",
        "The first policy domain of a report takes everything.",
        &[
            "reports::intake::each_domain_of_a_report_gets_its_own",
            "reports::reader::every_policy_keeps_its_own_domain",
        ],
    ),
    by(
        35,
        "parsedmarc",
        "A mail is deleted before its report is stored.",
        &[
            "reports::intake_folders::a_mail_whose_key_cannot_be_looked_up_stays",
            "reports::intake_folders::what_cannot_be_put_into_quarantine_stays",
        ],
    ),
    by(
        36,
        "Hardenize",
        "Port 25 is shut off here, and the domain is called broken.",
        &[
            "check::port_25_shut_off_here_is_no_fault_of_the_mail_hosts",
            "check::an_address_family_without_a_route_is_no_fault_of_the_mail_host",
            "verdict::reach::a_blocked_port_here_is_no_fault_there",
        ],
    ),
    by(
        37,
        "Internet.nl",
        "So many connections that the host turns them away, and is called untestable.",
        &[
            "monitor::peers_meet_no_more_connections_than_allowed",
            "monitor::a_failure_is_retried_sooner_and_sooner_no_more",
            "check::a_mail_host_of_several_domains_is_asked_once",
        ],
    ),
    by(
        38,
        "mail-tlsa-check, dmarc-service",
        "Digests and texts are labels, so that series come and go.",
        &["misbehaviours::served::no_label_follows_what_a_peer_says"],
    ),
    by(
        39,
        "checkdmarc, blackbox_exporter",
        "The body of a policy has no limit: 950 MB are read, and 9.6 GB of memory taken.",
        &[
            "policy_fetch::the_body_has_a_limit",
            "policy_fetch::an_endless_header_ends",
            "check::bad_peers_end_in_their_finding_and_keep_nobody_waiting",
        ],
    ),
    by(
        40,
        "checkdmarc",
        "A byte a second holds the check for minutes, and the output for all other domains.",
        &[
            "policy_fetch::silence_and_drips_end_at_the_deadline_of_their_phase",
            "smtp_probe::a_drip_does_not_move_the_deadline",
            "check::bad_peers_end_in_their_finding_and_keep_nobody_waiting",
            "monitor::a_domain_that_hangs_makes_no_other_late",
        ],
    ),
    by(
        41,
        "checkdmarc, posttls-finger",
        "A certificate without a DNS name is taken by its common name.",
        &[
            "misbehaviours::checked::the_common_name_of_a_certificate_names_no_host",
            "verdict::certificates::the_common_name_names_nothing",
        ],
    ),
    by(
        42,
        "checkdmarc, posttls-finger, blackbox_exporter",
        "The verdict turns with the order of the addresses.",
        &[
            "misbehaviours::checked::one_address_of_two_is_bad_in_any_order",
            "verdict::peers::every_address_counts_in_any_order",
        ],
    ),
    by(
        43,
        "postfix-mta-sts-resolver",
        "Of a key that stands twice the last one wins, and protection is off.",
        &[
            "misbehaviours::checked::a_second_mode_does_not_switch_protection_off",
            "verdict::fetch::of_a_key_that_stands_twice_the_first_counts",
        ],
    ),
    by(
        44,
        "mox, posttls-finger",
        "The exit status is 0 on failure, or nothing is printed.",
        &["misbehaviours::checked::a_fault_is_printed_and_ends_with_1", "check::fail_on_warning"],
    ),
    by(
        45,
        "postfix-mta-sts-resolver, mox",
        "Every fault of a policy has one reason: fetch error.",
        &[
            "misbehaviours::checked::each_fault_of_a_policy_host_has_its_own_word",
            "verdict::fetch::each_fault_of_the_fetch_has_its_own_word",
        ],
    ),
    by(
        46,
        "checkdmarc",
        "Without an MX record the host that gets the mail is not tested.",
        &[
            "misbehaviours::checked::without_an_mx_record_the_domain_itself_is_probed",
            "verdict::peers::the_implicit_host_is_judged",
        ],
    ),
    by(
        47,
        "smtp-dane-verify, all others",
        "TLSA records of an unsigned zone are verified, a bogus one is a crash or: try again.",
        &[
            "verdict::dane_peers::each_usage_selector_and_matching_type_in_a_signed_and_an_unsigned_zone",
            "verdict::dane_peers::a_bogus_answer_is_told_as_bogus",
        ],
    ),
    by(
        48,
        "all",
        "Text in clear after the answer to STARTTLS goes unnoticed.",
        &[
            "smtp_probe::text_in_the_same_packet_as_the_220",
            "smtp_probe::text_in_a_packet_after_the_220",
            "check::bad_peers_end_in_their_finding_and_keep_nobody_waiting",
        ],
    ),
    by(
        49,
        "blackbox_exporter's example",
        "The pattern for the banner is so narrow that healthy hosts fail.",
        &["smtp_probe::banners_of_every_shape", "smtp_probe::odd_but_fine_replies"],
    ),
];

#[test]
fn each_misbehaviour_has_its_tests() {
    let numbers: Vec<usize> = MISBEHAVIOURS.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=49).collect::<Vec<_>>(), "each number once, in order");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    for folder in ["src", "tests/suite"] {
        read_modules(&root.join(folder), "", &mut sources);
    }
    for Misbehaviour { number, peers, what, tests } in &MISBEHAVIOURS {
        assert!(!peers.is_empty() && what.ends_with('.'), "{number}");
        assert!(!tests.is_empty(), "{number} has no test: {what}");
        for test in *tests {
            let (module, name) = test.rsplit_once("::").unwrap();
            let source = sources.get(module).unwrap_or_else(|| panic!("{number}: there is no module {module}"));
            assert!(is_test(source, name), "{number}: {module} has no test {name} that runs");
        }
    }
}

#[test]
fn what_is_no_test_is_told_from_one() {
    let source = "#[test]\nfn a() {}\n\n#[tokio::test(flavor = \"x\")]\n// Why.\nasync fn b() {}\n\n    #[test]\n    \
                  fn c(x in any()) {}\nfn d() {}\n#[test]\n#[ignore]\nfn e() {}\n// fn f() {}\n#[cfg(test)]\nfn g() {}\n";
    for (name, expected) in
        [("a", true), ("b", true), ("c", true), ("d", false), ("e", false), ("f", false), ("g", false), ("z", false)]
    {
        assert_eq!(is_test(source, name), expected, "{name}");
    }
}

/// Reads every file below a folder under the name of its module.
fn read_modules(folder: &Path, above: &str, modules: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = if above.is_empty() { name.to_owned() } else { format!("{above}::{name}") };
        if path.is_dir() {
            read_modules(&path, &module, modules);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let module = if name == "mod" { above.to_owned() } else { module };
            // A room of the program and a theme of the tests may have one name.
            modules.entry(module).or_default().push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Whether a source has a test of this name that is not left out.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(place, line)| {
        let before = lines[..place].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
        let attributes: Vec<&&str> = before.filter(|line| line.starts_with('#')).collect();
        begins(line)
            && attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}
