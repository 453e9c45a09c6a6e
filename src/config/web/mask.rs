//! What of the file may be shown: everything but private keys and what stands beside user names.

/// How `basic_auth_users` begins, and what is written in its place by mistake: `basic_auth_user`, or `basic_auth` as in Prometheus.
const USERS: &str = "basic_auth";
/// With these a line leaves the users; a name there may stand at its beginning too.
const OTHERS: [&str; 3] = ["tls_server_config", "http_server_config", "rate_limit"];

/// The text with stars in place of secrets, letter for letter, so that places stay where they are. Where it cannot be told what is
/// secret, more is hidden than has to be: below `basic_auth…` all that follows a name, and in PEM of a key all of it.
pub(super) fn without_secrets(text: &str) -> String {
    let (mut among_users, mut in_key) = (false, false);
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let begins = line.trim_start_matches(['"', '\'']);
        if OTHERS.iter().any(|other| begins.starts_with(other)) {
            among_users = false;
        }
        in_key |= line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        match line.find(USERS) {
            _ if in_key => hide(line, &mut shown),
            // The map may go on in the same line, of a file that is one line as well.
            Some(at) => {
                among_users = true;
                let (before, after) = line.split_at(at + USERS.len());
                shown.push_str(before);
                hide_behind_colon(after, &mut shown);
            }
            None if among_users => hide_behind_colon(line, &mut shown),
            None => hide_hashes(line, &mut shown),
        }
        if line.contains("-----END") {
            in_key = false;
        }
    }
    shown
}

fn hide(text: &str, shown: &mut String) {
    shown.extend(text.chars().map(|letter| if letter.is_whitespace() { letter } else { '*' }));
}

/// A name may hold a colon only in quotes, and is then shown in part.
fn hide_behind_colon(line: &str, shown: &mut String) {
    match line.find(':') {
        Some(at) => {
            let (name, secret) = line.split_at(at + 1);
            shown.push_str(name);
            hide(secret, shown);
        }
        // A value that goes on from the line before.
        None => hide(line, shown),
    }
}

/// Hashes that stand elsewhere by mistake.
fn hide_hashes(line: &str, shown: &mut String) {
    match line.find("$2") {
        Some(at) => {
            let (before, hash) = line.split_at(at);
            shown.push_str(before);
            hide(hash, shown);
        }
        None => shown.push_str(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_and_places_stay() {
        let text = "tls_server_config:\n  cert_file: a\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    MIIJ\n    \
                    -----END PRIVATE KEY-----\n  min_version: TLS12\nbasic_auth_users:\n  # c\n  ann: geheim\n  'b b': $2y$10$x\n  \
                    carl:\n    wort\n\n  dora: geheim\nrate_limit: {burst: 1}\nx: $2y$10$abc\n";
        let shown = without_secrets(text);
        for secret in ["MIIJ", "geheim", "wort", "$2y$"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for open in ["cert_file: a", "min_version: TLS12", "ann:", "'b b':", "rate_limit: {burst: 1}"] {
            assert!(shown.contains(open), "{open} in {shown}");
        }
        assert_eq!(shown.chars().count(), text.chars().count());
        assert_eq!(shown.lines().count(), text.lines().count());
        for one_line in [
            "basic_auth_users: {ann: gehëim}",
            "{rate_limit: {}, basic_auth_users: {ann: gehëim}}",
            "\"basic_auth_users\": {\n\"ann\": \"gehëim\"}",
            "basic_auth_user: {ann: gehëim}",
            "basic_auth_user:\n  ann: gehëim\n",
            "basic_auth: {username: ann, password: gehëim}",
            "basic_auth:\n  username: ann\n  password: gehëim\n",
            "rate_limit: {burst: 1}\nbasic_auth: ann:gehëim\n",
        ] {
            let shown = without_secrets(one_line);
            assert!(!shown.contains("geh") && shown.chars().count() == one_line.chars().count(), "{shown}");
        }
    }
}
