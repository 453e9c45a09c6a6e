//! What cannot be used is told and left alone; what goes away is missed and found again.

use smtptls_exporter::store::Bounds;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
    time::Instant,
};

use crate::{serve::Served, world::mail_world::MailWorld};

use super::{
    reports::{EXAMPLE, Sent, counted, file, verified},
    *,
};

#[tokio::test]
async fn tables_of_a_later_version_or_another_program_stay_as_they_are() {
    let Some(url) = schema().await else { return };
    open_shared(&url).await.unwrap().store.close().await;
    let mut connection = sql(&url).await;
    connection.execute("UPDATE smtptls_schema SET version = 99").await.unwrap();
    let error = open_shared(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }) && !error.passes(), "{error}");
    assert!(!error.to_string().contains("tester"), "{error}");
    connection.execute("DELETE FROM smtptls_schema").await.unwrap();
    assert!(matches!(open_shared(&url).await.unwrap_err(), StoreError::Foreign { .. }));

    let url = schema().await.unwrap();
    let mut connection = sql(&url).await;
    connection.execute("CREATE TABLE reports (mine text)").await.unwrap();
    let error = open_shared(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }) && !error.passes(), "{error}");
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(tables, 1, "nothing was made");
    // Tables of others, with other names, are no matter.
    connection.execute("ALTER TABLE reports RENAME TO letters").await.unwrap();
    open_shared(&url).await.unwrap();
}

#[tokio::test]
async fn without_a_schema_it_is_said_how_one_is_made() {
    let Some(url) = schema().await else { return };
    let error = open_shared(&format!("{url}_none")).await.unwrap_err();
    assert!(error.to_string().contains("CREATE SCHEMA") && error.passes(), "{error}");
    let error = open_shared("postgres://tester@127.0.0.1:1/mail?sslmode=disable").await.unwrap_err();
    assert!(matches!(&error, StoreError::NotWritable { .. }) && error.passes(), "{error}");
    assert!(error.to_string().contains("postgres://127.0.0.1:1/mail"), "{error}");
}

#[tokio::test]
async fn a_role_without_rights_to_make_tables_works_with_those_that_are_there() {
    let Some(url) = schema().await else { return };
    let mut connection = sql(&url).await;
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut connection).await.unwrap();
    let role = format!("r{schema}");
    let rights = format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}");
    connection.execute(sqlx::raw_sql(&rights)).await.unwrap();
    let of_role = url.replace("tester@", &format!("{role}@"));
    let error = open_shared(&of_role).await.unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }) && error.passes(), "{error}");
    open_shared(&url).await.unwrap();
    let rights = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
    );
    connection.execute(sqlx::raw_sql(&rights)).await.unwrap();
    let shared = open_shared(&of_role).await.unwrap();
    shared.store.write(batch(vec![stored_domain("a.example", 1)], vec![], vec![change(0, NOW)]), NOW).await.unwrap();
    file(&*shared.store, vec![Sent::new(verified("sender.example"), "1", 1, 0)]).await;
    shared.store.page(&Default::default()).await.unwrap();
    shared.store.trim(Bounds { retention: case::DAY, domains: 1, hosts: 1 }, NOW).await.unwrap();
    let instance = Instance { holder: Holder::new("h", 1, 1), home: 0, total: 1, address: None };
    shared.leases.take(&instance, 0, Duration::ZERO, Duration::from_secs(9)).await.unwrap().unwrap();
    shared.leases.renew(&instance, &[], Duration::from_secs(9)).await.unwrap();
    shared.leases.leave(&instance.holder).await.unwrap();
}

/// The server stops as in a crash and comes back: what was answered for is there, and nothing has to be opened anew.
#[tokio::test]
async fn a_server_that_goes_is_missed_and_one_that_comes_back_is_found() {
    let Some(mut server) = server::Server::begin() else { return };
    let url = server.schema().await;
    let Shared { store, leases } = open_shared(&url).await.unwrap();
    let instance = Instance { holder: Holder::new("h", 1, 1), home: 0, total: 1, address: None };
    let lease = leases.take(&instance, 0, Duration::ZERO, Duration::from_secs(600)).await.unwrap().unwrap();
    store.write(batch(vec![stored_domain("a.example", 1)], vec![], vec![change(0, NOW)]), NOW).await.unwrap();
    file(&*store, vec![Sent::new(verified("sender.example"), "1", 9, 0)]).await;
    server.stop();

    let error = store.write(batch(vec![stored_domain("a.example", 2)], vec![], vec![]), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }) && error.passes(), "{error}");
    let sent = vec![Sent::new(verified("sender.example"), "2", 1, 0).incoming()];
    let sent = Arc::new(smtptls_exporter::store::ReportBatch { reports: sent, ..Default::default() });
    let error = store.file_reports(Arc::clone(&sent), NOW).await.unwrap_err();
    assert!(error.passes(), "{error}");
    let error = store.domains(&[domain("a.example")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "what cannot be read is not what is not there: {error}");
    leases.renew(&instance, &[lease], Duration::from_secs(600)).await.unwrap_err();
    assert!(open_shared(&url).await.unwrap_err().passes());

    server.start();
    assert_eq!(store.domains(&[domain("a.example")]).await.unwrap()[0].open().unwrap().dns_failures, 1);
    store.write(batch(vec![stored_domain("a.example", 3)], vec![], vec![]), NOW).await.unwrap();
    store.file_reports(sent, NOW).await.unwrap();
    assert_eq!(counted(&*store, EXAMPLE).await, [10, 0]);
    assert_eq!(leases.renew(&instance, &[lease], Duration::from_secs(600)).await.unwrap().held, [lease]);
}

