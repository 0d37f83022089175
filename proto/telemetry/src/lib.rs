//! Logs for a person, traces for a collector.
//!
//! Logs go to stderr, filtered by `RUST_LOG`. Where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, spans go there over OTLP/gRPC too, and
//! one job is one trace: its W3C trace context travels in gRPC metadata, in the header `traceparent` of blob requests and in the
//! environment variable [`ENVIRONMENT`] of an attempt's process.
//!
//! Promise: an event is one line, and what it says of others (names, paths, reasons) drives no terminal; a collector that is away costs
//! nothing but its spans; no call here fails or waits because of it, but for [`Telemetry::shutdown`], which gives the last spans
//! [`FLUSH`] to leave.

use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::time::Duration;
use tonic::metadata::{MetadataKey, MetadataMap};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::{FormatFields, MakeWriter, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use vertigo::printable::is_harmful;

/// The environment variable that hands a trace context to a child process.
pub const ENVIRONMENT: &str = "TRACEPARENT";

/// How long the last spans of a process may take to leave.
pub const FLUSH: Duration = Duration::from_secs(5);

const TRACEPARENT: &str = "traceparent";

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The collector's address.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(String),
    /// Called twice in a process.
    #[error("logging is set up already: {0}")]
    Twice(String),
}

/// Keeps telemetry going; call [`shutdown`](Self::shutdown) before the process ends, or the last spans are lost.
#[derive(Debug)]
#[must_use = "the last spans are lost without a shutdown"]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Sets up logs, and traces where a collector is named. `service` is the process's name in traces.
///
/// Without `RUST_LOG`, warnings and errors are shown, and Vertigo's own information. Call it inside a Tokio runtime: the exporter's
/// channel needs one.
///
/// # Errors
/// A collector's address that is none; logging that is set up already.
pub fn init(service: &'static str) -> Result<Telemetry, TelemetryError> {
    init_with(
        service,
        "warn,vertigo=info,vertigo_coordinator=info,vertigo_worker=info,vertigo_engine=info,vertigo_serving=info",
    )
}

/// [`init`] with another filter for where `RUST_LOG` is not set: a command-line tool shows warnings only.
///
/// # Errors
/// As [`init`].
pub fn init_with(service: &'static str, filter: &str) -> Result<Telemetry, TelemetryError> {
    let provider = exporter()?.map(|exporter| {
        let resource = Resource::builder().with_service_name(service).build();
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()
    });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = logs(std::io::stderr, color).with_filter(filter);
    // Spans below information are for a debugger's eyes; a library's spans are not the job's trace.
    let ours = EnvFilter::new(
        "off,vertigo=info,vertigo_coordinator=info,vertigo_worker=info,vertigo_engine=info,vertigo_serving=info",
    );
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)).with_filter(ours));
    tracing_subscriber::registry()
        .with(logs)
        .with(traces)
        .try_init()
        .map_err(|e| TelemetryError::Twice(e.to_string()))?;
    Ok(Telemetry(provider))
}

/// Events as lines.
fn logs<S, W>(writer: W, color: bool) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(color).with_target(false).fmt_fields(fields())
}

/// Fields as `name=value`, made safe to show. tracing-subscriber's own fields let line ends and marks of direction through: a line
/// end in a worker's name would be a line of the log that nobody wrote.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let field = |writer: &mut format::Writer<'_>, field: &tracing::field::Field, value: &dyn fmt::Debug| {
        match field.name() {
            "message" => {}
            name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
            name => write!(writer, "{name}=")?,
        }
        write!(Shown(writer), "{value:?}")
    };
    format::debug_fn(field).delimited(" ")
}

/// Writes what a terminal obeys, and what changes how the rest is read, as `\u{…}`.
struct Shown<'a, 'w>(&'a mut format::Writer<'w>);

impl Write for Shown<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if is_harmful(c) { write!(self.0, "{}", c.escape_unicode()) } else { self.0.write_char(c) }
        })
    }
}

fn exporter() -> Result<Option<SpanExporter>, TelemetryError> {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none_or(|value| value.is_empty()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().build();
    exporter.map(Some).map_err(|e| TelemetryError::Exporter(e.to_string()))
}

impl Telemetry {
    /// Sends what is left. Blocks for at most [`FLUSH`]: from async code call it by `tokio::task::block_in_place` or at the very
    /// end.
    pub fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH)
        {
            tracing::debug!(%error, "the last spans did not leave");
        }
    }
}

