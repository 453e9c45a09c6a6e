//! Who runs a mail host that is not the domain's own, where its name tells.

use crate::terms::MxHost;

/// A company that runs mail hosts for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What the service is called.
    pub name: &'static str,
    /// The pattern that its own manual puts into the policy of a customer, where it names one.
    pub documented_pattern: Option<&'static str>,
    /// The names that its mail hosts stand under.
    suffixes: &'static [&'static str],
}

/// Those whose names and manuals are public and do not change with the customer. Everybody else's hosts are "somebody else's".
const PROVIDERS: [Provider; 2] = [
    Provider { name: "Google Workspace", documented_pattern: None, suffixes: &["google.com", "googlemail.com"] },
    Provider {
        name: "Exchange Online",
        documented_pattern: Some("*.mail.protection.outlook.com"),
        suffixes: &["mail.protection.outlook.com", "mx.microsoft"],
    },
];

/// The provider of a mail host, by its name.
pub fn provider_of(host: &MxHost) -> Option<Provider> {
    PROVIDERS.into_iter().find(|provider| provider.suffixes.iter().any(|suffix| host.is_within(suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_provider() {
        let of = |name: &str| provider_of(&MxHost::parse(name).unwrap()).map(|provider| provider.name);
        for (name, provider) in [
            ("aspmx.l.google.com", Some("Google Workspace")),
            ("SMTP.google.com.", Some("Google Workspace")),
            ("aspmx2.googlemail.com", Some("Google Workspace")),
            ("example-com.mail.protection.outlook.com", Some("Exchange Online")),
            ("example-com.a-v1.mx.microsoft", Some("Exchange Online")),
            ("mx.example.com", None),
            ("google.com.example", None),
            ("notgoogle.com", None),
            ("outlook.com", None),
        ] {
            assert_eq!(of(name), provider, "{name}");
        }
    }

    #[test]
    fn a_documented_pattern_covers_the_provider_s_hosts() {
        let host = MxHost::parse("example-com.mail.protection.outlook.com").unwrap();
        let pattern = provider_of(&host).and_then(|provider| provider.documented_pattern).unwrap();
        assert!(crate::protocol::mta_sts::MxPattern::parse(pattern).unwrap().matches(&host));
    }
}
