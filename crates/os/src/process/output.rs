//! Writing to a stream whose reader may have stopped reading.
//!
//! While signals are only noted, a write that waits for its reader would wait for ever, whatever asks the process to end. So
//! it waits for a signal beside the reader, and the code that notes signals decides what to do.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{interrupt, signals};

/// Bytes that a pipe with room takes without waiting: `PIPE_BUF` of Linux. Elsewhere a pipe takes fewer at once, and the
/// signal itself interrupts the wait for the rest.
const PIECE: usize = 4096;

/// Writes all of it to the descriptor itself: the standard library's streams would buffer.
///
/// [`io::ErrorKind::Interrupted`] if a signal was noted meanwhile: one that asks the process to end is obeyed before
/// the next piece; one that is meant for a child, only when the reader does not read.
pub fn write_all(stream: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let piece = match (interrupt::noted(), signals::noted()) {
            (None, None) => bytes,
            (Some(asking), _) => piece(stream, bytes, asking, true)?,
            (None, Some(noted)) => piece(stream, bytes, noted, false)?,
        };
        match rustix::io::write(stream, piece) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until the stream takes a piece.
fn piece<'b>(stream: &impl AsFd, bytes: &'b [u8], noted: impl AsFd, at_once: bool) -> io::Result<&'b [u8]> {
    let mut streams = [PollFd::new(stream, PollFlags::OUT), PollFd::new(&noted, PollFlags::IN)];
    while let Err(error) = poll(&mut streams, None) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    let [writable, noted] = streams.map(|stream| !stream.revents().is_empty());
    if noted && (at_once || !writable) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(bytes.get(..PIECE).unwrap_or(bytes))
}
