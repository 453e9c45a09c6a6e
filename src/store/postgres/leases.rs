//! Leases in the database. Every end of a lease is reckoned by its clock (`clock_timestamp`, which also runs while a statement waits),
//! and every step is one statement.
//!
//! A fenced write holds a key-share lock on the rows of its slots. A renewal changes no key of a row and goes by it; a change of the holder
//! changes the epoch, which is in a unique index, and waits for it.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::{
    Connection, PgConnection, Row,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::time::timeout;

use super::{connection::Server, failure::Failure};
use crate::store::{Fence, Holder, Instance, InstanceState, Lease, Leases, Renewal, SlotState, StoreError};

/// One connection, of which the store takes nothing away: a renewal must not wait for a large reading.
const CONNECTIONS: usize = 1;

/// How long a step may take. A lease of half a minute can be renewed several times while it holds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A write that is under way and in the way ends by [`super::connection::WRITE`]; until then a step is tried again.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '8s'; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL idle_in_transaction_session_timeout = '8s'";

/// An instance of which nothing was heard for this long is forgotten: a pod gets a new name with each start.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// So many instances are told of.
const INSTANCES_MOST: i64 = 1000;

/// The leases of one process.
#[derive(Debug)]
pub(super) struct PostgresLeases {
    server: Server,
}

impl PostgresLeases {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self { server: Server::new(options, CONNECTIONS) }
    }

    async fn renewed(&self, instance: &Instance, held: &[Lease], ttl: Duration) -> Result<Renewal, StoreError> {
        let mut lent = self.server.lend().await?;
        let renewed = timeout(PATIENCE, renew(&mut lent, instance, held, ttl)).await;
        self.server.settle(lent, renewed)
    }

    async fn taken(
        &self,
        instance: &Instance,
        slot: u32,
        rest: Duration,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut lent = self.server.lend().await?;
        let taken = timeout(PATIENCE, take(&mut lent, instance, slot, rest, ttl)).await;
        self.server.settle(lent, taken)
    }

    async fn asked(&self, instance: &Instance, ttl: Duration) -> Result<bool, StoreError> {
        let mut lent = self.server.lend().await?;
        let asked = timeout(PATIENCE, ask(&mut lent, instance, ttl)).await;
        self.server.settle(lent, asked)
    }

    async fn given(&self, holder: &Holder, leases: &[Lease]) -> Result<(), StoreError> {
        let mut lent = self.server.lend().await?;
        let given = timeout(PATIENCE, give(&mut lent, holder, leases)).await;
        self.server.settle(lent, given)
    }

    async fn left(&self, holder: &Holder) -> Result<(), StoreError> {
        let mut lent = self.server.lend().await?;
        let left = timeout(PATIENCE, leave(&mut lent, holder)).await;
        self.server.settle(lent, left)
    }
}

impl Leases for PostgresLeases {
    fn renew<'a>(
        &'a self,
        instance: &'a Instance,
        held: &'a [Lease],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Renewal, StoreError>> {
        self.renewed(instance, held, ttl).boxed()
    }

    fn take<'a>(
        &'a self,
        instance: &'a Instance,
        slot: u32,
        rest: Duration,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        self.taken(instance, slot, rest, ttl).boxed()
    }

    fn ask<'a>(&'a self, instance: &'a Instance, ttl: Duration) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.asked(instance, ttl).boxed()
    }

    fn give<'a>(&'a self, holder: &'a Holder, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.given(holder, leases).boxed()
    }

    fn leave<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), StoreError>> {
        self.left(holder).boxed()
    }
}

