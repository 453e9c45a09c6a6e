//! `GET /api/v1/shards`: which part of the domains this instance has.

use serde::Serialize;

use super::api::Answer;
use crate::{monitor::Shards, present::json};

/// What is told of the shards.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ShardsView {
    /// The shard of this instance, from 0.
    index: u32,
    /// How many shards there are.
    total: u32,
    /// The slots whose domains it looks at: its own, and those that it took over. None while it stands by.
    held: Vec<u32>,
}

/// 503: it is not known yet.
pub(super) fn answer(shards: Option<&Shards>) -> Answer {
    let Some(Shards { seat, held }) = shards else { return Answer::unavailable("the domains are not shared out yet") };
    let view = ShardsView { index: seat.index, total: seat.total, held: held.iter().copied().collect() };
    Answer::found(json::to_text(&view).map(|text| text + "\n"))
}
