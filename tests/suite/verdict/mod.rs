//! The judgement, by its specification: facts in, findings and delivery out.

mod case;
mod certificates;
mod codes;
mod delivery;
mod fetch;
mod lookups;
mod pairs_dane;
mod pairs_domain;
mod pairs_mail;
mod pairs_policy;
mod pairs_tls;
mod peers;
mod reach;
mod replay;
mod signed;
mod wishes;
