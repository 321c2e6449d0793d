//! Workers: one thread, one runtime, and one listening socket for each address, so that the kernel spreads connections and
//! none of them ever changes its thread.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::head::guard::{self, Guard};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::service::Client;
use crate::state::State;
use crate::verdict::Judge;

/// Connections that the kernel holds before they are accepted.
const BACKLOG: i32 = 4096;
/// hyper's buffer is a head and the beginning of a body.
const BESIDE_HEAD: usize = 8192;
/// A connection without a request has so long to send one when the gateway ends.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// The present order to all workers.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) state: Arc<State>,
    /// Accept nothing, and end when the open connections have.
    pub(crate) drains: bool,
    /// The sockets by address, each worker's at its number.
    pub(crate) sockets: Arc<BTreeMap<SocketAddr, Vec<TcpListener>>>,
}

/// A worker, and all that its connections share.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) log: Arc<Log>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) open: Arc<AtomicUsize>,
}

/// Listens with SO_REUSEPORT: each worker has a socket of its own, and so has a process that takes over.
pub(crate) fn listen(address: SocketAddr, sockets: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let mut place = address;
    let mut all = Vec::new();
    for _ in 0..sockets {
        let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&place.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from(socket);
        // All share the port that the system chose for the first.
        place = socket.local_addr()?;
        all.push(socket);
    }
    Ok((place, all))
}

impl Worker {
    /// Follows orders until the last, which is to drain.
    pub(crate) async fn run(mut self) {
        let mut accepting: BTreeMap<SocketAddr, JoinHandle<()>> = BTreeMap::new();
        loop {
            let order = self.orders.borrow_and_update().clone();
            if order.drains {
                break;
            }
            let wanted: Vec<SocketAddr> = order.state.listeners.iter().map(|(address, _)| *address).collect();
            // A task sees by itself that its address is no longer wanted.
            accepting.retain(|address, _| wanted.contains(address));
            for address in wanted {
                let socket =
                    order.sockets.get(&address).and_then(|all| all.get(self.number)?.try_clone().ok());
                if let Some(socket) = socket
                    && !accepting.contains_key(&address)
                {
                    accepting.insert(address, tokio::spawn(self.clone().accept(address, socket)));
                }
            }
            drop(order);
            if self.orders.changed().await.is_err() {
                break;
            }
        }
        for task in accepting.into_values() {
            let _ = task.await;
        }
        let longest = self.orders.borrow().state.bounds.drain_time;
        let drained = async {
            while self.open.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(longest, drained).await;
    }

    async fn accept(mut self, address: SocketAddr, socket: TcpListener) {
        let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
        let mut orders = self.orders.clone();
        let is_over = |order: &Order| {
            order.drains || !order.state.listeners.iter().any(|(listener, _)| *listener == address)
        };
        loop {
            tokio::select! {
                accepted = listener.accept() => self.accepted(address, accepted).await,
                () = async { drop(orders.wait_for(is_over).await) } => break,
            }
        }
        // The kernel would reset connections that wait here, though another process may listen already. It is asked itself:
        // the runtime remembers an empty queue until it has been told of the next connection.
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((socket, peer)) = listener.accept() {
            let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
            self.accepted(address, socket.map(|socket| (socket, peer))).await;
        }
    }

    async fn accepted(&mut self, address: SocketAddr, accepted: io::Result<(TcpStream, SocketAddr)>) {
        // No descriptor is left, for example. Connections that end give some back.
        let Ok((socket, peer)) = accepted else { return sleep(Duration::from_millis(20)).await };
        let most = self.orders.borrow().state.bounds.connections;
        let place = Arc::new(Open::claim(&self.open));
        if self.open.load(Ordering::Relaxed) <= most {
            self.metrics.connection();
            tokio::spawn(self.clone().connection(address, socket, peer, place));
        }
    }

    async fn connection(self, address: SocketAddr, socket: TcpStream, peer: SocketAddr, place: Arc<Open>) {
        let _ = socket.set_nodelay(true);
        let state = Arc::clone(&self.orders.borrow().state);
        let Some((_, acceptor)) = state.listeners.iter().find(|(listener, _)| *listener == address) else {
            return;
        };
        match acceptor {
            None => {
                drop(state);
                self.serve(socket, peer, false, place).await;
            }
            Some(acceptor) => {
                let handshake = timeout(state.bounds.head_time, acceptor.accept(socket));
                if let Ok(Ok(socket)) = handshake.await {
                    drop(state);
                    self.serve(socket, peer, true, place).await;
                }
            }
        }
    }

    async fn serve<S>(mut self, socket: S, peer: SocketAddr, is_tls: bool, place: Arc<Open>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let state = Arc::clone(&self.orders.borrow().state);
        let bounds = &state.bounds;
        let (guard, seen) = Guard::new(
            socket,
            guard::Bounds {
                head: bounds.head,
                headers: bounds.headers,
                head_time: bounds.head_time,
                idle_time: bounds.idle_time,
                body_time: bounds.body_time,
            },
        );
        let mut builder = http1::Builder::new();
        // Times are the guard's.
        builder.header_read_timeout(None);
        builder.max_headers(bounds.headers);
        builder.max_buf_size(bounds.head + BESIDE_HEAD);
        drop(state);
        let client = Client {
            peer,
            is_tls,
            seen: seen.clone(),
            log: Arc::clone(&self.log),
            metrics: Arc::clone(&self.metrics),
            judge: Arc::clone(&self.judge),
            worker: self.number,
            place,
        };
        let orders = self.orders.clone();
        let service = service_fn(move |request| {
            // The configuration of this moment holds for the whole request.
            let state = Arc::clone(&orders.borrow().state);
            let client = client.clone();
            async move { Ok::<_, Infallible>(client.answer(state, request).await) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(guard), service).with_upgrades());
        let ends = async { drop(self.orders.wait_for(|order| order.drains).await) };
        tokio::select! {
            // Its errors are the client's.
            _ = connection.as_mut() => return,
            () = ends => (),
        }
        // hyper would close a connection that has not had a request, though its client has just been accepted.
        let begun = async {
            while seen.is_fresh() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = timeout(LAST_CHANCE, begun) => (),
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// One of the open connections. A websocket keeps it beyond the end of HTTP.
pub(crate) struct Open(Arc<AtomicUsize>);

impl Open {
    fn claim(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