/// The current span's W3C context, or `None` where there is no trace.
pub fn traceparent() -> Option<String> {
    traceparent_of(&tracing::Span::current())
}

/// A span's W3C context, or `None` where there is no trace.
pub fn traceparent_of(span: &tracing::Span) -> Option<String> {
    let context = span.context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a child of a W3C context. One that is broken is passed over: a trace is never worth an error. Call it before the
/// span is entered.
pub fn set_parent(span: &tracing::Span, traceparent: &str) {
    let carrier: HashMap<String, String> = [(TRACEPARENT.to_owned(), traceparent.to_owned())].into();
    let context = TraceContextPropagator::new().extract(&carrier);
    if context.span().span_context().is_valid() {
        // Fails only where no layer exports spans, and then there is nothing to parent.
        let _ = span.set_parent(context);
    }
}

/// Puts the current span's context into a request's metadata.
pub fn inject(metadata: &mut MetadataMap) {
    let context = tracing::Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut Metadata(metadata));
}

/// W3C's has 55 bytes; a later version of it may have more. A longer one is not a context, and is not kept with a job.
const TRACEPARENT_BYTES_MAX: usize = 128;

/// `span` as a child of `parent`, where there is one.
pub fn child_of(span: tracing::Span, parent: Option<&str>) -> tracing::Span {
    if let Some(parent) = parent {
        set_parent(&span, parent);
    }
    span
}

/// The context that a request's metadata carries.
pub fn parent_of(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    value.filter(|value| value.len() <= TRACEPARENT_BYTES_MAX).map(str::to_owned)
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use tracing::subscriber::with_default;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn traced(work: impl FnOnce()) {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        with_default(tracing_subscriber::registry().with(layer), work);
    }

    #[test]
    fn a_trace_goes_on_through_metadata() {
        traced(|| {
            let span = tracing::info_span!("child");
            set_parent(&span, PARENT);
            let mut metadata = MetadataMap::new();
            span.in_scope(|| inject(&mut metadata));
            let carried = parent_of(&metadata).unwrap();
            assert_eq!(Some(&carried), traceparent_of(&span).as_ref());
            assert!(carried.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{carried}");
            assert_ne!(carried, PARENT, "the child has an id of its own");
        });
    }

    /// What is logged, with and without colours, when `text` is everywhere that text can be.
    fn logged(text: &str, color: bool) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = lines.clone();
        let layer = logs(move || Lines(writer.clone()), color);
        with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("session", worker = %text);
            let error = std::io::Error::other(text.to_owned());
            span.in_scope(|| {
                tracing::warn!(name = text, path = ?Path::new(text), %error, e = &error as &dyn std::error::Error, "lost {text}")
            });
        });
        String::from_utf8(lines.lock().unwrap().clone()).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn an_event_is_one_line_and_drives_no_terminal(
            odd in prop::sample::select(vec!["\r", "\n", "\u{1b}[2J", "\u{9b}2J", "\u{202e}", "\u{2028}", "\u{7f}", "é漢🦀"]),
            text in any::<String>(),
        ) {
            let text = format!("{text}{odd}{text}");
            let line = logged(&text, false);
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains(is_harmful), "{line:?}");
            // Our own styles are all that colour adds.
            let coloured = logged(&text, true);
            let styles = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[33m"];
            let bare = styles.iter().fold(coloured, |text, style| text.replace(style, ""));
            prop_assert!(!bare.strip_suffix('\n').unwrap().contains(is_harmful), "{bare:?}");
        }
    }

    #[test]
    fn a_log_line_reads_as_it_always_has() {
        let line = logged("mäc 1", false);
        assert!(
            line.ends_with(
                " WARN session{worker=mäc 1}: lost mäc 1 name=\"mäc 1\" path=\"mäc 1\" error=mäc 1 e=mäc 1\n"
            ),
            "{line}"
        );
        assert!(logged("a\r\u{202e}b", false).contains(": lost a\\u{d}\\u{202e}b "));
    }

    #[test]
    fn a_broken_context_begins_a_trace_of_its_own() {
        traced(|| {
            let span = tracing::info_span!("child");
            set_parent(&span, "not a context");
            assert!(traceparent_of(&span).is_some());
        });
    }

    #[test]
    fn without_a_collector_there_is_no_context() {
        let mut metadata = MetadataMap::new();
        tracing::info_span!("alone").in_scope(|| inject(&mut metadata));
        assert_eq!((parent_of(&metadata), traceparent()), (None, None));
    }
}
