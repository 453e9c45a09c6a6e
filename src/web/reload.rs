//! `POST /-/reload`: loads the configuration again.

use futures_util::future::BoxFuture;
use http::{Response, StatusCode};

use super::{
    body::Pieces,
    response::{plain, text},
};

/// Loads both configurations again, each for itself; what was refused, where one was.
pub type Reload = Box<dyn Fn() -> BoxFuture<'static, Result<(), ReloadRefused>> + Send + Sync>;

/// What was not put in force, with its errors as text for people: there the one before stays. At least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadRefused {
    /// The configuration of the monitor.
    pub settings: Option<String>,
    /// The file of `--web.config.file`.
    pub web: Option<String>,
}

/// Does so, and says what came of it.
pub(super) async fn answer(reload: &Reload) -> Response<Pieces> {
    match reload().await {
        Ok(()) => plain(StatusCode::OK, "The configuration was loaded.\n"),
        Err(refused) => text(StatusCode::INTERNAL_SERVER_ERROR, said(&refused)),
    }
}

fn said(ReloadRefused { settings, web }: &ReloadRefused) -> String {
    let first = match (settings, web) {
        (Some(_), Some(_)) => "The configuration and the web configuration were refused; those before stay in force.",
        (None, Some(_)) => {
            "The configuration was loaded. The web configuration was refused; the one before stays in force."
        }
        (_, None) => "The configuration was refused; the one before stays in force.",
    };
    let errors = settings.iter().chain(web).map(|errors| format!("\n{errors}\n"));
    format!("{first}\n{}", errors.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_one_was_refused_and_which_is_in_force() {
        let said = |settings: Option<&str>, web: Option<&str>| {
            said(&ReloadRefused { settings: settings.map(str::to_owned), web: web.map(str::to_owned) })
        };
        let one = "The configuration was refused; the one before stays in force.\n\nline 3\n";
        assert_eq!(said(Some("line 3"), None), one);
        let web = "The configuration was loaded. The web configuration was refused; the one before stays in force.\n\nline 4\n";
        assert_eq!(said(None, Some("line 4")), web);
        let both = "The configuration and the web configuration were refused; those before stay in force.\n\nline 3\n\nline 4\n";
        assert_eq!(said(Some("line 3"), Some("line 4")), both);
    }
}
