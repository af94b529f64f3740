use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::decoding::Decoding;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::router::router;
use crate::store::ModelStore;
use crate::write_timeout::WriteTimeout;
use crate::{Error, Loading, ModelSpec, Result, ServerConfig};

/// How long a server that stops goes on taking requests, telling each client to close its connection: one
/// that is closed while the next request is on its way would lose that.
const LAME: Duration = Duration::from_millis(250);

/// How long the server waits where the system has no more connections to give.
const NO_CONNECTIONS: Duration = Duration::from_millis(50);

/// Models behind HTTP.
///
/// ```no_run
/// use att_core::DeviceSpec;
/// use att_server::{Loading, ModelSpec, Server, ServerConfig};
///
/// let models: Vec<ModelSpec> = vec!["runs/g2p".parse()?];
/// let loading = Loading { device: "flex".parse::<DeviceSpec>()?.init()?, weights: None };
/// let server = Server::start(ServerConfig::default(), models, loading)?;
/// let stopper = server.stopper();
/// std::thread::spawn(move || {
///     std::thread::sleep(std::time::Duration::from_secs(60));
///     stopper.stop();
/// });
/// server.run("127.0.0.1:8080".parse()?, |address| println!("http://{address}"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    pub(crate) app: Arc<App>,
    /// Dropped last, when nobody asks any more.
    decoding: Decoding,
    stop: watch::Sender<bool>,
}

/// Tells a server to stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    app: Arc<App>,
    stop: watch::Sender<bool>,
}

impl Stopper {
    /// The server finishes what it has accepted, and [`Server::run`] returns.
    pub fn stop(&self) {
        self.app.stopping.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
    }
}

/// What a server has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Requests of translations that it has accepted.
    pub accepted: u64,
    /// Those that got their translations. The rest failed, were called off by their clients, or ran out of
    /// time.
    pub answered: u64,
}

impl Server {
    /// Looks at the models, loads the first, and starts the threads that decode.
    ///
    /// # Errors
    ///
    /// If a setting does not fit, a model can't be served, or there are no threads.
    pub fn start(config: ServerConfig, models: Vec<ModelSpec>, loading: Loading) -> Result<Self> {
        config.validate()?;
        let metrics = Arc::new(Metrics::default());
        let queue = Arc::new(Queue::new(config.queue_lines));
        let decoding = Decoding::start(&queue, &metrics, &loading.device, &config)?;
        let (batch_size, max_memory) = (config.batch_size, config.max_memory);
        let store = ModelStore::open(models, loading, batch_size, max_memory, metrics.clone())?;
        let app = App {
            config,
            store: Arc::new(store),
            queue,
            metrics,
            threads: decoding.n_threads(),
            stopping: AtomicBool::new(false),
        };
        Ok(Self {
            app: Arc::new(app),
            decoding,
            stop: watch::Sender::new(false),
        })
    }

    /// What tells it to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            app: self.app.clone(),
            stop: self.stop.clone(),
        }
    }

    /// The routes, for a server of one's own. They need a tokio runtime with its timers on, and this value, whose
    /// threads decode.
    pub fn router(&self) -> Router {
        router(self.app.clone())
    }

    /// Listens at an address until it is told to [stop](Self::stopper).
    ///
    /// - `listening`: is told the address, whose port the system has chosen where it was 0
    ///
    /// # Errors
    ///
    /// If it can't listen there, or has no threads.
    pub fn run(self, address: SocketAddr, listening: impl FnOnce(SocketAddr)) -> Result<Summary> {
        // They only carry bytes: decoding has its own.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let listen_error = |source| Error::Listen { address, source };
        let summary = runtime.block_on(async {
            let listener = TcpListener::bind(address).await.map_err(listen_error)?;
            listening(listener.local_addr().map_err(listen_error)?);
            let mut stop = self.stop.subscribe();
            let stopped = async move {
                // Its sender is in `self`.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            let watched = self.app.config.reload_every.map(|every| {
                let store = self.app.store.clone();
                tokio::spawn(store.watch(every))
            });
            let summary = self.serve(listener, stopped).await.map_err(listen_error);
            if let Some(watched) = watched {
                watched.abort();
            }
            summary
        });
        drop(self.decoding);
        summary
    }

    /// Serves connections until `stopped` is, then finishes what was accepted.
    async fn serve(
        &self,
        listener: TcpListener,
        stopped: impl Future<Output = ()>,
    ) -> io::Result<Summary> {
        let config = &self.app.config;
        let mut connections = Connections {
            router: self.router(),
            read_timeout: config.read_timeout,
            write_timeout: config.write_timeout,
            graceful: GracefulShutdown::new(),
            tasks: JoinSet::new(),
        };
        let room = Arc::new(Semaphore::new(config.connections));
        let end = async {
            stopped.await;
            tracing::info!("stopping");
            self.app.stopping.store(true, Ordering::Relaxed);
            sleep(LAME).await;
        };
        tokio::select! {
            () = end => {}
            () = accept(&listener, &room, &mut connections) => {}
        }
        // Clients that have connected already count as accepted.
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            connections.open(TcpStream::from_std(stream)?, None);
        }
        drop(listener);
        let Connections {
            graceful,
            mut tasks,
            ..
        } = connections;
        if timeout(config.shutdown_timeout, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = tasks.len(),
                "the time to stop is over: closing"
            );
            tasks.abort_all();
        }
        while tasks.join_next().await.is_some() {}
        let (accepted, answered) = self.app.metrics.totals();
        tracing::info!(accepted, answered, "stopped");
        Ok(Summary { accepted, answered })
    }
}

/// Opens connections as long as it is not dropped.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>, connections: &mut Connections) {
    loop {
        let permit = room.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => connections.open(stream, permit.ok()),
            Err(error) => {
                tracing::warn!(%error, "no connection");
                sleep(NO_CONNECTIONS).await;
            }
        }
    }
}

/// The connections that are open.
struct Connections {
    router: Router,
    read_timeout: Duration,
    write_timeout: Duration,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn open(&mut self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        while self.tasks.try_join_next().is_some() {} // those that are over
        let _ = stream.set_nodelay(true); // slower without, and no worse
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.read_timeout)
            .serve_connection(
                TokioIo::new(WriteTimeout::new(stream, self.write_timeout)),
                TowerToHyperService::new(self.router.clone()),
            );
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            // Clients go as they like, which is no error of ours.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
            drop(permit);
        });
    }
}
