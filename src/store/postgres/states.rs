//! What is kept of domains and mail hosts, a row each.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use super::{
    LONG_PATIENCE, PATIENCE, PostgresStore, WRITE, changes, connection::READ_ALL, failure::Failure, leases::hold,
};
use crate::{
    store::{
        Batch, DomainRow, HostRow, Packed, StoreError,
        row::{fits, name_of},
    },
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// Of more names than this a table is read from its begin to its end: it takes less than to look for each of them.
const ONE_BY_ONE: usize = 10_000;

/// So many rows are written in one statement.
const ROWS_MOST: usize = 256;

/// The two tables of subjects.
const DOMAINS: &str = "domains";
const HOSTS: &str = "hosts";

/// A row of one of them.
struct Subject {
    name: String,
    state: Packed,
    face: Option<Box<[u8]>>,
}

/// A row to be written: name, state, face.
type NewRow<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

impl PostgresStore {
    pub(super) async fn domains_of(&self, names: &[PolicyDomain]) -> Result<Vec<DomainRow>, StoreError> {
        let rows = self.rows(DOMAINS, names.iter().map(PolicyDomain::as_str).collect()).await?;
        let domain = |row: Subject| {
            Some(DomainRow { domain: name_of(&row.name)?, state: row.state, face: row.face, saved_at: None })
        };
        Ok(rows.into_iter().filter_map(domain).collect())
    }

    pub(super) async fn hosts_of(&self, names: &[MxHost]) -> Result<Vec<HostRow>, StoreError> {
        let rows = self.rows(HOSTS, names.iter().map(MxHost::as_str).collect()).await?;
        let host = |row: Subject| Some(HostRow { host: name_of(&row.name)?, state: row.state });
        Ok(rows.into_iter().filter_map(host).collect())
    }

    /// The name, the state and the face of those that are there.
    async fn rows(&self, table: &str, names: Vec<&str>) -> Result<Vec<Subject>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = self.reader().await?;
        let read = timeout(LONG_PATIENCE, rows(&mut reader, table, names)).await;
        self.server.read(reader, read)
    }

    pub(super) async fn write_all(&self, batch: Arc<Batch>, now: Timestamp) -> Result<(), StoreError> {
        let mut writer = self.writer().await?;
        let written = timeout(PATIENCE, write(&mut writer, &batch, now, self.locks.changes)).await;
        self.server.settle(writer, written)?;
        self.measure_at_times().await;
        Ok(())
    }
}

async fn rows(reader: &mut PgConnection, table: &str, names: Vec<&str>) -> Result<Vec<Subject>, sqlx::Error> {
    let face = if table == DOMAINS { "face" } else { "NULL::bytea" };
    let mut reading = reader.begin_with(READ_ALL).await?;
    let mut found = Vec::new();
    {
        let all = format!("SELECT name, state, {face} FROM {table}");
        let some = format!("{all} WHERE name = ANY($1)");
        let wanted: Option<HashSet<&str>> = (names.len() > ONE_BY_ONE).then(|| names.iter().copied().collect());
        let query = match wanted {
            Some(_) => sqlx::query(&all),
            None => sqlx::query(&some).bind(&names),
        };
        let mut rows = query.fetch(&mut *reading);
        while let Some(row) = rows.try_next().await? {
            let name: &str = row.try_get(0)?;
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(name)) {
                continue;
            }
            let (state, face): (&[u8], Option<&[u8]>) = (row.try_get(1)?, row.try_get(2)?);
            found.push(Subject { name: name.to_owned(), state: Packed::from_bytes(state), face: face.map(Into::into) });
        }
    }
    reading.commit().await?;
    Ok(found)
}

async fn write(writer: &mut PgConnection, batch: &Batch, now: Timestamp, key: i64) -> Result<(), Failure> {
    let mut transaction = writer.begin_with(WRITE).await?;
    if let Some(fence) = &batch.fence {
        hold(&mut transaction, fence).await?;
    }
    let domains = batch.domains.iter().filter(|row| fits(row.domain.as_str(), &row.state));
    let domains = domains.map(|row| (row.domain.as_str(), row.state.as_bytes(), row.face.as_deref()));
    for some in in_order(domains).chunks(ROWS_MOST) {
        upsert(&mut transaction, DOMAINS, some, now).await?;
    }
    let hosts = batch.hosts.iter().filter(|row| fits(row.host.as_str(), &row.state));
    let hosts = hosts.map(|row| (row.host.as_str(), row.state.as_bytes(), None));
    for some in in_order(hosts).chunks(ROWS_MOST) {
        upsert(&mut transaction, HOSTS, some, now).await?;
    }
    changes::append(&mut transaction, &batch.changes, key).await?;
    transaction.commit().await?;
    Ok(())
}

/// By the names, and of each the last row: two instances that write the same mail hosts never wait for each other crosswise, and no
/// statement writes a row twice.
fn in_order<'a>(rows: impl Iterator<Item = NewRow<'a>>) -> Vec<NewRow<'a>> {
    let last: BTreeMap<&str, NewRow<'a>> = rows.map(|row| (row.0, row)).collect();
    last.into_values().collect()
}

/// Each row takes the place of the one before.
async fn upsert(
    transaction: &mut PgConnection,
    table: &str,
    rows: &[NewRow<'_>],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let (column, kept) = if table == DOMAINS { (", face", ", face = excluded.face") } else { ("", "") };
    let query = format!(
        "INSERT INTO {table} (name, saved_at, state{column}) SELECT name, $1, state{column} \
         FROM unnest($2::text[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS new (name, state, face, place) ORDER BY place \
         ON CONFLICT (name) DO UPDATE SET saved_at = excluded.saved_at, state = excluded.state{kept}"
    );
    sqlx::query(&query)
        .bind(now.unix_milliseconds())
        .bind(rows.iter().map(|(name, ..)| *name).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, state, _)| *state).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., face)| *face).collect::<Vec<_>>())
        .execute(transaction)
        .await?;
    Ok(())
}
