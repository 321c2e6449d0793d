//! The end of a chunked body, found by the strictest reading of RFC 9112 §7.

use super::{Refusal, header};

/// Digits of a chunk's size: 2^60 is more than any body.
const MAX_DIGITS: usize = 15;
/// Bytes of a chunk's extensions, which are dropped on the way.
const MAX_EXTENSION: usize = 256;

/// A reader of a chunked body that follows it piece by piece.
#[derive(Debug)]
pub(crate) struct Chunked {
    place: Place,
    size: u64,
    /// Bytes of the present line or of all trailers.
    length: usize,
    /// The present line of the trailers.
    line: Vec<u8>,
    max_trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLf,
    Trailer,
    TrailerLf,
    Done,
}

impl Chunked {
    pub(crate) fn new(max_trailers: usize) -> Self {
        Self { place: Place::Size, size: 0, length: 0, line: Vec::new(), max_trailers }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// The number of bytes, from the start of `piece`, that belong to the body.
    pub(crate) fn follow(&mut self, piece: &[u8]) -> Result<usize, Refusal> {
        let mut rest = piece;
        while !self.is_done() {
            if self.place == Place::Data {
                let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(rest.len());
                if here == 0 && self.size > 0 {
                    break;
                }
                rest = rest.get(here..).unwrap_or_default();
                self.size -= here as u64;
                if self.size == 0 {
                    self.place = Place::DataEnd;
                }
                continue;
            }
            let Some((byte, others)) = rest.split_first() else { break };
            rest = others;
            self.place = self.step(*byte)?;
        }
        Ok(piece.len() - rest.len())
    }

    fn step(&mut self, byte: u8) -> Result<Place, Refusal> {
        let wrong = Err(Refusal::TransferEncoding);
        Ok(match (self.place, byte) {
            (Place::Size, b'\r') if self.length > 0 => Place::SizeEnd,
            (Place::Size, b';') if self.length > 0 => {
                self.length = 0;
                Place::Extension
            }
            (Place::Size, digit) => {
                let Some(value) = char::from(digit).to_digit(16) else { return wrong };
                self.length += 1;
                if self.length > MAX_DIGITS {
                    return wrong;
                }
                self.size = self.size << 4 | u64::from(value);
                Place::Size
            }
            (Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Extension, byte) => {
                self.length += 1;
                if self.length > MAX_EXTENSION || byte.is_ascii_control() && byte != b'\t' {
                    return wrong;
                }
                Place::Extension
            }
            (Place::SizeEnd, b'\n') => {
                self.length = 0;
                if self.size == 0 { Place::Trailer } else { Place::Data }
            }
            (Place::DataEnd, b'\r') => Place::DataEndLf,
            (Place::DataEndLf, b'\n') => Place::Size,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::Trailer, byte) => {
                self.length += 1;
                if self.length > self.max_trailers || byte == b'\n' {
                    return wrong;
                }
                self.line.push(byte);
                Place::Trailer
            }
            (Place::TrailerLf, b'\n') => {
                if self.line.is_empty() {
                    Place::Done
                } else {
                    header(&self.line)?;
                    self.line.clear();
                    Place::Trailer
                }
            }
            _ => return wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body's length if it is given in pieces of `step` bytes; nothing if it goes on.
    fn length(body: &[u8], step: usize) -> Result<Option<usize>, Refusal> {
        let mut reader = Chunked::new(64);
        let mut total = 0;
        for piece in body.chunks(step) {
            total += reader.follow(piece)?;
            if reader.is_done() {
                return Ok(Some(total));
            }
        }
        Ok(None)
    }

    #[test]
    fn the_end_of_a_body_is_found_in_pieces_of_any_size() {
        for (body, end) in [
            ("0\r\n\r\nGET", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\n", Some(13)),
            ("A\r\n0\r\n\r\n56789\r\n00\r\n\r\nx", Some(21)),
            ("3;a=\"b\"\r\nabc\r\n0;x\r\nT: v\r\nU: w\r\n\r\n", Some(33)),
            ("3\r\nabc\r\n0\r\n", None),
        ] {
            for step in 1..=body.len() {
                assert_eq!(length(body.as_bytes(), step), Ok(end), "{body:?} {step}");
            }
        }
    }

    #[test]
    fn framing_with_two_readings_is_refused() {
        for body in [
            "\r\n",
            "0x3\r\n",
            "+3\r\n",
            " 3\r\n",
            "3 \r\nabc",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "3\r\nabc\rx",
            ";a\r\n",
            "g\r\n",
            "1234567890abcdef\r\n",
            "3;a\nb\r\n",
            "0\r\nT: v\n\r\n",
            "0\r\nT_x: v\r\n\r\n",
            "0\r\n T: v\r\n\r\n",
            "0\r\nT\r\n\r\n",
            "3\r\rabc",
        ] {
            assert!(length(body.as_bytes(), 3).is_err(), "{body:?}");
        }
        let long = format!("0\r\nT: {}\r\n\r\n", "v".repeat(64));
        assert!(length(long.as_bytes(), 9).is_err());
    }
}
