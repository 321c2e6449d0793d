//! The gateway as a whole: its workers, and the orders to them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::config::Config;
use crate::error::StartError;
use crate::keys::Keys;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::state::State;
use crate::verdict::Judge;
use crate::worker::{Order, Worker, listen};

/// A gateway that runs, on threads of its own.
pub struct Gateway {
    orders: watch::Sender<Order>,
    workers: Vec<JoinHandle<()>>,
    fixed: Fixed,
    admin: Option<SocketAddr>,
}

/// The parts of a configuration that hold until the end of the process.
#[derive(PartialEq, Eq)]
struct Fixed {
    workers: usize,
    vault: PathBuf,
    token_file: PathBuf,
    state: PathBuf,
    api: Option<String>,
    admin: Option<SocketAddr>,
    access_log: bool,
    unconfirmed: Duration,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            workers: config.workers,
            vault: config.vault.clone(),
            token_file: config.token_file.clone(),
            state: config.state.clone(),
            api: config.api.clone(),
            admin: config.admin,
            access_log: config.access_log,
            unconfirmed: config.unconfirmed,
        }
    }

    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            (self.workers == other.workers, "workers"),
            (self.vault == other.vault, "vault"),
            (self.token_file == other.token_file, "token-file"),
            (self.state == other.state, "state"),
            (self.api == other.api, "api"),
            (self.admin == other.admin, "admin"),
            (self.access_log == other.access_log, "access-log"),
            (self.unconfirmed == other.unconfirmed, "unconfirmed"),
        ]
        .into_iter()
        .find_map(|(same, name)| (!same).then_some(name))
    }
}

impl Gateway {
    /// Starts a gateway that follows the vault of its configuration. `tell` gets lines for the operator.
    pub fn open(config: Config, log: Log, tell: fn(&str)) -> Result<Self, StartError> {
        let judge: Arc<dyn Judge> = Keys::start(&config, Box::new(tell))?;
        Self::start(config, &judge, log)
    }

    /// Starts the workers. When this returns, connections are accepted.
    pub fn start(mut config: Config, judge: &Arc<dyn Judge>, log: Log) -> Result<Self, StartError> {
        let fixed = Fixed::of(&config);
        let log = Arc::new(if config.access_log { log } else { Log::none() });
        let mut sockets = BTreeMap::new();
        for listener in &mut config.listeners {
            let bound = listen(listener.address, config.workers);
            let (address, bound) =
                bound.map_err(|error| StartError::Listen { address: listener.address, error })?;
            listener.address = address;
            sockets.insert(address, bound);
        }
        let admin = config.admin.map(|address| {
            let bound = listen(address, 1).map_err(|error| StartError::Listen { address, error })?;
            Ok::<_, StartError>((bound.0, bound.1.into_iter().next()))
        });
        let admin = admin.transpose()?;
        let state = Arc::new(State::new(config, fixed.workers)?);
        let (orders, receiver) = watch::channel(Order { state, drains: false, sockets: Arc::new(sockets) });
        let metrics: Vec<Arc<Metrics>> = (0..fixed.workers).map(|_| Arc::default()).collect();
        let admin_service =
            Admin { judge: Arc::clone(judge), metrics: Arc::new(metrics.clone()), log: Arc::clone(&log) };
        let admin_address = admin.as_ref().map(|(address, _)| *address);
        let mut admin = admin.and_then(|(_, socket)| Some((admin_service, socket?)));
        let mut workers = Vec::new();
        for (number, metrics) in metrics.into_iter().enumerate() {
            let worker = Worker {
                number,
                orders: receiver.clone(),
                judge: Arc::clone(judge),
                log: Arc::clone(&log),
                metrics,
                open: Arc::default(),
            };
            workers.push(start(worker, admin.take())?);
        }
        Ok(Self { orders, workers, fixed, admin: admin_address })
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.orders.borrow().state.listeners.iter().map(|(address, _)| *address).collect()
    }

    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Goes on by another configuration. Connections stay open; requests in progress end by the old one.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        if let Some(name) = self.fixed.difference(&Fixed::of(&config)) {
            return Err(StartError::Fixed(name));
        }
        let old = self.orders.borrow().clone();
        let mut sockets: BTreeMap<SocketAddr, Vec<TcpListener>> = BTreeMap::new();
        for listener in &config.listeners {
            let address = listener.address;
            let fault = |error| StartError::Listen { address, error };
            let kept = match old.sockets.get(&address) {
                Some(kept) => {
                    kept.iter().map(TcpListener::try_clone).collect::<Result<_, _>>().map_err(fault)?
                }
                None => listen(address, self.fixed.workers).map_err(fault)?.1,
            };
            sockets.insert(address, kept);
        }
        let state = Arc::new(State::new(config, self.fixed.workers)?);
        self.orders.send_replace(Order { state, drains: false, sockets: Arc::new(sockets) });
        Ok(())
    }

    /// Accepts nothing more, and returns when the open connections have ended, or their time to has.
    pub fn drain(self) {
        self.orders.send_modify(|order| {
            order.drains = true;
            order.sockets = Arc::default();
        });
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

fn start(worker: Worker, admin: Option<(Admin, TcpListener)>) -> Result<JoinHandle<()>, StartError> {
    let runtime =
        Builder::new_current_thread().enable_io().enable_time().build().map_err(StartError::Worker)?;
    let name = format!("worker-{}", worker.number);
    let run = move || {
        runtime.block_on(async move {
            if let Some((admin, socket)) = admin {
                tokio::spawn(admin.run(socket));
            }
            worker.run().await;
        });
    };
    thread::Builder::new().name(name).spawn(run).map_err(StartError::Worker)
}
