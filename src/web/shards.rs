//! `GET /api/v1/shards`: which part of the domains this instance has, and where the others are.

use serde::Serialize;

use super::api::Answer;
use crate::{
    monitor::{Peer, Shards},
    present::json,
};

/// What is told of the shards.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ShardsView<'a> {
    /// The shard of this instance, from 0.
    index: u32,
    /// How many shards there are.
    total: u32,
    /// The slots whose domains it looks at: its own, and those that it took over. None while it stands by.
    held: Vec<u32>,
    /// All instances that were heard of lately, this one among them; empty where they share no database.
    instances: Vec<InstanceView<'a>>,
}

/// An instance, as the shared database knows it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct InstanceView<'a> {
    /// Its host, process and a number.
    name: &'a str,
    /// The shard that is its own.
    index: u32,
    /// Where its pages are, where it says so (`--web.external-url`).
    address: Option<&'a str>,
    /// Whether it was heard of within the time of a lease.
    alive: bool,
    /// How many slots it holds.
    slots: u32,
}

/// 503: it is not known yet.
pub(super) fn answer(shards: Option<&Shards>) -> Answer {
    let Some(Shards { seat, held, instances }) = shards else {
        return Answer::unavailable("the domains are not shared out yet");
    };
    let instances = instances.iter().map(|Peer { name, index, address, alive, slots }| InstanceView {
        name,
        index: *index,
        address: address.as_deref(),
        alive: *alive,
        slots: *slots,
    });
    let held = held.iter().copied().collect();
    let view = ShardsView { index: seat.index, total: seat.total, held, instances: instances.collect() };
    Answer::found(json::to_text(&view).map(|text| text + "\n"))
}
