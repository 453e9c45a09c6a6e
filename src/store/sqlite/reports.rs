//! Reports: filed in one transaction, and read.

use std::{collections::BTreeSet, sync::Arc};

use super::{SqliteStore, closed};
use crate::{
    store::{DayTotal, Filing, IntakeCounters, ReportBatch, ReportsWanted, StoreError, StoredReport},
    terms::{PolicyDomain, Timestamp},
    verdict::DomainReports,
};

impl SqliteStore {
    pub(super) async fn file_all(&self, _batch: Arc<ReportBatch>, _now: Timestamp) -> Result<Filing, StoreError> {
        Err(closed(&self.folder.database()))
    }

    pub(super) async fn domain_reports_of(
        &self,
        _names: &[PolicyDomain],
        _since_day: i64,
    ) -> Result<Vec<(PolicyDomain, DomainReports)>, StoreError> {
        Ok(Vec::new())
    }

    pub(super) async fn intake(&self) -> Result<(IntakeCounters, BTreeSet<String>), StoreError> {
        Ok((IntakeCounters::default(), BTreeSet::new()))
    }

    pub(super) async fn reports_of(&self, _wanted: &ReportsWanted) -> Result<Vec<StoredReport>, StoreError> {
        Ok(Vec::new())
    }

    pub(super) async fn day_totals_of(
        &self,
        _domain: &PolicyDomain,
        _since_day: i64,
        _until_day: i64,
    ) -> Result<Vec<DayTotal>, StoreError> {
        Ok(Vec::new())
    }
}
