//! Logging: where the process's own words go, and how much it says.
//!
//! One subscriber for the process, to standard error, as text or as JSON lines. What is logged is
//! named by the code that logs it: never payloads, states, claims, tokens or request headers.
//! ERROR needs a person, WARN is odd but went on, INFO is a change of state, DEBUG is per request.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Variable that says what is logged, in `tracing` directives: `info`, `corallite_cell=debug,info`.
pub const FILTER_VARIABLE: &str = "CORALLITE_LOG";
/// Variable that says how: `text` or `json`.
pub const FORMAT_VARIABLE: &str = "CORALLITE_LOG_FORMAT";
/// What is logged when nobody says.
pub const FILTER_DEFAULT: &str = "info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.to_owned())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The format has no such value.
    #[error("{FORMAT_VARIABLE} is {0:?}; it is text or json")]
    Format(String),
    /// The filter is not a list of directives.
    #[error(
        "{FILTER_VARIABLE} is {filter:?}, which is not a log filter; write for example info or corallite_cell=debug,info"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody was first.
    #[error("logging was already set up in this process")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets up logging from [`FILTER_VARIABLE`] and [`FORMAT_VARIABLE`].
///
/// # Errors
/// A variable has a value that means nothing, or logging is already set up.
pub fn init_from_env() -> Result<(), TelemetryError> {
    let format = match std::env::var(FORMAT_VARIABLE) {
        Ok(text) => text.parse()?,
        Err(_) => LogFormat::default(),
    };
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    init(format, &filter)
}

/// Sets up logging for the rest of the process.
///
/// # Errors
/// `filter` is not a list of directives, or logging is already set up.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let subscriber = subscriber(format, filter, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(TelemetryError::Twice)
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let directives = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(directives).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.with_ansi(false).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).expect("valid");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(lane = 3, "lane started");
            tracing::debug!("a detail");
        });
        String::from_utf8(memory.0.lock().clone()).expect("text")
    }

    #[test]
    fn the_default_level_is_info() {
        let text = logged(LogFormat::Text, FILTER_DEFAULT);
        assert!(text.contains("lane started") && text.contains("lane=3"), "{text}");
        assert!(!text.contains("a detail"), "{text}");
        assert!(logged(LogFormat::Text, "debug").contains("a detail"));
    }

    #[test]
    fn json_lines_are_json() {
        let text = logged(LogFormat::Json, FILTER_DEFAULT);
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one object");
        assert_eq!((&line["message"], &line["lane"]), (&"lane started".into(), &3.into()));
    }

    #[test]
    fn nonsense_names_its_variable() {
        let filter = subscriber(LogFormat::Text, "=[", std::io::sink).err().expect("refused");
        assert!(filter.to_string().contains(FILTER_VARIABLE));
        let format = "xml".parse::<LogFormat>().expect_err("refused");
        assert!(format.to_string().contains(FORMAT_VARIABLE));
    }
}