/// Slots and epochs, column by column. A number that the column cannot hold is no slot that anybody has.
fn columns(leases: &[Lease]) -> (Vec<i32>, Vec<i64>) {
    leases.iter().filter_map(|lease| Some((i32::try_from(lease.slot).ok()?, lease.epoch))).unzip()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A number of slots or a slot, for a column.
fn column(number: u32) -> Result<i32, Failure> {
    i32::try_from(number).map_err(|_| Failure::Other(format!("there is no slot {number}")))
}

/// The other way.
fn number(column: i32) -> u32 {
    u32::try_from(column).unwrap_or(0)
}

async fn renew(
    connection: &mut PgConnection,
    instance: &Instance,
    held: &[Lease],
    ttl: Duration,
) -> Result<Renewal, Failure> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let (slots, epochs) = columns(held);
    let rows = sqlx::query(
        "UPDATE slots SET ends_at = clock_timestamp() + $4 * interval '1 millisecond' \
         FROM unnest($2::integer[], $3::bigint[]) AS mine (slot, epoch) \
         WHERE slots.slot = mine.slot AND slots.epoch = mine.epoch AND slots.holder = $1 \
         RETURNING slots.slot, slots.epoch",
    )
    .bind(instance.holder.as_str())
    .bind(slots)
    .bind(epochs)
    .bind(milliseconds(ttl))
    .fetch_all(&mut *transaction)
    .await?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        held.push(Lease { slot: number(row.try_get(0)?), epoch: row.try_get(1)? });
    }
    held.sort();
    sqlx::query(
        "INSERT INTO instances (holder, home, total, address, heard_at, ends_at) \
         VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + $5 * interval '1 millisecond') \
         ON CONFLICT (holder) DO UPDATE SET home = excluded.home, total = excluded.total, address = excluded.address, \
         heard_at = excluded.heard_at, ends_at = excluded.ends_at",
    )
    .bind(instance.holder.as_str())
    .bind(column(instance.home)?)
    .bind(column(instance.total)?)
    .bind(&instance.address)
    .bind(milliseconds(ttl))
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM instances WHERE ends_at < clock_timestamp() - $1 * interval '1 millisecond'")
        .bind(milliseconds(FORGOTTEN))
        .execute(&mut *transaction)
        .await?;
    let slots = slot_states(&mut transaction, instance.total).await?;
    let instances = instance_states(&mut transaction).await?;
    transaction.commit().await?;
    Ok(Renewal { held, slots, instances })
}

async fn slot_states(connection: &mut PgConnection, total: u32) -> Result<Vec<SlotState>, Failure> {
    let rows = sqlx::query(
        "SELECT number, holder, \
         (extract(epoch FROM ends_at - clock_timestamp()) * 1000)::bigint AS remaining, \
         CASE WHEN wanted_until > clock_timestamp() THEN wanted_by END AS wanted_by \
         FROM generate_series(0, $1 - 1) AS number LEFT JOIN slots ON slots.slot = number ORDER BY number",
    );
    let rows = rows.bind(column(total)?).fetch_all(connection).await?;
    let mut states = Vec::with_capacity(rows.len());
    for row in &rows {
        states.push(slot_state(row)?);
    }
    Ok(states)
}

fn slot_state(row: &PgRow) -> Result<SlotState, sqlx::Error> {
    let holder = row.try_get::<Option<String>, _>("holder")?.map(Holder::from_row);
    let left = row.try_get::<Option<i64>, _>("remaining")?;
    let span = |left: i64| Duration::from_millis(left.unsigned_abs());
    Ok(SlotState {
        slot: number(row.try_get("number")?),
        left: left.filter(|left| *left > 0 && holder.is_some()).map(span),
        free_for: left.filter(|left| *left <= 0 || holder.is_none()).map(|left| span(left.min(0))),
        wanted_by: row.try_get::<Option<String>, _>("wanted_by")?.map(Holder::from_row),
        holder,
    })
}

async fn instance_states(connection: &mut PgConnection) -> Result<Vec<InstanceState>, Failure> {
    let rows = sqlx::query(
        "SELECT instances.holder, home, total, address, \
         (extract(epoch FROM clock_timestamp() - heard_at) * 1000)::bigint AS heard, ends_at > clock_timestamp() AS alive, \
         (SELECT count(*) FROM slots WHERE slots.holder = instances.holder AND slots.ends_at > clock_timestamp()) AS held \
         FROM instances ORDER BY home, instances.holder LIMIT $1",
    );
    let rows = rows.bind(INSTANCES_MOST).fetch_all(connection).await?;
    let mut states = Vec::with_capacity(rows.len());
    for row in &rows {
        states.push(InstanceState {
            instance: Instance {
                holder: Holder::from_row(row.try_get("holder")?),
                home: number(row.try_get("home")?),
                total: number(row.try_get("total")?),
                address: row.try_get("address")?,
            },
            heard: Duration::from_millis(u64::try_from(row.try_get::<i64, _>("heard")?).unwrap_or(0)),
            alive: row.try_get("alive")?,
            slots: u32::try_from(row.try_get::<i64, _>("held")?).unwrap_or(u32::MAX),
        });
    }
    Ok(states)
}

/// A slot that $2 may take after a rest of $3 milliseconds.
const FREE: &str = "slots.holder = $2 OR (slots.ends_at <= clock_timestamp() - $3 * interval '1 millisecond' \
     AND (slots.wanted_by IS NULL OR slots.wanted_by = $2 OR slots.wanted_until <= clock_timestamp()))";

