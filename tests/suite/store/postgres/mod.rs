//! One database for several instances: what each of them does is there once, in one order, and only with the right to do it.

mod failing;
mod leases;
pub(crate) mod server;
mod sharing;

use std::{sync::Arc, time::Duration};

use smtptls_exporter::store::{Fence, Holder, Instance, Lease, Leases, Shared, StoreError, open_shared};
use sqlx::{Connection, Executor, PgConnection};

use super::{NOW, batch, case, change, domain, host, reports, stored_domain, stored_host};

/// A new schema; nothing where there is no PostgreSQL.
async fn schema() -> Option<String> {
    Some(server::shared()?.schema().await)
}

/// So many instances with one state, each with connections of its own.
async fn instances(url: &str, count: usize) -> Vec<Shared> {
    let mut opened = Vec::new();
    for _ in 0..count {
        opened.push(open_shared(url).await.unwrap());
    }
    opened
}

async fn sql(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}
