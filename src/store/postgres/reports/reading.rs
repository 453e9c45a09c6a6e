//! What is kept of reports, read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::{Connection, PgConnection, QueryBuilder, Row, postgres::PgRow};
use tokio::time::timeout;

use super::{
    super::{
        LONG_PATIENCE, PATIENCE, PostgresStore,
        connection::{READ, READ_ALL},
    },
    Body,
};
use crate::{
    protocol::tls_rpt::PolicyType,
    store::{
        DayTotal, IntakeCounters, ReportsWanted, StoreError, StoredReport, blob,
        reports::{counter_key, measure, read_intake},
    },
    terms::{PolicyDomain, Timestamp},
    verdict::{Cell, Counter, Counters, DomainReports, ReporterDay},
};

/// So many domains are read in one reading: with two months of many reporters some hundred megabytes.
const NAMES_MOST: usize = 10_000;

type Days = BTreeMap<i64, BTreeMap<String, ReporterDay>>;

impl PostgresStore {
    pub(in crate::store::postgres) async fn domain_reports_of(
        &self,
        names: &[PolicyDomain],
        since_day: i64,
    ) -> Result<Vec<(PolicyDomain, DomainReports)>, StoreError> {
        let mut found = Vec::new();
        let known = if names.len() > NAMES_MOST { Some(self.known_domains().await?) } else { None };
        let is_known = |name: &&PolicyDomain| known.as_ref().is_none_or(|known| known.contains(name.as_str()));
        let names: Vec<PolicyDomain> = names.iter().filter(is_known).cloned().collect();
        for some in names.chunks(NAMES_MOST) {
            let mut reader = self.reader().await?;
            let read = timeout(LONG_PATIENCE, async {
                let mut reading = reader.begin_with(READ_ALL).await?;
                let found = domains(&mut reading, some, since_day).await?;
                reading.commit().await?;
                Ok::<_, sqlx::Error>(found)
            });
            let read = read.await;
            found.extend(self.server.read(reader, read)?);
        }
        Ok(found)
    }

    /// Those of which there is any report: in a large fleet most have none.
    async fn known_domains(&self) -> Result<HashSet<String>, StoreError> {
        let mut reader = self.reader().await?;
        let read = timeout(LONG_PATIENCE, async {
            let mut reading = reader.begin_with(READ_ALL).await?;
            let known = sqlx::query_scalar("SELECT domain FROM report_domains").fetch_all(&mut *reading).await?;
            reading.commit().await?;
            Ok::<_, sqlx::Error>(known.into_iter().collect())
        });
        let read = read.await;
        self.server.read(reader, read)
    }

    pub(in crate::store::postgres) async fn intake(&self) -> Result<(IntakeCounters, BTreeSet<String>), StoreError> {
        let mut reader = self.reader().await?;
        let read = timeout(PATIENCE, async {
            let mut reading = reader.begin_with(READ).await?;
            let counters = intake(&mut reading).await?;
            let labels = sqlx::query_scalar("SELECT label FROM reporter_labels").fetch_all(&mut *reading).await?;
            reading.commit().await?;
            Ok::<_, sqlx::Error>((counters, labels.into_iter().collect()))
        });
        let read = read.await;
        self.server.read(reader, read)
    }

    pub(in crate::store::postgres) async fn reports_of(
        &self,
        wanted: &ReportsWanted,
    ) -> Result<Vec<StoredReport>, StoreError> {
        let mut query = QueryBuilder::new("SELECT id, late, body FROM reports WHERE domain = ");
        query.push_bind(wanted.domain.as_str());
        if let Some(since) = wanted.since {
            // One without a beginning counts on the day it came.
            query.push(" AND coalesce(begin_at, arrived_at) >= ").push_bind(since.unix_milliseconds());
        }
        if wanted.failing {
            query.push(" AND failed > 0");
        }
        if let Some(before) = wanted.before {
            query.push(" AND id < ").push_bind(before);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(wanted.most).unwrap_or(i64::MAX));
        let mut reader = self.reader().await?;
        let read = timeout(PATIENCE, async {
            let mut reading = reader.begin_with(READ).await?;
            let rows = query.build().fetch_all(&mut *reading).await?;
            reading.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        });
        let read = read.await;
        let rows = self.server.read(reader, read)?;
        let domain = wanted.domain.clone();
        let unpack = move || rows.iter().filter_map(|row| report(row, &domain)).collect();
        // Unpacking is work, and the threads of the runtime have probes to serve.
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        unpacked.map_err(|error| StoreError::Other { path: self.server.address().to_owned(), why: error.to_string() })
    }