async fn take(
    connection: &mut PgConnection,
    instance: &Instance,
    slot: u32,
    rest: Duration,
    ttl: Duration,
) -> Result<Option<Lease>, Failure> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    // What cannot be had is seen without a lock, which would wait for a write under way.
    let look = format!("SELECT 1 FROM slots WHERE slot = $1 AND ({FREE}) IS NOT TRUE");
    let barred = sqlx::query(&look).bind(column(slot)?).bind(instance.holder.as_str()).bind(milliseconds(rest));
    if barred.fetch_optional(&mut *transaction).await?.is_some() {
        transaction.rollback().await?;
        return Ok(None);
    }
    let taking = format!(
        "INSERT INTO slots (slot, epoch, holder, ends_at) \
         VALUES ($1, 1, $2, clock_timestamp() + $4 * interval '1 millisecond') \
         ON CONFLICT (slot) DO UPDATE SET epoch = slots.epoch + 1, holder = excluded.holder, ends_at = excluded.ends_at, \
         wanted_by = NULL, wanted_until = NULL WHERE {FREE} RETURNING epoch"
    );
    let epoch: Option<i64> = sqlx::query_scalar(&taking)
        .bind(column(slot)?)
        .bind(instance.holder.as_str())
        .bind(milliseconds(rest))
        .bind(milliseconds(ttl))
        .fetch_optional(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(epoch.map(|epoch| Lease { slot, epoch }))
}

async fn ask(connection: &mut PgConnection, instance: &Instance, ttl: Duration) -> Result<bool, Failure> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let asked = sqlx::query(
        "UPDATE slots SET wanted_by = $2, wanted_until = clock_timestamp() + $3 * interval '1 millisecond' \
         WHERE slot = $1 AND (wanted_by IS NULL OR wanted_by = $2 OR wanted_until <= clock_timestamp())",
    )
    .bind(column(instance.home)?)
    .bind(instance.holder.as_str())
    .bind(milliseconds(ttl))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(asked.rows_affected() > 0)
}

async fn give(connection: &mut PgConnection, holder: &Holder, leases: &[Lease]) -> Result<(), Failure> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let (slots, epochs) = columns(leases);
    sqlx::query(
        "UPDATE slots SET epoch = slots.epoch + 1, holder = NULL, ends_at = clock_timestamp() \
         FROM unnest($2::integer[], $3::bigint[]) AS mine (slot, epoch) \
         WHERE slots.slot = mine.slot AND slots.epoch = mine.epoch AND slots.holder = $1",
    )
    .bind(holder.as_str())
    .bind(slots)
    .bind(epochs)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn leave(connection: &mut PgConnection, holder: &Holder) -> Result<(), Failure> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    sqlx::query("UPDATE slots SET epoch = epoch + 1, holder = NULL, ends_at = clock_timestamp() WHERE holder = $1")
        .bind(holder.as_str())
        .execute(&mut *transaction)
        .await?;
    // What it asked for, it asks for no more.
    sqlx::query("UPDATE slots SET wanted_by = NULL, wanted_until = NULL WHERE wanted_by = $1")
        .bind(holder.as_str())
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM instances WHERE holder = $1").bind(holder.as_str()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Holds the leases of a fence until the end of the transaction; where one of them is gone, an error that names it.
pub(super) async fn hold(transaction: &mut PgConnection, fence: &Fence) -> Result<(), Failure> {
    let (slots, epochs) = columns(&fence.leases);
    let rows = sqlx::query(
        "SELECT slots.slot, slots.epoch FROM slots JOIN unnest($2::integer[], $3::bigint[]) AS mine (slot, epoch) \
         ON slots.slot = mine.slot AND slots.epoch = mine.epoch \
         WHERE slots.holder = $1 ORDER BY slots.slot FOR KEY SHARE OF slots",
    )
    .bind(fence.holder.as_str())
    .bind(slots)
    .bind(epochs)
    .fetch_all(transaction)
    .await?;
    let held = rows.iter().map(|row| Ok(Lease { slot: number(row.try_get(0)?), epoch: row.try_get(1)? }));
    let held: Vec<Lease> = held.collect::<Result<_, sqlx::Error>>()?;
    let gone = fence.leases.iter().filter(|lease| !held.contains(lease)).map(|lease| lease.slot);
    let gone: Vec<u32> = gone.collect();
    if gone.is_empty() { Ok(()) } else { Err(StoreError::NotHolder { slots: gone }.into()) }
}
