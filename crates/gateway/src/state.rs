//! A configuration in use. A reload replaces it whole.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use crate::config::{Bounds, Config, Upstream};
use crate::error::StartError;
use crate::routes::Routes;
use crate::tls;
use crate::upstream::Pool;

pub(crate) struct State {
    pub(crate) routes: Routes,
    /// The routes' names, by their numbers.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) bounds: Bounds,
    pub(crate) listeners: Vec<(SocketAddr, Option<TlsAcceptor>)>,
    /// By worker, then by upstream.
    pools: Vec<Vec<Arc<Pool>>>,
}

impl State {
    /// Reads the files that the configuration names.
    pub(crate) fn new(config: Config, workers: usize) -> Result<Self, StartError> {
        let Config { listeners, bounds, upstreams, routes, .. } = config;
        let listeners = listeners.into_iter().map(|listener| {
            let acceptor = listener.tls.as_ref().map(tls::acceptor).transpose()?;
            Ok((listener.address, acceptor))
        });
        let connect = |upstream: &Upstream| {
            upstream.tls.as_ref().map(|trust| tls::connector(trust, &upstream.host)).transpose()
        };
        let connectors: Vec<_> = upstreams.iter().map(connect).collect::<Result<_, StartError>>()?;
        let pools = (0..workers)
            .map(|_| {
                let each = upstreams.iter().zip(&connectors);
                each.map(|(upstream, tls)| Arc::new(Pool::new(upstream, tls.clone()))).collect()
            })
            .collect();
        let listeners = listeners.collect::<Result<_, StartError>>()?;
        let names = routes.iter().map(|route| Arc::from(&*route.name)).collect();
        Ok(Self { routes: Routes::new(routes), names, upstreams, bounds, listeners, pools })
    }

    pub(crate) fn pool(&self, worker: usize, upstream: usize) -> Option<&Arc<Pool>> {
        self.pools.get(worker)?.get(upstream)
    }
}