    pub(in crate::store::postgres) async fn day_totals_of(
        &self,
        domain: &PolicyDomain,
        since_day: i64,
        until_day: i64,
    ) -> Result<Vec<DayTotal>, StoreError> {
        let mut reader = self.reader().await?;
        let read = timeout(PATIENCE, async {
            let mut reading = reader.begin_with(READ).await?;
            let rows = sqlx::query(
                "SELECT day, reporter, policy_type, measure, mx, sessions FROM report_totals \
                 WHERE domain = $1 AND day BETWEEN $2 AND $3 AND sessions > 0 \
                 ORDER BY day, reporter, policy_type, measure, mx",
            );
            let rows = rows.bind(domain.as_str()).bind(since_day).bind(until_day).fetch_all(&mut *reading).await?;
            reading.commit().await?;
            rows.iter().map(total).collect::<Result<_, sqlx::Error>>()
        });
        let read = read.await;
        self.server.read(reader, read)
    }
}

fn total(row: &PgRow) -> Result<DayTotal, sqlx::Error> {
    let (Cell { policy_type, measure }, sessions) = cell(row)?;
    Ok(DayTotal { day: row.try_get("day")?, reporter: row.try_get("reporter")?, policy_type, measure, sessions })
}

fn report(row: &PgRow, domain: &PolicyDomain) -> Option<StoredReport> {
    let id: i64 = row.try_get("id").ok()?;
    match blob::unpack::<Body>(row.try_get("body").ok()?) {
        Ok(Body { report, provenance }) => {
            let late = row.try_get("late").ok()?;
            Some(StoredReport { id, domain: domain.clone(), provenance, report, late })
        }
        Err(error) => {
            tracing::error!(%domain, id, %error, "a report that is kept cannot be read");
            None
        }
    }
}

async fn domains(
    reader: &mut PgConnection,
    names: &[PolicyDomain],
    since_day: i64,
) -> Result<Vec<(PolicyDomain, DomainReports)>, sqlx::Error> {
    let rows = sqlx::query("SELECT domain, last_arrived_at, last_end_at FROM report_domains WHERE domain = ANY($1)");
    let mut days = days(reader, names, since_day, i64::MAX).await?;
    let mut counters = counters(reader, &names.iter().cloned().collect()).await?;
    let mut found = Vec::new();
    for row in rows.bind(super::names(names)).fetch_all(reader).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let reports = DomainReports {
            days: days.remove(&domain).unwrap_or_default(),
            last_arrived_at: row.try_get::<Option<i64>, _>(1)?.map(Timestamp::from_unix_milliseconds),
            last_end: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::from_unix_milliseconds),
            counters: counters.remove(&domain).unwrap_or_default(),
        };
        found.push((domain, reports));
    }
    Ok(found)
}

