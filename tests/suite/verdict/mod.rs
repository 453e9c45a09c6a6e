//! The judgement, by its specification: facts in, findings and delivery out.

pub(crate) mod case;
mod certificates;
mod codes;
mod delivery;
mod fetch;
mod lookups;
mod pairs_domain;
mod pairs_mail;
mod pairs_policy;
mod peers;
mod reach;
mod replay;
mod wishes;
