//! Answers of our own, as problem documents (RFC 9457), and the body of every answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::json;

use crate::exchange::Exchange;
use crate::upstream::Download;

/// An answer whose kind of problem is a word, which a client can decide by.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) word: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) headers: HeaderMap,
    /// The connection ends with the answer.
    pub(crate) closes: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, word: &'static str, detail: &'static str) -> Self {
        Self { status, word, detail, headers: HeaderMap::new(), closes: false }
    }

    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The answer, with the connection's header apart.
    pub(crate) fn into_response(self, exchange: Box<Exchange>) -> Response<AnswerBody> {
        let document = json!({
            "type": format!("urn:keyvault:problem:{}", self.word),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut text = document.to_string();
        text.push('\n');
        let mut response = Response::new(AnswerBody::own(text.into(), exchange));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.closes {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The body of an answer. The exchange ends, and is logged, when it is dropped.
pub(crate) struct AnswerBody {
    content: Content,
    exchange: Box<Exchange>,
}

enum Content {
    Own(Bytes),
    Upstream(Download),
}

impl AnswerBody {
    pub(crate) fn own(content: Bytes, exchange: Box<Exchange>) -> Self {
        Self { content: Content::Own(content), exchange }
    }

    pub(crate) fn of_upstream(download: Download, exchange: Box<Exchange>) -> Self {
        Self { content: Content::Upstream(download), exchange }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let own = self.get_mut();
        let frame = match &mut own.content {
            Content::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Upstream(download) => download.poll_frame(cx),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                own.exchange.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(Some(Err(error))) => own.exchange.fault = Some(error.to_string()),
            _ => (),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_empty(),
            Content::Upstream(download) => download.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(download) => download.size_hint(),
        }
    }
}
