//! `demo`: the monitor against a small mail world inside the process, until it is told to stop.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use tokio::{net::TcpListener, runtime};

use super::{
    OK, USAGE,
    args::{Common, DemoArguments, Serve},
    complain,
    serve::{Failure, Running, Signals, listen, own_side, unusable},
    settings::{Source, refused},
    write_all,
};
use crate::{
    config::web,
    demo::{Demo, DemoError},
};

/// Starts the world and the monitor; returns when it was told to stop, or could not start.
pub(super) fn run(arguments: &DemoArguments, common: &Common) -> u8 {
    if common.config_file.is_some() || common.state_dir.is_some() {
        return complain("demo writes its own configuration and state; --demo.dir says where", USAGE);
    }
    let runtime = match super::runtime(runtime::Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    match runtime.block_on(demonstrate(arguments)) {
        Ok(()) => OK,
        Err(Failure { message, status }) => complain(&message, status),
    }
}

async fn demonstrate(arguments: &DemoArguments) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    // A port that is taken shows before anything is made.
    let listeners = listen(&arguments.listen)?;
    say("Setting up a mail world and its last two months ...\n");
    let started = tokio::select! {
        started = Demo::start(arguments.folder.as_deref(), arguments.domains) => started,
        () = signals.stop() => return Ok(()),
    };
    let mut demo = started.map_err(|error| match error {
        DemoError::Taken(_) | DemoError::Folder { .. } => unusable(&error),
        error => own_side(&error),
    })?;
    let source = Source { file: Some(demo.config_file()), domains: Vec::new() };
    let loaded = source.load().map_err(|errors| unusable(&refused(&errors, false)))?;
    let page = page(&listeners, arguments.web_config.as_deref());
    let web_config = arguments.web_config.clone();
    let serving = Serve { listen: arguments.listen.clone(), web_config, ..Serve::default() };
    let running = Running::start(&serving, listeners, &demo.state_dir(), source, loaded).await?;
    say(&welcome(&page, &demo));
    demo.go_on(|text| say(&format!("  {text}\n")));
    running.until_told(signals).await
}

/// Where the page is, for somebody on this machine.
fn page(listeners: &[TcpListener], web_config: Option<&Path>) -> String {
    // One that cannot be read ends the start, with its reason.
    let tls = web_config.is_some_and(|path| web::load(path).is_ok_and(|loaded| loaded.settings.tls.is_some()));
    let scheme = if tls { "https" } else { "http" };
    let address = listeners.first().and_then(|listener| listener.local_addr().ok());
    let address = address.map(|address| match address.ip().is_unspecified() {
        true => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
        false => address,
    });
    address.map_or_else(String::new, |address| format!("{scheme}://{address}"))
}

fn welcome(page: &str, demo: &Demo) -> String {
    let config = demo.config_file();
    let config = config.display();
    format!(
        "A monitor of {count} domains, each with a fault, runs against peers inside this process. Nothing leaves this machine.\n\n  \
         The page        {page}/\n  \
         The metrics     {page}/metrics\n  \
         From elsewhere  smtptls-exporter check drift.test --config.file {config}\n\n\
         Three questions to try:\n  \
         Is my domain all right?            {page}/domains/backup.test\n  \
         Why did I get this page at night?  {page}/domains/renewed.test\n  \
         Can I go to enforce?               {page}/domains/ready.test\n\n\
         Ctrl-C ends it{removed}. Meanwhile:\n",
        count = demo.claims().len(),
        removed = if demo.is_temporary() { " and removes what it wrote" } else { "" },
    )
}

/// Says something on standard output. Where nobody reads any more, the monitor goes on.
fn say(text: &str) {
    if let Err(error) = write_all(&mut io::stdout().lock(), text) {
        let _ = writeln!(io::stderr().lock(), "smtptls-exporter: cannot write: {error}");
    }
}
