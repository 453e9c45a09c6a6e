//! The log of changes.

use sqlx::{Connection, PgConnection, Postgres, QueryBuilder, Row, postgres::PgRow};
use tokio::time::timeout;

use super::{PATIENCE, PostgresStore, connection::READ, lock};
use crate::{
    store::{ChangesWanted, Cursor, Page, PageError, PageWanted, StoreError, StoredChange, wording::ChangeWords},
    terms::Timestamp,
    verdict::Change,
};

/// Two instances that look at the same mail host see its change within their intervals. What one of them tells again within this time, with no
/// other change of the kind between, is the same change.
const TOLD_AGAIN: i64 = 86_400_000;

impl PostgresStore {
    pub(super) async fn changes_of(&self, wanted: &ChangesWanted) -> Result<Vec<StoredChange>, StoreError> {
        let mut query = select();
        if let Some(since) = wanted.since {
            query.push(" AND seen_at >= ").push_bind(since.unix_milliseconds());
        }
        if let Some(before) = wanted.before {
            query.push(" AND id < ").push_bind(before);
        }
        if !wanted.names.is_empty() {
            query.push(" AND name = ANY(").push_bind(wanted.names.clone()).push(")");
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(wanted.most).unwrap_or(i64::MAX));
        let mut reader = self.reader().await?;
        let found = timeout(PATIENCE, async {
            let mut reading = reader.begin_with(READ).await?;
            let rows = query.build().fetch_all(&mut *reading).await?;
            reading.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        });
        let found = found.await;
        let rows = self.server.read(reader, found)?;
        Ok(rows.iter().filter_map(change).collect())
    }

    pub(super) async fn page_of(&self, wanted: &PageWanted) -> Result<Page, PageError> {
        let mut reader = self.reader().await?;
        let found = timeout(PATIENCE, async {
            let mut reading = reader.begin_with(READ).await?;
            let here = match wanted.after {
                Some(after) => is_here(&mut reading, after).await?,
                None => true,
            };
            // One more than wanted says whether there are more.
            let rows = page(wanted, wanted.most.saturating_add(1)).build().fetch_all(&mut *reading).await?;
            reading.commit().await?;
            Ok::<_, sqlx::Error>((here, rows))
        });
        let found = found.await;
        let (here, mut rows) = self.server.read(reader, found)?;
        if !here {
            return Err(PageError::Elsewhere);
        }
        let more = rows.len() > wanted.most;
        rows.truncate(wanted.most);
        // By the rows and not by what could be read of them, so that no row stops a reader for ever.
        let next = rows.last().map(place).transpose();
        let next = next.map_err(|error| super::unreadable(super::told(&error, self.server.address())))?;
        Ok(Page { changes: rows.iter().filter_map(change).collect(), next: next.or(wanted.after), more })
    }
}

fn select() -> QueryBuilder<'static, Postgres> {
    QueryBuilder::new("SELECT id, seen_at, subject, name, address, kind, was, became FROM changes WHERE true")
}

fn page(wanted: &PageWanted, most: usize) -> QueryBuilder<'static, Postgres> {
    let mut query = select();
    if let Some(since) = wanted.since {
        query.push(" AND seen_at >= ").push_bind(since.unix_milliseconds());
    }
    if let Some(after) = wanted.after {
        query.push(" AND id > ").push_bind(after.id);
    }
    if let Some((domain, hosts)) = &wanted.about {
        // A name may be that of a domain and that of a mail host of another one.
        query.push(" AND ((subject = 'domain' AND name = ").push_bind(domain.as_str().to_owned());
        let hosts: Vec<String> = hosts.iter().map(|host| host.as_str().to_owned()).collect();
        query.push(") OR (subject IN ('host', 'address') AND name = ANY(").push_bind(hosts).push(")))");
    }
    query.push(" ORDER BY id LIMIT ").push_bind(i64::try_from(most).unwrap_or(i64::MAX));
    query
}

fn place(row: &PgRow) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { id: row.try_get("id")?, at: Timestamp::from_unix_milliseconds(row.try_get("seen_at")?) })
}

/// Whether a place is in this log. What stood there may have been taken away since; a number that was never given is of
/// another log.
async fn is_here(reader: &mut PgConnection, place: Cursor) -> Result<bool, sqlx::Error> {
    let at: Option<i64> = sqlx::query_scalar("SELECT seen_at FROM changes WHERE id = $1")
        .bind(place.id)
        .fetch_optional(&mut *reader)
        .await?;
    if let Some(at) = at {
        return Ok(at == place.at.unix_milliseconds());
    }
    let last: i64 = sqlx::query_scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM changes_id_seq")
        .fetch_one(reader)
        .await?;
    Ok(place.id <= last)
}

