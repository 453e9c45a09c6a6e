//! `GET /api/v1/domains/NAME/reports`: what a store has, as the server answers it.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use smtptls_exporter::{
    facts::{Authentication, Provenance, Reporter, Transport},
    net::now,
    protocol::tls_rpt::read_report,
    store::{self, IncomingReport, ReportBatch},
    terms::{PolicyDomain, Timestamp},
};
use tempfile::TempDir;

use super::{
    super::{serve::Served, world::mail_world::MailWorld},
    faces::{policy, report},
};

fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

/// A report about a domain that begins so many days ago, from a sender that proved itself or did not.
pub(crate) fn incoming(
    about: &str,
    organization: &str,
    reporter: Reporter,
    days_ago: u64,
    policies: &[Value],
) -> IncomingReport {
    const DAY: i64 = 86_400;
    let today = now().unix_seconds().div_euclid(DAY) * DAY;
    let begin = Timestamp::from_unix_seconds(today) - Duration::from_secs(days_ago * 86_400);
    let mut value = report(organization, 1, &format!("{organization} {days_ago}"), policies);
    value["date-range"] = json!({"start-datetime": begin.to_string(),
        "end-datetime": (begin + Duration::from_secs(86_399)).to_string()});
    let report = read_report(value.to_string().as_bytes()).unwrap();
    let proven = reporter != Reporter::Unverified;
    IncomingReport {
        label: reporter.as_str().to_owned(),
        shares: vec![(domain(about), report.policies.clone())],
        provenance: Provenance {
            transport: if proven { Transport::Mail } else { Transport::Https },
            authentication: if proven { Authentication::Dkim } else { Authentication::None },
            reporter,
            arrived_at: now(),
            source: "/var/mail/secret-path".to_owned(),
        },
        report,
        late: days_ago > 4,
    }
}

pub(crate) async fn file(folder: &Path, reports: Vec<IncomingReport>) {
    let opened = store::open(folder, now()).await.unwrap();
    let batch = ReportBatch { reports, ..ReportBatch::default() };
    opened.store.file_reports(Arc::new(batch), now()).await.unwrap();
    opened.store.close().await;
}

async fn served(world: &MailWorld, state: &Path) -> Served {
    let _domain = world.domain("example.com").await;
    let config = world.config_file("domains: [example.com, quiet.example]\n");
    let served = Served::start_in(&config, state, &[]).await;
    served.until(&["smtptls_domain_info{domain=\"example.com\",group=\"\"} 1"]).await;
    served
}

