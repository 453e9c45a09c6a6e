//! The text of the file of `--web.config.file`.

use smtptls_exporter::config::web::{LoadedWeb, parse};

use super::configuration::{check_errors, check_warnings};

/// A password that somebody wrote where its hash belongs. No mutation comes upon it.
const PASSWORD: &str = "Xq7-a-word-of-the-administrator";

/// The file, which has to be UTF-8; what is not counts as a strange character.
pub fn web_configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    check_hidden(&format!("basic_auth_users:\n  ann: {PASSWORD}\n{text}"));
    // A key that is none.
    check_hidden(&format!("basic_auth_user: {{ann: {PASSWORD}}}\n{text}"));
    match parse("web.yml", &text) {
        Ok(loaded) => {
            check_loaded(&text, &loaded);
            // Behind a text that is whole, so that no quote or bracket of it makes something else of the users.
            check_hidden(&format!("{text}\nbasic_auth_users:\n  ann:\n    {PASSWORD}\n"));
        }
        Err(errors) => check_errors(&text, &errors),
    }
}

/// Whatever else is wrong with a file: a password that stands in it is not shown.
fn check_hidden(text: &str) {
    let errors = parse("web.yml", text).expect_err("a password is no hash");
    for said in [errors.render(false), errors.render(true), errors.to_string(), format!("{errors:?}")] {
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

fn check_loaded(text: &str, loaded: &LoadedWeb) {
    check_warnings(text, &loaded.warnings);
    let settings = &loaded.settings;
    assert_eq!(&parse("web.yml", text).unwrap().settings, settings);
    for (user, hash) in &settings.users {
        // Between them is the colon of the header.
        assert!(!user.is_empty() && !user.contains(':'), "{user:?}");
        assert!(loaded.warnings.iter().all(|one| !one.to_string().contains(hash.reveal())));
        assert_eq!(format!("{hash:?}"), "***");
    }
    assert!(settings.rate_limit.is_none_or(|limit| limit.burst > 0 && !limit.interval.is_zero()), "{settings:?}");
    if let Some(tls) = &settings.tls {
        assert!(tls.min_version <= tls.max_version, "{tls:?}");
        assert!(!tls.client_certificates.verified() || tls.client_ca.is_some() || !loaded.warnings.is_empty());
    }
}
