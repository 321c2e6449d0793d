//! The port for operators: `/livez`, `/readyz`, and `/metrics`.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::log::Log;
use crate::metrics::{self, Metrics};
use crate::verdict::Judge;

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) metrics: Arc<Vec<Arc<Metrics>>>,
    pub(crate) log: Arc<Log>,
}

impl Admin {
    pub(crate) async fn run(self, socket: TcpListener) {
        let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
        while let Ok((socket, _)) = listener.accept().await {
            let admin = self.clone();
            let service = service_fn(move |request| {
                let answer = admin.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            tokio::spawn(async move { drop(builder.serve_connection(TokioIo::new(socket), service).await) });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let unready = self.judge.unready();
        let (status, text) = match request.uri().path() {
            "/livez" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match unready {
                None => (StatusCode::OK, "ok\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/metrics" => {
                let workers = self.metrics.iter().map(|metrics| &**metrics);
                (StatusCode::OK, metrics::text(workers, self.log.dropped(), unready.is_none()))
            }
            _ => (StatusCode::NOT_FOUND, "/livez, /readyz, /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}
