//! The log: the systemd journal where there is one, a file where there is none.
//!
//! Invariant: starting the log never fails a run (a guest must not depend on `/var/log`), and no line holds a newline
//! that came from outside.

use log::{LevelFilter, Metadata, Record};
use mdevkit_host::{Config, Root};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The journal's native protocol: `systemd-journald.service(8)`.
const SOCKET: &str = "run/systemd/journal/socket";

/// Where the log will go, once it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) root: Root,
    /// Whether MDEVKIT_ROOT was given: then every line's run says so.
    pub(crate) simulated: bool,
}

impl Log {
    /// Starts the log for this run.
    pub(crate) fn start(&self, config: &Config, domain: &str, operation: &'static str) {
        let level: LevelFilter = config.log.level.parse().unwrap_or(LevelFilter::Info);
        if level == LevelFilter::Off {
            return;
        }
        let domain = one_line(domain);
        let started = match connect(&self.root.path(SOCKET)) {
            Some(socket) => {
                let fields =
                    format!("SYSLOG_IDENTIFIER=mdevkit-hook\nMDEVKIT_DOMAIN={domain}\nMDEVKIT_OPERATION={operation}\n");
                log::set_max_level(level);
                log::set_boxed_logger(Box::new(Journal {
                    socket,
                    stalled: AtomicBool::new(false),
                    level,
                    fields,
                }))
                .is_ok()
            }
            None => self.start_file(level, &self.root.path(&config.log.file), domain, operation),
        };
        if started && self.simulated {
            log::warn!("MDEVKIT_ROOT is set: everything below {}", self.root.path("").display());
        }
    }

    fn start_file(&self, level: LevelFilter, path: &Path, domain: String, operation: &'static str) -> bool {
        if let Some(dir) = path.parent() {
            // It may exist, or the file system may be read-only: the open below tells.
            let _ = DirBuilder::new().recursive(true).mode(0o750).create(dir);
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
        let Ok(file) = file else { return false };
        env_logger::Builder::new()
            .filter_level(level)
            .target(env_logger::Target::Pipe(Box::new(file)))
            .format(move |out, record| {
                let (time, message) = (timestamp(SystemTime::now()), one_line(&record.args().to_string()));
                writeln!(out, "{time} {} {operation} {domain}: {message}", record.level())
            })
            .try_init()
            .is_ok()
    }
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(path).ok()?;
    // A journal that does not read must not hold up a guest.
    socket.set_write_timeout(Some(Duration::from_millis(100))).ok()?;
    Some(socket)
}

/// The journal as a logger: one datagram a line, with the domain and the operation as fields of their own.
struct Journal {
    socket: UnixDatagram,
    /// It did not take a line in time: a guest's start does not wait for it a second time.
    stalled: AtomicBool,
    level: LevelFilter,
    fields: String,
}

impl log::Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || self.stalled.load(Ordering::Relaxed) {
            return;
        }
        let priority = match record.level() {
            log::Level::Error => 3,
            log::Level::Warn => 4,
            log::Level::Info => 6,
            log::Level::Debug | log::Level::Trace => 7,
        };
        let message = one_line(&record.args().to_string());
        let datagram = format!("PRIORITY={priority}\n{}MESSAGE={message}\n", self.fields);
        if self.socket.send(datagram.as_bytes()).is_err() {
            self.stalled.store(true, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A time as people and tools read it: `2026-11-21T09:05:02Z` (RFC 3339, UTC).
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// assert_eq!(mdevkit_hook::timestamp(UNIX_EPOCH + Duration::from_secs(1_795_251_902)), "2026-11-21T09:05:02Z");
/// ```
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date in the Gregorian calendar, counted from 1 March of year 0, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