/// A row of the log. One that a later version may have written is passed over.
fn change(row: &PgRow) -> Option<StoredChange> {
    let words = ChangeWords {
        at: row.try_get("seen_at").ok()?,
        subject: row.try_get("subject").ok()?,
        name: row.try_get("name").ok()?,
        address: row.try_get("address").ok()?,
        kind: row.try_get("kind").ok()?,
        before: row.try_get("was").ok()?,
        after: row.try_get("became").ok()?,
    };
    Some(StoredChange { id: row.try_get("id").ok()?, change: words.read()? })
}

/// Adds to the log, as the last step of a transaction: the lock is held until the commit, and no longer than that. What is in the
/// log already is not added: a batch whose commit was not answered is written again.
pub(super) async fn append(transaction: &mut PgConnection, changes: &[Change], key: i64) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for change in changes {
        columns.add(ChangeWords::of(change));
    }
    lock(transaction, key).await?;
    sqlx::query(
        "INSERT INTO changes (seen_at, subject, name, address, kind, was, became) \
         SELECT new.seen_at, new.subject, new.name, new.address, new.kind, new.was, new.became \
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) \
         WITH ORDINALITY AS new (seen_at, subject, name, address, kind, was, became, place) \
         WHERE NOT EXISTS (SELECT FROM changes AS kept WHERE kept.name = new.name COLLATE \"C\" \
             AND kept.seen_at = new.seen_at AND kept.subject = new.subject AND kept.kind = new.kind \
             AND (kept.address, kept.was, kept.became) IS NOT DISTINCT FROM (new.address, new.was, new.became)) \
         AND (new.subject = 'domain' OR NOT EXISTS (SELECT FROM ( \
             SELECT kept.seen_at, kept.was, kept.became FROM changes AS kept \
             WHERE kept.name = new.name COLLATE \"C\" AND kept.subject = new.subject AND kept.kind = new.kind \
             AND kept.address IS NOT DISTINCT FROM new.address ORDER BY kept.id DESC LIMIT 1) AS last \
             WHERE (last.was, last.became) IS NOT DISTINCT FROM (new.was, new.became) \
             AND abs(last.seen_at - new.seen_at) <= $8)) \
         ORDER BY new.place",
    )
    .bind(columns.at)
    .bind(columns.subject)
    .bind(columns.name)
    .bind(columns.address)
    .bind(columns.kind)
    .bind(columns.before)
    .bind(columns.after)
    .bind(TOLD_AGAIN)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Changes, column by column.
#[derive(Default)]
struct Columns {
    at: Vec<i64>,
    subject: Vec<String>,
    name: Vec<String>,
    address: Vec<Option<String>>,
    kind: Vec<String>,
    before: Vec<Option<String>>,
    after: Vec<Option<String>>,
}

impl Columns {
    fn add(&mut self, words: ChangeWords<'_>) {
        self.at.push(words.at);
        self.subject.push(words.subject.to_owned());
        self.name.push(words.name.to_owned());
        self.address.push(words.address);
        self.kind.push(words.kind.to_owned());
        self.before.push(words.before.map(holdable));
        self.after.push(words.after.map(holdable));
    }
}

/// PostgreSQL holds every character but U+0000.
fn holdable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Takes away changes that are older or more than the bounds allow.
pub(super) async fn trim(transaction: &mut PgConnection, oldest: i64) -> Result<(), sqlx::Error> {
    let number = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM changes WHERE seen_at < $1").bind(oldest).execute(&mut *transaction).await?;
    sqlx::query(
        "DELETE FROM changes USING (SELECT id, row_number() OVER (PARTITION BY name, address ORDER BY id DESC) AS place \
         FROM changes) AS ranked WHERE changes.id = ranked.id AND ranked.place > $1",
    )
    .bind(number(crate::store::CHANGES_OF_ONE_MOST))
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM changes WHERE id <= (SELECT id FROM changes ORDER BY id DESC LIMIT 1 OFFSET $1)")
        .bind(number(crate::store::CHANGES_MOST))
        .execute(transaction)
        .await?;
    Ok(())
}
