//! Which domains have news of reports, for those who look after them while others file.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use super::super::{PATIENCE, PostgresStore, connection::READ};
use crate::{
    store::{NewsCursor, NewsOfReports, StoreError},
    terms::PolicyDomain,
};

/// So many domains are named at once: some hundred kilobytes.
const NAMES_MOST: usize = 10_000;

/// Notes that there is news of these domains, under a number that is larger than all before. Who files holds the lock, so that no smaller
/// number is still to come.
pub(super) async fn announce(transaction: &mut PgConnection, domains: Vec<String>) -> Result<(), sqlx::Error> {
    if domains.is_empty() {
        return Ok(());
    }
    // Of a domain of which nothing but a label is new there may be no row, and then no counter either.
    sqlx::query("UPDATE report_domains SET filing = number FROM nextval('filings') AS number WHERE domain = ANY($1)")
        .bind(domains)
        .execute(transaction)
        .await?;
    Ok(())
}

impl PostgresStore {
    pub(in crate::store::postgres) async fn news_since(
        &self,
        since: Option<NewsCursor>,
    ) -> Result<NewsOfReports, StoreError> {
        let mut reader = self.reader().await?;
        let found = timeout(PATIENCE, async {
            match since {
                Some(since) => news(&mut reader, &since).await,
                None => now(&mut reader).await,
            }
        });
        let found = found.await;
        self.server.read(reader, found)
    }
}

/// The place behind all that was filed.
async fn now(reader: &mut PgConnection) -> Result<NewsOfReports, sqlx::Error> {
    let mut reading = reader.begin_with(READ).await?;
    let row = sqlx::query("SELECT filing, domain FROM report_domains ORDER BY filing DESC, domain DESC LIMIT 1");
    let row = row.fetch_optional(&mut *reading).await?;
    let next = match row {
        Some(row) => NewsCursor { filing: row.try_get(0)?, domain: row.try_get(1)? },
        None => NewsCursor::default(),
    };
    reading.commit().await?;
    Ok(NewsOfReports { domains: BTreeSet::new(), next, more: false })
}

async fn news(reader: &mut PgConnection, since: &NewsCursor) -> Result<NewsOfReports, sqlx::Error> {
    let mut reading = reader.begin_with(READ).await?;
    let rows = sqlx::query(
        "SELECT filing, domain FROM report_domains WHERE (filing, domain) > ($1, $2) ORDER BY filing, domain LIMIT $3",
    );
    let most = i64::try_from(NAMES_MOST).unwrap_or(i64::MAX);
    let rows = rows.bind(since.filing).bind(&since.domain).bind(most).fetch_all(&mut *reading).await?;
    reading.commit().await?;
    let mut found = NewsOfReports { domains: BTreeSet::new(), next: since.clone(), more: rows.len() == NAMES_MOST };
    for row in rows {
        found.next = NewsCursor { filing: row.try_get(0)?, domain: row.try_get(1)? };
        found.domains.extend(PolicyDomain::parse(&found.next.domain).ok());
    }
    Ok(found)
}
