//! The judgement, by its specification: facts in, findings and delivery out.

mod any_dane;
pub(crate) mod case;
mod cells;
mod certificates;
mod codes;
mod dane_peers;
mod dane_rules;
mod delivery;
mod fetch;
mod kinds;
mod lookups;
mod outcomes;
mod pairs_dane;
mod pairs_domain;
mod pairs_mail;
mod pairs_policy;
mod pairs_tls;
mod peers;
mod reach;
mod replay;
pub(crate) mod reports;
mod reports_own_view;
mod severities;
mod signed;
mod vectors_dane;
mod wishes;
mod wishes_dane;