/// Hands on what comes from either side while the network is there, and holds it while it is not: no connection is closed, and no answer
/// comes. Returns the port.
async fn network(server: &server::Server, there: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, socket) = (listener.local_addr().unwrap().port(), server.socket());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&socket).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(hand_on(near_in, far_out, there.clone()));
            tokio::spawn(hand_on(far_in, near_out, there.clone()));
        }
    });
    port
}

async fn hand_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut there: watch::Receiver<bool>,
) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if there.wait_for(|there| *there).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// What is worse than a server that is gone: one that says nothing any more.
#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_in_time_and_costs_no_connection() {
    let Some(server) = server::shared() else { return };
    let url = server.schema().await;
    let (network_is, there) = watch::channel(true);
    let port = network(server, there).await;
    let (_, schema) = url.split_once('?').unwrap();
    let url = format!("postgres://tester@127.0.0.1:{port}/postgres?sslmode=disable&{schema}");
    let Shared { store, leases } = open_shared(&url).await.unwrap();
    let instance = Instance { holder: Holder::new("h", 1, 1), home: 0, total: 1, address: None };
    let lease = leases.take(&instance, 0, Duration::ZERO, Duration::from_secs(600)).await.unwrap().unwrap();
    let one = || batch(vec![stored_domain("a.example", 1)], vec![], vec![]);
    store.write(one(), NOW).await.unwrap();

    network_is.send(false).unwrap();
    let began = Instant::now();
    let held = [lease];
    let writes = futures_util::future::join_all((0..6).map(|_| store.write(one(), NOW)));
    let (renewed, written) = tokio::join!(leases.renew(&instance, &held, Duration::from_secs(600)), writes);
    assert!(renewed.unwrap_err().passes());
    assert!(written.iter().all(|written| written.as_ref().is_err_and(StoreError::passes)), "{written:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());

    network_is.send(true).unwrap();
    let began = Instant::now();
    let written = futures_util::future::join_all((0..6).map(|_| store.write(one(), NOW))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert_eq!(leases.renew(&instance, &held, Duration::from_secs(600)).await.unwrap().held, held);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// A database that takes connections and says nothing, at the end of the program: the end waits its time for it, says what it leaves, and is
/// over before a service manager kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_ends_in_time_while_the_server_is_silent() {
    let Some(server) = server::shared() else { return };
    let url = server.schema().await;
    let (network_is, there) = watch::channel(true);
    let port = network(server, there).await;
    let (_, schema) = url.split_once('?').unwrap();
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let state = format!("state: {{url: 'postgres://tester@127.0.0.1:{port}/postgres?sslmode=disable&{schema}'}}");
    let config = world.config_file(&format!("domains: [good.example]\n{state}\n"));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("probe:\n", "probe:\n  interval: 1s\n  mx_interval: 1s\n").replace("timeout: 20s", "timeout: 1s"),
    )
    .unwrap();
    let mut served = Served::start(&config).await;
    served.until(&["smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1"]).await;

    network_is.send(false).unwrap();
    // Something new that cannot be written: another record.
    world.dns.uncached();
    world.dns.txt("_mta-sts.good.example", &["v=STSv1; id=2;"]);
    world.dns.txt("_smtp._tls.good.example", &["v=TLSRPTv1; rua=mailto:other@reports.test"]);
    let looked = good.https.connections();
    let patience = Instant::now() + Duration::from_secs(60);
    while good.https.connections() < looked + 3 {
        assert!(Instant::now() < patience, "looks go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    served.signal("TERM");
    let (status, took) = served.end().await;
    eprintln!("it ended after {took:?}, {status}");
    // `STOP_MOST` of src/cli/serve.rs, and a second for work on threads.
    assert!(took < Duration::from_secs(22), "{took:?}");
    assert!(status.code().is_some(), "by itself: {status}");
    let said = served.logged();
    let left = ["not all that is known could be stored before the end", "what was not written by then is lost"];
    assert!(said.iter().any(|line| left.iter().any(|text| line.contains(text))), "it says what it leaves: {said:#?}");
}
