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
const HOUR: Duration = Duration::from_secs(3600);
/// The monitor of the past looked four times a day: often enough for all that is judged by days, and quick to live through.
const STEP: Duration = Duration::from_secs(6 * 3600);
const STEPS_OF_A_DAY: u32 = 4;
/// So many looks before the present every one is judged: to be ready for enforce takes a day of judgements that say so. Before, one
/// a day is.
const JUDGED: u32 = 2 * STEPS_OF_A_DAY;
/// The domains do not change at the same hour: one so many hours before the next, and none as many as these before its day.
const HOURS_APART: u32 = 7;
const HOURS_MOST: u32 = 19;

/// A look, and from when on it would have been the same.
struct Era {
    from: Timestamp,
    sight: Sight,
}

/// Sets up the past, and leaves the present on the stage.
///
/// # Errors
/// [`DemoError`] where the world cannot be looked at.
pub(super) async fn relive(settings: &Settings, stage: &Stage, rows: &[Row]) -> Result<Vec<Batch>, DemoError> {
    let mut eras: Vec<Vec<Era>> = rows.iter().map(|_| Vec::new()).collect();
    let rounds = rows.iter().map(|row| row.eras.len()).max().unwrap_or(0);
    // Backwards by the number of eras that are left, so that the last round shows the present of all.
    for left in (0..rounds).rev() {
        let era = |row: &'_ Row| row.eras.iter().rev().nth(left).cloned();
        stage.show(rows.iter().filter_map(era).map(|(_, picture)| picture))?;
        let edges = open(settings).await?;
        let looks = rows.iter().zip(&mut eras).zip(0..).map(async |((row, eras), place)| {
            let (days, picture) = era(row)?;
            let sight = look(&edges, picture.name).await?;
            let earlier = HOUR * (place * HOURS_APART % HOURS_MOST);
            eras.push(Era { from: sight.at() - DAY * days - earlier, sight });
            Some(())
        });
        join_all(looks).await;
    }
    let edges = open(settings).await?;
    let mut of_past = Settings::clone(settings);
    (of_past.probe.interval, of_past.probe.mx_interval) = (STEP, STEP);
    let mut past = Past::new(Arc::new(of_past), &edges);
    let now = eras.iter().filter_map(|eras| Some(eras.last()?.sight.at())).max().unwrap_or_default();
    let changes: BTreeSet<Timestamp> = eras.iter().flatten().map(|era| era.from).collect();
    for back in (0..FIRST_DAY * STEPS_OF_A_DAY).rev() {
        let at = now - STEP * back;
        for era in eras.iter().filter_map(|eras| eras.iter().rev().find(|era| era.from <= at)) {
            past.see(&era.sight, at);
        }
        let changed = changes.range(at - STEP..=at).next().is_some();
        if changed || back < JUDGED || back % STEPS_OF_A_DAY == 0 {
            past.judge(at);
        }
    }
    // All this took a while, and what was not seen for long is not known any more: the very last look is one of now.
    let names = rows.iter().filter_map(Row::now).map(|now| now.name);
    let last = join_all(names.map(|name| look(&edges, name))).await;
    let at = last.iter().flatten().map(Sight::at).max().unwrap_or(now);
    last.iter().flatten().for_each(|sight| past.see(sight, sight.at()));
    past.judge(at);
    Ok(past.into_batches(at))
}

/// New ones for each era: they would remember the one before.
async fn open(settings: &Settings) -> Result<Edges, DemoError> {
    Edges::open(settings).await.map_err(|error| DemoError::World(error.to_string()))
}

async fn look(edges: &Edges, name: &str) -> Option<Sight> {
    Some(Sight::look(edges, &PolicyDomain::parse(name).ok()?).await)
}
