//! What the program says of itself, on standard error: `key=value` lines as Prometheus writes them, or JSON.

use std::{
    fmt::{self, Write as _},
    io,
};

use clap::ValueEnum;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        layer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Every step
    Debug,
    /// What an operator may want to know
    Info,
    /// What is odd
    Warn,
    /// What fails
    Error,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// key=value
    #[default]
    Logfmt,
    /// One JSON object a line
    Json,
}

impl Level {
    const fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Starts logging; later calls change nothing.
pub fn start(level: Level, format: Format) {
    // Libraries only say what fails: what they find odd is a peer's doing, which is judged and shown elsewhere.
    // The DNSSEC validator calls even that an error.
    let filter = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("hickory_net", LevelFilter::OFF)
        // It writes down what it sends, the password among it.
        .with_target("async_imap", LevelFilter::OFF)
        .with_target("smtptls_exporter", level.filter());
    let layer = match format {
        Format::Logfmt => layer().event_format(Logfmt).fmt_fields(Logfmt).with_writer(io::stderr).boxed(),
        Format::Json => layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
    };
    // It fails only where logging was started before, as tests do.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// `time=… level=… msg="…" key=value`.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("time=")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, " level={}", event.metadata().level().as_str().to_ascii_lowercase())?;
        let mut fields = Pairs { writer: writer.by_ref(), first: false, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, " {fields}")?;
            }
        }
        writer.write_char('\n')
    }
}

impl<'writer> FormatFields<'writer> for Logfmt {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = Pairs { writer, first: true, result: Ok(()) };
        fields.record(&mut pairs);
        pairs.result
    }
}

/// Writes fields as pairs, each with a blank before it.
struct Pairs<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Pairs<'_> {
    fn pair(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        let blank = if std::mem::take(&mut self.first) { "" } else { " " };
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && !b"\"=\\".contains(&b));
        self.result = if plain {
            write!(self.writer, "{blank}{name}={value}")
        } else {
            // Debug escapes quotes, control characters and what else is not printable.
            write!(self.writer, "{blank}{name}={value:?}")
        };
    }
}

impl Visit for Pairs<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        self.result = self.result.and_then(|()| write!(text, "{value:?}"));
        self.pair(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_pairs_and_harmless() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = layer().event_format(Logfmt).fmt_fields(Logfmt).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("probe", domain = "example.com", attempt = 2);
            let _entered = span.enter();
            tracing::warn!(seconds = 1.5, banner = "220 a\u{1b}[2J\n\"x\"", empty = "", "the resolver is slow");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.starts_with("time=2") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "level=warn msg=\"the resolver is slow\" seconds=1.5 banner=\"220 a\\u{1b}[2J\\n\\\"x\\\"\" empty=\"\" \
             domain=example.com attempt=2\n"
        );
    }
}
