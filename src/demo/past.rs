//! The two months before the world began: every era of every domain is set up and looked at, and the looks are dated back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    DemoError,
    stage::Stage,
    table::{FIRST_DAY, Row},
};
use crate::{
    config::Settings,
    monitor::{Edges, Past, Sight},
    store::Batch,
    terms::{PolicyDomain, Timestamp},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Between two looks: a longer pause would be a gap, in which anything may have been served.
const STEP: Duration = Duration::from_secs(3600);
/// So many looks before the present every one is judged: it takes a day to become ready for enforce. Before, one a day is.
const JUDGED: u32 = 30;

/// A look, and from when on it would have been the same.
struct Era {
    from: Timestamp,
    sight: Sight,
}

/// Sets up the past, and leaves the present on the stage.
///
/// # Errors
/// [`DemoError`] where the world cannot be looked at.
pub(super) async fn relive(settings: &Arc<Settings>, stage: &Stage, rows: &[Row]) -> Result<Vec<Batch>, DemoError> {
    let mut eras: Vec<Vec<Era>> = rows.iter().map(|_| Vec::new()).collect();
    let rounds = rows.iter().map(|row| row.eras.len()).max().unwrap_or(0);
    let mut past = None;
    // The last round shows the present of all, so that it is looked at as late as can be.
    for left in (0..rounds).rev() {
        let shown = rows.iter().filter_map(|row| row.eras.iter().rev().nth(left));
        stage.show(shown.map(|(_, picture)| picture.clone()))?;
        // New ones each time: they would remember the era before.
        let edges = Edges::open(settings).await.map_err(|error| DemoError::World(error.to_string()))?;
        let looks = rows.iter().zip(&mut eras).map(async |(row, eras)| {
            let (days, picture) = row.eras.iter().rev().nth(left)?;
            let domain = PolicyDomain::parse(picture.name).ok()?;
            let sight = Sight::look(&edges, &domain).await;
            eras.push(Era { from: sight.at() - DAY * *days, sight });
            Some(())
        });
        join_all(looks).await;
        past = Some(Past::new(Arc::clone(settings), &edges));
    }
    let Some(mut past) = past else { return Ok(Vec::new()) };
    let now = eras.iter().filter_map(|eras| Some(eras.last()?.sight.at())).max().unwrap_or_default();
    let changes: BTreeSet<Timestamp> = eras.iter().flatten().map(|era| era.from).collect();
    for back in (0..FIRST_DAY * 24).rev() {
        let at = now - STEP * back;
        for era in eras.iter().filter_map(|eras| eras.iter().rev().find(|era| era.from <= at)) {
            past.see(&era.sight, at);
        }
        let changed = changes.range(at - STEP..=at).next().is_some();
        if changed || back < JUDGED || back % 24 == 0 {
            past.judge(at);
        }
    }
    Ok(past.into_batches(now))
}
