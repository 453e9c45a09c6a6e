//! Pages of the log of changes.

use sqlx::{Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteStore, change, unreadable};
use crate::{
    store::{Cursor, Page, PageError, PageWanted},
    terms::Timestamp,
};

impl SqliteStore {
    pub(super) async fn page_of(&self, wanted: &PageWanted) -> Result<Page, PageError> {
        let path = self.folder.database();
        let failed = |error: sqlx::Error| PageError::Store(unreadable(&error, &path));
        let mut reader = self.readers.acquire().await.map_err(failed)?;
        if let Some(after) = wanted.after
            && !is_here(&mut reader, after).await.map_err(failed)?
        {
            return Err(PageError::Elsewhere);
        }
        // One more than wanted says whether there are more.
        let rows = query(wanted, wanted.most.saturating_add(1)).build().fetch_all(&mut *reader).await;
        let mut rows = rows.map_err(failed)?;
        let more = rows.len() > wanted.most;
        rows.truncate(wanted.most);
        // By the rows and not by what could be read of them, so that no row stops a reader for ever.
        let next = rows.last().map(place).transpose().map_err(failed)?;
        Ok(Page { changes: rows.iter().filter_map(change).collect(), next: next.or(wanted.after), more })
    }
}

fn query(wanted: &PageWanted, most: usize) -> sqlx::QueryBuilder<'static, Sqlite> {
    let mut query =
        sqlx::QueryBuilder::new("SELECT id, at, subject, name, address, kind, was, became FROM changes WHERE true");
    if let Some(since) = wanted.since {
        query.push(" AND at >= ").push_bind(since.unix_milliseconds());
    }
    if let Some(after) = wanted.after {
        query.push(" AND id > ").push_bind(after.id);
    }
    if let Some((domain, hosts)) = &wanted.about {
        // A name may be that of a domain and that of a mail host of another one.
        query.push(" AND ((subject = 'domain' AND name = ").push_bind(domain.as_str().to_owned());
        query.push(") OR (subject IN ('host', 'address') AND name IN (");
        let mut names = query.separated(", ");
        for host in hosts {
            names.push_bind(host.as_str().to_owned());
        }
        query.push(")))");
    }
    query.push(" ORDER BY id LIMIT ").push_bind(i64::try_from(most).unwrap_or(i64::MAX));
    query
}

fn place(row: &SqliteRow) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { id: row.try_get("id")?, at: Timestamp::from_unix_milliseconds(row.try_get("at")?) })
}

/// Whether a place is in this log. What stood there may have been taken away since; a number that was never given is of
/// another log.
async fn is_here(reader: &mut SqliteConnection, place: Cursor) -> Result<bool, sqlx::Error> {
    let at: Option<i64> =
        sqlx::query_scalar("SELECT at FROM changes WHERE id = ?").bind(place.id).fetch_optional(&mut *reader).await?;
    if let Some(at) = at {
        return Ok(at == place.at.unix_milliseconds());
    }
    let last: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetch_optional(reader).await?;
    Ok(place.id <= last.unwrap_or(0))
}