/// What the reporters say of days.
pub(super) async fn days(
    reader: &mut PgConnection,
    names: &[PolicyDomain],
    since_day: i64,
    until_day: i64,
) -> Result<BTreeMap<PolicyDomain, Days>, sqlx::Error> {
    let names = super::names(names);
    let mut found: BTreeMap<PolicyDomain, Days> = BTreeMap::new();
    // A reporter of whom all went over to another has no report left, and is none of the day.
    let rows = sqlx::query(
        "SELECT domain, day, reporter FROM report_days \
         WHERE domain = ANY($1) AND day BETWEEN $2 AND $3 AND reports > 0",
    );
    for row in rows.bind(&names).bind(since_day).bind(until_day).fetch_all(&mut *reader).await? {
        if let Some((domain, day, reporter)) = place(&row)? {
            found.entry(domain).or_default().entry(day).or_default().entry(reporter).or_default();
        }
    }
    let mut of = |row: &PgRow, fill: &dyn Fn(&mut ReporterDay) -> Result<(), sqlx::Error>| {
        let Some((domain, day, reporter)) = place(row)? else { return Ok(()) };
        let day = found.get_mut(&domain).and_then(|days| days.get_mut(&day));
        day.and_then(|reporters| reporters.get_mut(&reporter)).map_or(Ok(()), fill)
    };
    let rows = sqlx::query(
        "SELECT domain, day, reporter, policy_type, measure, mx, sessions FROM report_totals \
         WHERE domain = ANY($1) AND day BETWEEN $2 AND $3 AND sessions > 0",
    );
    for row in rows.bind(&names).bind(since_day).bind(until_day).fetch_all(&mut *reader).await? {
        let (cell, sessions) = cell(&row)?;
        of(&row, &|day| {
            day.tally.insert(cell.clone(), sessions);
            Ok(())
        })?;
    }
    let rows = sqlx::query(
        "SELECT domain, day, reporter, policy FROM report_policies WHERE domain = ANY($1) AND day BETWEEN $2 AND $3",
    );
    for row in rows.bind(&names).bind(since_day).bind(until_day).fetch_all(reader).await? {
        let policy: i64 = row.try_get(3)?;
        of(&row, &|day| {
            day.policies.insert(policy.cast_unsigned());
            Ok(())
        })?;
    }
    Ok(found)
}

/// Domain, day and reporter, the first columns.
fn place(row: &PgRow) -> Result<Option<(PolicyDomain, i64, String)>, sqlx::Error> {
    let domain = PolicyDomain::parse(row.try_get(0)?).ok();
    let (day, reporter) = (row.try_get(1)?, row.try_get(2)?);
    Ok(domain.map(|domain| (domain, day, reporter)))
}

fn cell(row: &PgRow) -> Result<(Cell, u64), sqlx::Error> {
    let policy_type = PolicyType::parse(row.try_get("policy_type")?);
    let measure = measure([row.try_get("measure")?, row.try_get("mx")?]);
    let sessions: i64 = row.try_get("sessions")?;
    Ok((Cell { policy_type, measure }, u64::try_from(sessions).unwrap_or(0)))
}

/// The counters of domains.
pub(super) async fn counters(
    reader: &mut PgConnection,
    names: &BTreeSet<PolicyDomain>,
) -> Result<BTreeMap<PolicyDomain, Counters>, sqlx::Error> {
    let mut found: BTreeMap<PolicyDomain, Counters> = BTreeMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    let domains: Vec<&str> = names.iter().map(PolicyDomain::as_str).collect();
    let rows =
        sqlx::query("SELECT domain, family, first, second, value, born_at FROM report_counters WHERE domain = ANY($1)");
    for row in rows.bind(domains).fetch_all(reader).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let Some(key) = counter_key([row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]) else { continue };
        let value = u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0);
        let born_at = Some(Timestamp::from_unix_milliseconds(row.try_get(5)?));
        found.entry(domain).or_default().insert(key, Counter { value, born_at });
    }
    Ok(found)
}

/// The counters of the intake.
pub(super) async fn intake(reader: &mut PgConnection) -> Result<IntakeCounters, sqlx::Error> {
    let mut counters = IntakeCounters::default();
    for row in sqlx::query("SELECT family, label, value FROM intake_counters").fetch_all(reader).await? {
        let value = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0);
        read_intake(&mut counters, [row.try_get(0)?, row.try_get(1)?], value);
    }
    Ok(counters)
}
