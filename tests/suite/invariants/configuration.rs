//! The text of a configuration.

use smtptls_exporter::config::{ConfigErrors, Diagnostic, DiagnosticSeverity, Loaded, parse, show};

/// The file, which has to be UTF-8; what is not counts as a strange character.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse("test.yml", &text) {
        Ok(loaded) => check_loaded(&text, &loaded),
        Err(errors) => check_errors(&text, &errors),
    }
}

/// What is said of a text that cannot be used.
pub(super) fn check_errors(text: &str, errors: &ConfigErrors) {
    assert!(errors.count() > 0);
    check_diagnostics(text, &errors.diagnostics);
    assert!(is_text(&errors.render(false)), "{errors}");
    assert!(!errors.render(true).is_empty());
}

/// What is odd about one that can.
pub(super) fn check_warnings(text: &str, warnings: &[Diagnostic]) {
    assert!(warnings.iter().all(|one| one.severity == DiagnosticSeverity::Warning));
    check_diagnostics(text, warnings);
}

fn check_loaded(text: &str, loaded: &Loaded) {
    check_warnings(text, &loaded.warnings);
    assert_eq!(parse("test.yml", text).unwrap().text_hash, loaded.text_hash);
    let shown = show(&loaded.settings).unwrap();
    let again = parse("test.yml", &shown).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
    assert_eq!(show(&again.settings).as_ref(), Ok(&shown));
    // Secrets of URLs are not shown, so they cannot be read again.
    if !text.contains("://") {
        assert_eq!(again.settings, loaded.settings, "{shown}");
    }
}

fn check_diagnostics(text: &str, diagnostics: &[Diagnostic]) {
    // YAML 1.2 §5.4: LF, CRLF and CR end a line.
    let lines = text.split(['\n', '\r']).count();
    for one in diagnostics {
        assert!(one.location.is_none_or(|at| (1..=lines + 1).contains(&at.line)), "{one:?}");
        let texts = [Some(&one.message), one.expected.as_ref(), one.hint.as_ref()];
        assert!(texts.into_iter().flatten().all(|text| !text.chars().any(char::is_control)), "{one:?}");
        assert!(is_text(&one.to_string()), "{one}");
    }
    assert!(diagnostics.is_sorted_by_key(|one| one.location.map(|at| (at.line, at.column))), "{diagnostics:?}");
}

/// No control characters but line feeds.
fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n')
}
