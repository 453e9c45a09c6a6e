//! What each kind of sender does with mail for the domain.

use maud::{Markup, html};

use crate::{
    verdict::{Assessment, SenderState},
    web::pages::layout,
};

/// A table behind a summary: the verdict above says what matters of it.
pub(super) fn senders(seen: &Assessment) -> Markup {
    let senders = &seen.senders;
    let kinds: [(&str, &SenderState); 4] = [
        ("Apply MTA-STS (Gmail, Outlook)", &senders.sts),
        ("Apply DANE", &senders.dane),
        ("Apply both", &senders.both),
        ("Check nothing", &senders.opportunistic),
    ];
    let table = html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "Senders that" }
                    th scope="col" { "Mail" }
                    th scope="col" { "Why" }
                    th.number scope="col" { "Secure" }
                    th.number scope="col" { "Open" }
                    th.number scope="col" { "Refused" }
                    th.number scope="col" { "Not seen" }
                }
            }
            tbody {
                @for (kind, sender) in kinds {
                    tr {
                        th scope="row" { (kind) }
                        td data-label="Mail" { (layout::badge(Some(sender.state))) }
                        td data-label="Why" { (sender.reason) }
                        td.number data-label="Secure" { (sender.paths.secure) }
                        td.number data-label="Open" { (sender.paths.open) }
                        td.number data-label="Refused" { (sender.paths.refused) }
                        td.number data-label="Not seen" { (sender.paths.cannot_tell) }
                    }
                }
            }
        }
    };
    html! {
        details {
            summary { "By kind of sender" }
            (layout::scroll("Kinds of sender", &table))
            p.quiet {
                "Addresses of mail hosts by what such a sender does there: deliver to an authenticated host, deliver without that, or not deliver."
            }
        }
    }
}