async fn ask(served: &Served, query: &str) -> Value {
    let (status, body) = served.get(&format!("/api/v1/domains/example.com/reports{query}")).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.ends_with("}\n") && body.matches('\n').count() == 1, "one line: {body}");
    assert!(!body.contains("secret-path"), "files of this machine are nobody's business: {body}");
    serde_json::from_str(&body).unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["reports"].as_array().unwrap().iter().map(|report| report["report_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sums_by_kind_of_policy_and_reports_by_pages() {
    let state = TempDir::new().unwrap();
    let google = Reporter::Verified(domain("google.com"));
    let expired = ("certificate-expired", 3, "mx2.example.com", "expired \u{1b}[2J<script>");
    let both = [
        policy("sts", "example.com", "enforce", [97, 3], &[expired]),
        policy("tlsa", "example.com", "", [100, 0], &[]),
    ];
    let clean = [policy("sts", "example.com", "enforce", [10, 0], &[])];
    let reports = vec![
        incoming("example.com", "Old", google.clone(), 40, &clean),
        incoming("example.com", "Google", google.clone(), 2, &both),
        incoming("example.com", "Google", google, 1, &clean),
        incoming(
            "example.com",
            "Whoever",
            Reporter::Unverified,
            1,
            &[policy("sts", "example.com", "enforce", [0, 7], &[])],
        ),
    ];
    for report in reports {
        file(state.path(), vec![report]).await;
    }
    let world = MailWorld::start().await;
    let served = served(&world, state.path()).await;

    let all = ask(&served, "").await;
    assert_eq!(ids(&all), ["Whoever 1", "Google 1", "Google 2", "Old 40"], "the newest first");
    assert_eq!((&all["domain"], &all["next"]), (&json!("example.com"), &Value::Null));
    let kinds = all["totals"]["policy_types"].as_array().unwrap();
    let sums: Vec<_> = kinds.iter().map(|kind| (&kind["type"], &kind["sessions"], &kind["failed_sessions"])).collect();
    assert_eq!(sums, [(&json!("sts"), &json!(117), &json!(10)), (&json!("tlsa"), &json!(100), &json!(0))]);
    let reporters = &kinds[0]["reporters"];
    assert_eq!(
        *reporters,
        json!([{"reporter": "google.com", "sessions": 110, "failed_sessions": 3},
               {"reporter": "unverified", "sessions": 7, "failed_sessions": 7}])
    );
    let failure = &kinds[0]["failures"][0];
    assert_eq!(
        (&failure["result_type"], &failure["receiving_mx"], &failure["sessions"], &failure["reporters"]),
        (&json!("certificate-expired"), &json!("mx2.example.com"), &json!(3), &json!(["google.com"]))
    );
    assert_eq!(failure["first_day"], failure["last_day"]);
    assert_eq!(kinds[0]["days"].as_array().unwrap().len(), 2);

    // What is unknown is null, what peers wrote is text, and what proves nothing says so.
    let [whoever, _, second, old] = [0, 1, 2, 3].map(|place| &all["reports"][place]);
    assert_eq!((&whoever["reporter"], &whoever["authentication"]), (&json!("unverified"), &json!("none")));
    assert_eq!((&whoever["transport"], &second["transport"]), (&json!("https"), &json!("mail")));
    assert_eq!((&second["reporter"], &second["authentication"]), (&json!("google.com"), &json!("dkim")));
    assert_eq!((&old["late"], &second["late"]), (&json!(true), &json!(false)));
    assert_eq!(second["policies"].as_array().unwrap().len(), 2);
    let reason = second["policies"][0]["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("<script>") && !reason.contains('\u{1b}'), "{reason}");

    // What follows from them, and what this monitor sees itself, once the domain was probed; the same in the judgement by its name.
    let said = loop {
        let answer = ask(&served, "").await;
        if !answer["assessment"].is_null() {
            break answer["assessment"].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let told = &said["failures"][0];
    assert_eq!(
        (&told["result_type"], &told["mx"]),
        (&json!("certificate-expired"), &json!("mx2.example.com")),
        "{said}"
    );
    assert_eq!(told["own"], "cannot-see", "that host is none of the domain's: {said}");
    assert!(told["own_words"].as_str().unwrap().len() > 10);
    let (status, body) = served.get("/api/v1/domains/example.com").await;
    let judged: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &judged["domain"], &judged["reports"]), (200, &json!("example.com"), &said));
    assert_eq!(served.get("/api/v1/domains/other.example").await.0, 404);

    // Longer sums; only those with failures; only the latest; page by page.
    let long = ask(&served, "?days=92").await;
    assert_eq!(long["totals"]["policy_types"][0]["sessions"], 127);
    assert_eq!(ids(&ask(&served, "?failing=true").await), ["Whoever 1", "Google 2"]);
    let since = all["reports"][1]["begin"].as_str().unwrap();
    assert_eq!(ids(&ask(&served, &format!("?since={since}")).await), ["Whoever 1", "Google 1"]);
    let (mut paged, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = ask(&served, &query).await;
        paged.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=1&before={next}");
    }
    assert_eq!(paged, ids(&all));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let state = TempDir::new().unwrap();
    let world = MailWorld::start().await;
    let served = served(&world, state.path()).await;
    let (status, body) = served.get("/api/v1/domains/quiet.example/reports").await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        (&answer["receiving"], &answer["reports"]),
        (&json!(false), &json!([])),
        "nothing is configured to come in"
    );
    assert_eq!(answer["totals"]["policy_types"], json!([]));
    for (path, expected_status, expected) in [
        ("/api/v1/domains/example.com/reports?limit=0", 400, "from 1 to 100"),
        ("/api/v1/domains/example.com/reports?after=1", 400, "limit, before, since, failing, days"),
        ("/api/v1/domains/other.example/reports", 404, "no such domain"),
        ("/api/v1/domains/%00%ff/reports", 404, "no such domain"),
    ] {
        let (status, body) = served.get(path).await;
        let said: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, expected_status, "{path}: {body}");
        assert!(said["error"].as_str().unwrap().contains(expected), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_opened_is_no_empty_answer() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, "").unwrap();
    let world = MailWorld::start().await;
    let served = served(&world, &state).await;
    let (status, body) = served.get("/api/v1/domains/example.com/reports").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("cannot be opened"), "{body}");
}
