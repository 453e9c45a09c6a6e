//! Faces that lie apart from the rows of their domains, many to a row.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::{Connection, SqliteConnection};

use super::{SqliteStore, closed, told, unreadable};
use crate::{
    store::{FACES_APART_KEPT, FacesApart, PackedFaces, StoreError},
    terms::Timestamp,
};

impl FacesApart for SqliteStore {
    fn faces_written_at(&self) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        async {
            if !self.has_faces_apart {
                return Ok(None);
            }
            let at: Result<Option<i64>, _> =
                sqlx::query_scalar("SELECT max(saved_at) FROM faces").fetch_one(&self.readers).await;
            let at = at.map_err(|error| unreadable(&error, &self.folder.database()))?;
            Ok(at.map(Timestamp::from_unix_milliseconds))
        }
        .boxed()
    }

    fn faces(&self) -> BoxFuture<'_, Result<Vec<PackedFaces>, StoreError>> {
        async {
            if !self.has_faces_apart {
                return Ok(Vec::new());
            }
            let rows = sqlx::query_scalar("SELECT packed FROM faces ORDER BY id").fetch_all(&self.readers).await;
            let rows: Vec<Vec<u8>> = rows.map_err(|error| unreadable(&error, &self.folder.database()))?;
            Ok(rows.into_iter().map(PackedFaces::from_bytes).collect())
        }
        .boxed()
    }

    fn write_faces(
        &self,
        faces: Arc<Vec<PackedFaces>>,
        anew: bool,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let path = self.folder.database();
            let mut writer = self.writer.lock().await;
            let writer = writer.as_mut().ok_or_else(|| closed(&path))?;
            insert(writer, &faces, anew, now).await.map_err(|error| told(&error, &path))
        }
        .boxed()
    }
}

async fn insert(
    writer: &mut SqliteConnection,
    faces: &[PackedFaces],
    anew: bool,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin().await?;
    if anew {
        sqlx::query("DELETE FROM faces").execute(&mut *transaction).await?;
    }
    for packed in faces {
        sqlx::query("INSERT INTO faces (saved_at, packed) VALUES (?, ?)")
            .bind(now.unix_milliseconds())
            .bind(packed.as_bytes())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Takes away what no start needs any more.
pub(super) async fn trim(transaction: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let oldest = (now - FACES_APART_KEPT).unix_milliseconds();
    sqlx::query("DELETE FROM faces WHERE saved_at < ?").bind(oldest).execute(transaction).await?;
    Ok(())
}
