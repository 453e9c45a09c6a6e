//! What is kept of reports, read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::json;
use sqlx::{QueryBuilder, Row, SqliteConnection, sqlite::SqliteRow};

use super::Body;
use crate::{
    facts::Reporter,
    protocol::tls_rpt::PolicyType,
    store::{
        DayTotal, IntakeCounters, ReportsWanted, StoreError, StoredReport, blob,
        reports::{counter_key, measure, read_intake},
        sqlite::{ONE_BY_ONE, SqliteStore, unreadable},
    },
    terms::{PolicyDomain, Timestamp},
    verdict::{Cell, Counter, Counters, DomainReports, ReporterDay},
};

type Days = BTreeMap<i64, BTreeMap<String, ReporterDay>>;

impl SqliteStore {
    pub(in crate::store::sqlite) async fn domain_reports_of(
        &self,
        names: &[PolicyDomain],
        since_day: i64,
    ) -> Result<Vec<(PolicyDomain, DomainReports)>, StoreError> {
        if !self.has_reports {
            return Ok(Vec::new());
        }
        let path = self.folder.database();
        let read = async {
            let mut reader = self.readers.begin().await?;
            domains(&mut reader, names, since_day).await
        };
        read.await.map_err(|error| unreadable(&error, &path))
    }

    pub(in crate::store::sqlite) async fn intake(&self) -> Result<(IntakeCounters, BTreeSet<String>), StoreError> {
        if !self.has_reports {
            return Ok((IntakeCounters::default(), BTreeSet::new()));
        }
        let path = self.folder.database();
        let read = async {
            let mut reader = self.readers.begin().await?;
            let counters = intake(&mut reader).await?;
            let labels = sqlx::query_scalar("SELECT label FROM reporter_labels").fetch_all(&mut *reader).await?;
            Ok((counters, labels.into_iter().collect()))
        };
        read.await.map_err(|error: sqlx::Error| unreadable(&error, &path))
    }

    pub(in crate::store::sqlite) async fn reports_of(
        &self,
        wanted: &ReportsWanted,
    ) -> Result<Vec<StoredReport>, StoreError> {
        if !self.has_reports {
            return Ok(Vec::new());
        }
        let path = self.folder.database();
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
        let rows = query.build().fetch_all(&self.readers).await.map_err(|error| unreadable(&error, &path))?;
        let domain = wanted.domain.clone();
        let unpack = move || rows.iter().filter_map(|row| report(row, &domain)).collect();
        // Unpacking is work, and the threads of the runtime have probes to serve.
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        unpacked.map_err(|error| StoreError::Other { path, why: error.to_string() })
    }

    pub(in crate::store::sqlite) async fn day_totals_of(
        &self,
        domain: &PolicyDomain,
        since_day: i64,
        until_day: i64,
    ) -> Result<Vec<DayTotal>, StoreError> {
        if !self.has_reports {
            return Ok(Vec::new());
        }
        let path = self.folder.database();
        let rows = sqlx::query(
            "SELECT day, reporter, policy_type, measure, mx, sessions FROM report_totals \
             WHERE domain = ? AND day BETWEEN ? AND ? AND sessions > 0 ORDER BY day, reporter, policy_type, measure, mx",
        )
        .bind(domain.as_str())
        .bind(since_day)
        .bind(until_day)
        .fetch_all(&self.readers)
        .await;
        let total = |row: &SqliteRow| {
            let (cell, sessions) = cell(row)?;
            let Cell { policy_type, measure } = cell;
            Ok(DayTotal {
                day: row.try_get("day")?,
                reporter: row.try_get("reporter")?,
                policy_type,
                measure,
                sessions,
            })
        };
        let totals = rows.and_then(|rows| rows.iter().map(total).collect());
        totals.map_err(|error| unreadable(&error, &path))
    }
}

