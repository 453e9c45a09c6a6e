//! Questions that cannot be answered, and why.

use serde_json::Value;
use tempfile::TempDir;

use super::super::{serve::Served, world::mail_world::MailWorld};

fn said(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    value["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let config = world.config_file("domains: [example.com]\n");
    let served = Served::start(&config).await;
    served.until(&["smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1"]).await;
    for path in ["/api/v1/changes", "/api/v1/domains/example.com/changes", "/api/v1/domains/EXAMPLE%2ecom./changes"] {
        let (status, body) = served.get(path).await;
        assert_eq!((status, body.as_str()), (200, "{\"changes\":[],\"next\":null,\"more\":false}\n"), "{path}");
    }
    for (path, expected_status, expected) in [
        ("/api/v1/changes?since=yesterday", 400, "RFC 3339"),
        ("/api/v1/changes?limit=0", 400, "from 1 to 1000"),
        ("/api/v1/changes?after=x", 400, "\"next\""),
        ("/api/v1/changes?sinc=1", 400, "since, limit, after"),
        ("/api/v1/domains/example.com/changes?limit=9999", 400, "from 1 to 1000"),
        ("/api/v1/domains/other.example/changes", 404, "no such domain"),
        ("/api/v1/domains/%00%ff/changes", 404, "no such domain"),
        ("/api/v1/changes?after=7.1", 410, "began anew"),
    ] {
        let (status, body) = served.get(path).await;
        assert_eq!(status, expected_status, "{path}: {body}");
        assert!(said(&body).contains(expected), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_opened_is_no_answer_and_stops_no_probe() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let config = world.config_file("domains: [example.com]\n");
    // A file stands where the folder should be.
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, "").unwrap();
    let served = Served::start_in(&config, &state, &[]).await;
    served.until(&["smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1"]).await;
    let (status, body) = served.get("/api/v1/changes").await;
    assert_eq!(status, 503, "{body}");
    assert!(said(&body).contains("cannot be opened"), "{body}");
}
