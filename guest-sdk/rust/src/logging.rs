//! Lines for people, on their way to the host: the crate `log`'s logger.
//!
//! Natively (in tests of user code) there is no host, and lines go to standard error.

use std::fmt::Write as _;

use log::kv::{self, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

use crate::bindings::durawasm::workflow::log::Level;

/// Installed once. Lines below `info` are not made until `durawasm_guest::log::set_max_level` asks for them.
pub(crate) fn install() {
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Hands one line to the host.
pub(crate) fn write(level: Level, target: &str, message: &str, fields: &[(String, String)]) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::durawasm::workflow::log::write(level, target, message, fields);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let line = format!("{level:?} {target}: {message}{fields}");
        eprintln!("{line}");
        #[cfg(test)]
        captured::push(line);
    }
}

/// The lines that the current thread has written, for this crate's tests.
#[cfg(test)]
pub(crate) mod captured {
    use std::cell::RefCell;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn push(line: String) {
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    pub(crate) fn take() -> Vec<String> {
        LINES.take()
    }
}

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info => Level::Info,
            log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        };
        let mut fields = Fields(Vec::new());
        // A value that fails to print itself is left out; the line goes out without it.
        let _incomplete = record.key_values().visit(&mut fields);
        write(level, record.target(), &record.args().to_string(), &fields.0);
    }

    fn flush(&self) {}
}

struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, name: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let mut text = String::new();
        write!(text, "{value}")?;
        self.0.push((name.as_str().to_owned(), text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::kv::ToValue as _;

    use super::*;

    #[test]
    fn a_line_goes_out_with_its_level_target_and_fields() {
        let fields = [("city", "Tokyo".to_value()), ("count", 2.to_value())];
        let mut record = Record::builder();
        record.level(log::Level::Warn).target("shop").key_values(&fields);
        HostLog.log(&record.args(format_args!("greeting")).build());
        assert_eq!(captured::take(), ["Level::Warn shop: greeting city=Tokyo count=2"]);
    }
}