fn report(row: &SqliteRow, domain: &PolicyDomain) -> Option<StoredReport> {
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
    reader: &mut SqliteConnection,
    names: &[PolicyDomain],
    since_day: i64,
) -> Result<Vec<(PolicyDomain, DomainReports)>, sqlx::Error> {
    // Of most domains of a large fleet there is no report: to look for each of them in every table takes seconds.
    let known: Option<HashSet<String>> = match names.len() > ONE_BY_ONE {
        true => {
            let known: Vec<String> =
                sqlx::query_scalar("SELECT domain FROM report_domains").fetch_all(&mut *reader).await?;
            Some(known.into_iter().collect())
        }
        false => None,
    };
    let is_known = |name: &&PolicyDomain| known.as_ref().is_none_or(|known| known.contains(name.as_str()));
    let names: &[PolicyDomain] = &names.iter().filter(is_known).cloned().collect::<Vec<_>>();
    let rows = sqlx::query(
        "SELECT domain, last_arrived_at, last_end_at FROM report_domains \
         WHERE domain IN (SELECT value FROM json_each(?))",
    );
    let mut days = days(reader, names, since_day, i64::MAX).await?;
    let mut counters = counters(reader, &names.iter().cloned().collect()).await?;
    let mut found = Vec::new();
    for row in rows.bind(json!(names).to_string()).fetch_all(reader).await? {
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
    reader: &mut SqliteConnection,
    names: &[PolicyDomain],
    since_day: i64,
    until_day: i64,
) -> Result<BTreeMap<PolicyDomain, Days>, sqlx::Error> {
    let names = json!(names).to_string();
    let mut found: BTreeMap<PolicyDomain, Days> = BTreeMap::new();
    // A reporter of whom all went over to another has no report left, and is none of the day.
    let rows = sqlx::query(
        "SELECT kept.domain, kept.day, kept.reporter FROM json_each(?) AS wanted \
         CROSS JOIN report_days AS kept ON kept.domain = wanted.value AND kept.day BETWEEN ? AND ? WHERE reports > 0",
    );
    for row in rows.bind(&names).bind(since_day).bind(until_day).fetch_all(&mut *reader).await? {
        if let Some((domain, day, reporter)) = place(&row)? {
            found.entry(domain).or_default().entry(day).or_default().entry(reporter).or_default();
        }
    }
    let mut of = |row: &SqliteRow, fill: &dyn Fn(&mut ReporterDay) -> Result<(), sqlx::Error>| {
        let Some((domain, day, reporter)) = place(row)? else { return Ok(()) };
        let day = found.get_mut(&domain).and_then(|days| days.get_mut(&day));
        day.and_then(|reporters| reporters.get_mut(&reporter)).map_or(Ok(()), fill)
    };
    let rows = sqlx::query(
        "SELECT kept.domain, kept.day, kept.reporter, policy_type, measure, mx, sessions FROM json_each(?) AS wanted \
         CROSS JOIN report_totals AS kept ON kept.domain = wanted.value AND kept.day BETWEEN ? AND ? WHERE sessions > 0",
    );
    for row in rows.bind(&names).bind(since_day).bind(until_day).fetch_all(&mut *reader).await? {
        let (cell, sessions) = cell(&row)?;
        of(&row, &|day| {
            day.tally.insert(cell.clone(), sessions);
            Ok(())
        })?;
    }
    let rows = sqlx::query(
        "SELECT kept.domain, kept.day, kept.reporter, kept.policy FROM json_each(?) AS wanted \
         CROSS JOIN report_policies AS kept ON kept.domain = wanted.value AND kept.day BETWEEN ? AND ?",
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
fn place(row: &SqliteRow) -> Result<Option<(PolicyDomain, i64, String)>, sqlx::Error> {
    let domain = PolicyDomain::parse(row.try_get(0)?).ok();
    let (day, reporter) = (row.try_get(1)?, row.try_get(2)?);
    Ok(domain.map(|domain| (domain, day, reporter)))
}

fn cell(row: &SqliteRow) -> Result<(Cell, u64), sqlx::Error> {
    let policy_type = PolicyType::parse(row.try_get("policy_type")?);
    let measure = measure([row.try_get("measure")?, row.try_get("mx")?]);
    let sessions: i64 = row.try_get("sessions")?;
    Ok((Cell { policy_type, measure }, u64::try_from(sessions).unwrap_or(0)))
}

/// The counters of domains.
pub(super) async fn counters(
    reader: &mut SqliteConnection,
    names: &BTreeSet<PolicyDomain>,
) -> Result<BTreeMap<PolicyDomain, Counters>, sqlx::Error> {
    let mut found: BTreeMap<PolicyDomain, Counters> = BTreeMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    let rows = sqlx::query(
        "SELECT kept.domain, kept.family, kept.first, kept.second, kept.value, kept.born_at FROM json_each(?) AS wanted \
         CROSS JOIN report_counters AS kept ON kept.domain = wanted.value",
    );
    for row in rows.bind(json!(names).to_string()).fetch_all(reader).await? {
        let Ok(domain) = PolicyDomain::parse(row.try_get(0)?) else { continue };
        let Some(key) = counter_key([row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]) else { continue };
        let value = u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0);
        let born_at = Some(Timestamp::from_unix_milliseconds(row.try_get(5)?));
        found.entry(domain).or_default().insert(key, Counter { value, born_at });
    }
    Ok(found)
}

/// The counters of the intake.
pub(super) async fn intake(reader: &mut SqliteConnection) -> Result<IntakeCounters, sqlx::Error> {
    let mut counters = IntakeCounters::default();
    for row in sqlx::query("SELECT family, label, value FROM intake_counters").fetch_all(reader).await? {
        let value = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0);
        read_intake(&mut counters, [row.try_get(0)?, row.try_get(1)?], value);
    }
    Ok(counters)
}

/// Whether a row is of a reporter who proved itself.
pub(super) fn is_proven(reporter: &str) -> bool {
    reporter != Reporter::UNVERIFIED
}
