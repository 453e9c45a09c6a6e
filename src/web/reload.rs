//! `POST /-/reload`: loads the configuration again.

use futures_util::future::BoxFuture;
use http::{Response, StatusCode};

use super::{
    body::Pieces,
    response::{plain, text},
};

/// Loads the configuration again; the errors, as text for people, where it is refused and the one before stays.
pub type Reload = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Does so, and says what came of it.
pub(super) async fn answer(reload: &Reload) -> Response<Pieces> {
    match reload().await {
        Ok(()) => plain(StatusCode::OK, "The configuration was loaded.\n"),
        Err(errors) => {
            let said = format!("The configuration was refused; the one before stays in force.\n\n{errors}\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, said)
        }
    }
}
