//! The access log: JSON lines, written by a thread of its own.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Lines that wait to be written. Beyond, lines are dropped and counted: a log that stalls must not stall requests.
const WAITING: usize = 16_384;

/// Where lines go.
pub struct Log {
    lines: Option<SyncSender<String>>,
    dropped: AtomicU64,
}

impl Log {
    /// A log into `sink`, until the last of its handles is dropped.
    #[must_use]
    pub fn to(mut sink: Box<dyn Write + Send>) -> Self {
        let (sender, receiver): (_, Receiver<String>) = sync_channel(WAITING);
        std::thread::spawn(move || {
            while let Ok(line) = receiver.recv() {
                let mut batch = line;
                // One write for all that came meanwhile.
                while let Ok(line) = receiver.try_recv() {
                    batch.push_str(&line);
                }
                if sink.write_all(batch.as_bytes()).and_then(|()| sink.flush()).is_err() {
                    return;
                }
            }
        });
        Self { lines: Some(sender), dropped: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn none() -> Self {
        Self { lines: None, dropped: AtomicU64::new(0) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn write(&self, line: String) {
        let Some(lines) = &self.lines else { return };
        if matches!(lines.try_send(line), Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
