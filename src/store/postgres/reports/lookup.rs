//! What is kept already of the reports of a batch.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row};

use super::{Body, days_array, mark};
use crate::{
    facts::Reporter,
    store::{
        blob,
        filing::{Known, Mark, Member, Place, Seen, Share},
    },
    terms::{PolicyDomain, Timestamp},
    verdict::session_tally,
};

/// Reads all that the shares of a batch are compared with.
pub(super) async fn known<'a>(
    connection: &mut PgConnection,
    shares: impl Iterator<Item = &'a Share> + Clone,
) -> Result<Known, sqlx::Error> {
    let mut known = Known::default();
    seen(connection, &mut known, shares.clone()).await?;
    let mut keys: BTreeSet<Mark> = BTreeSet::new();
    let mut days: BTreeSet<(&PolicyDomain, i64)> = BTreeSet::new();
    for share in shares.clone() {
        match known.seen.get(&share.content()) {
            None => keys.extend([share.key()]),
            Some(seen) if seen.reporter == Reporter::UNVERIFIED && share.is_proven() => {
                keys.extend([share.key(), seen.key]);
                days.insert((share.day().0, seen.day));
            }
            Some(_) => continue,
        }
        days.insert(share.day());
    }
    members(connection, &mut known, &keys).await?;
    of_days(connection, &mut known, &days_array(&days)).await?;
    let domains: BTreeSet<&str> = shares.map(|share| share.day().0.as_str()).collect();
    let domains: Vec<&str> = domains.into_iter().collect();
    let rows = sqlx::query("SELECT domain, unproven, proven FROM report_domains WHERE domain = ANY($1)");
    for row in rows.bind(domains).fetch_all(connection).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let count = |column: usize| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or(0));
        known.domains.insert(domain, [count(1)?, count(2)?]);
    }
    Ok(known)
}

async fn seen<'a>(
    connection: &mut PgConnection,
    known: &mut Known,
    shares: impl Iterator<Item = &'a Share>,
) -> Result<(), sqlx::Error> {
    let contents: BTreeSet<Mark> = shares.map(Share::content).collect();
    let contents: Vec<&[u8]> = contents.iter().map(|mark| mark.0.as_slice()).collect();
    let rows = sqlx::query("SELECT content, id, key, reporter, day, arrived_at FROM reports WHERE content = ANY($1)");
    for row in rows.bind(contents).fetch_all(connection).await? {
        let (Some(content), Some(key)) = (mark(&row, "content"), mark(&row, "key")) else { continue };
        let place = Place::Row(row.try_get("id")?);
        let arrived_at = Timestamp::from_unix_milliseconds(row.try_get("arrived_at")?);
        let (reporter, day) = (row.try_get("reporter")?, row.try_get("day")?);
        known.seen.insert(content, Seen { place, key, reporter, day, arrived_at });
    }
    Ok(())
}

async fn members(connection: &mut PgConnection, known: &mut Known, keys: &BTreeSet<Mark>) -> Result<(), sqlx::Error> {
    let keys: Vec<&[u8]> = keys.iter().map(|mark| mark.0.as_slice()).collect();
    let rows = sqlx::query("SELECT key, content, reporter, late, body FROM reports WHERE key = ANY($1) ORDER BY id");
    for row in rows.bind(keys).fetch_all(connection).await? {
        let (Some(key), Some(content)) = (mark(&row, "key"), mark(&row, "content")) else { continue };
        let tally = match blob::unpack::<Body>(row.try_get("body")?) {
            Ok(body) => session_tally(&body.report.policies),
            Err(error) => {
                // What it counted is not known: the next one under its key counts in full.
                tracing::error!(%error, "a report that is kept cannot be read");
                continue;
            }
        };
        let member = Member { content, reporter: row.try_get("reporter")?, tally, late: row.try_get("late")? };
        known.keys.entry(key).or_default().push(member);
    }
    Ok(())
}

async fn of_days(connection: &mut PgConnection, known: &mut Known, days: &str) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT kept.domain, kept.day, kept.reporter, kept.reports FROM jsonb_array_elements($1::jsonb) AS wanted \
         JOIN report_days AS kept ON kept.domain = wanted ->> 0 AND kept.day = (wanted ->> 1)::bigint",
    );
    for row in rows.bind(days).fetch_all(&mut *connection).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let reports = u64::try_from(row.try_get::<i64, _>(3)?).unwrap_or(0);
        known.days.entry((domain, row.try_get(1)?)).or_default().insert(row.try_get(2)?, reports);
    }
    let rows = sqlx::query(
        "SELECT DISTINCT kept.domain, kept.day, kept.reporter, kept.mx FROM jsonb_array_elements($1::jsonb) AS wanted \
         JOIN report_totals AS kept ON kept.domain = wanted ->> 0 AND kept.day = (wanted ->> 1)::bigint \
         WHERE kept.mx <> ''",
    );
    for row in rows.bind(days).fetch_all(&mut *connection).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let hosts = known.hosts.entry((domain, row.try_get(1)?, row.try_get(2)?)).or_default();
        hosts.insert(row.try_get(3)?);
    }
    let rows = sqlx::query(
        "SELECT kept.domain, kept.day, kept.reporter, kept.policy FROM jsonb_array_elements($1::jsonb) AS wanted \
         JOIN report_policies AS kept ON kept.domain = wanted ->> 0 AND kept.day = (wanted ->> 1)::bigint",
    );
    for row in rows.bind(days).fetch_all(connection).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let policies = known.policies.entry((domain, row.try_get(1)?, row.try_get(2)?)).or_default();
        policies.insert(row.try_get::<i64, _>(3)?.cast_unsigned());
    }
    Ok(())
}
