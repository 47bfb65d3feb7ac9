//! The bucket of an engine that speaks S3: `object_store` on a runtime of its own, behind calls that wait.
//!
//! The library underneath has limits of its own, which are too long (180 s against a silent server) and multiply with its
//! retries: both are off here, and every wait is bounded by the caller's [`Limits`].

use std::{
    fmt, io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};
use tokio::{
    runtime::Runtime,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    bucket::{Ask, Bucket, BucketError, Head, Keeper, Limits},
    nodes::{NoAnswer, Nodes},
    s3_error::translated,
};

/// Pieces on their way from the runtime to the thread that waits: a slow disk slows the network down.
const PIECES_MAX: usize = 4;
/// For a page of a listing, which nobody waits for who wants to build.
const LIST_STALL: Duration = Duration::from_secs(30);
/// A listing ends when it ends.
const LIST_LIMITS: Limits = Limits { first_byte: LIST_STALL, stall: LIST_STALL, total: Duration::MAX };

/// Where a bucket is. Who may use it says the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`, or what else the platform gives to its jobs (a role, a token in a file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// `https://HOST[:PORT]`; `None`: `AWS_ENDPOINT_URL`, or else Amazon. Several with commas between are nodes of one
    /// engine: where one cannot be reached, gives no answer in time or answers 503, the next is asked, and is from then on.
    pub endpoint: Option<String>,
    /// `None`: `AWS_REGION`, or else us-east-1.
    pub region: Option<String>,
    /// Whether the endpoint may be `http://`: bytes are proved without TLS, and can be read by others.
    pub allow_http: bool,
    /// How long a connection may take to be made.
    pub connect: Duration,
}

impl S3Config {
    /// A bucket where the environment says.
    pub fn new(bucket: impl Into<String>) -> S3Config {
        let connect = Duration::from_millis(250);
        S3Config { bucket: bucket.into(), endpoint: None, region: None, allow_http: false, connect }
    }
}

/// A bucket of an engine that speaks S3.
pub struct S3Bucket {
    pub(crate) nodes: Nodes<Arc<AmazonS3>>,
    /// How long a connection may take to be made.
    pub(crate) connect: Duration,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    bucket: String,
}

impl S3Bucket {
    /// Makes a client; nothing is asked yet.
    ///
    /// # Errors
    /// The configuration cannot be right, or the system gives no threads.
    pub fn open(config: &S3Config) -> Result<S3Bucket, BucketError> {
        S3Bucket::build(AmazonS3Builder::from_env(), config)
    }

    /// The same, with these credentials and nothing from the environment.
    ///
    /// # Errors
    /// As [`open`](S3Bucket::open).
    pub fn open_with(config: &S3Config, key_id: &str, secret: &str) -> Result<S3Bucket, BucketError> {
        let builder = AmazonS3Builder::new().with_access_key_id(key_id).with_secret_access_key(secret);
        S3Bucket::build(builder, config)
    }

    fn build(builder: AmazonS3Builder, config: &S3Config) -> Result<S3Bucket, BucketError> {
        // One provider for the process: a host that has chosen one keeps it.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else was faster: just as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = ClientOptions::new()
            .with_connect_timeout(config.connect)
            .with_timeout_disabled()
            .with_allow_http(config.allow_http);
        let retry = RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
        let mut builder =
            builder.with_bucket_name(&config.bucket).with_client_options(client).with_retry(retry);
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        let told = || builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let nodes = match config.endpoint.clone().or_else(told) {
            None => vec![builder.build()],
            Some(all) => all
                .split(',')
                .map(|endpoint| builder.clone().with_endpoint(endpoint.trim()).build())
                .collect(),
        };
        let nodes = nodes.into_iter().map(|node| node.map(Arc::new).map_err(|error| translated(&error)));
        let nodes = Nodes::new(nodes.collect::<Result<_, _>>()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("plugcache-remote")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| BucketError::Unreachable(format!("no threads: {error}")))?;
        let (connect, bucket) = (config.connect, config.bucket.clone());
        Ok(S3Bucket { nodes, connect, runtime: Some(runtime), bucket })
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        Task(runtime.spawn(work))
    }

    /// The answer to one question, in `total`.
    fn ask<T: Send + 'static>(
        &self,
        total: Duration,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, BucketError> {
        self.in_time(total, async move { work.await.map_err(|error| translated(&error)) })
    }

    /// The same, of work whose errors are ours.
    pub(crate) fn in_time<T: Send + 'static>(
        &self,
        total: Duration,
        work: impl Future<Output = Result<T, BucketError>> + Send + 'static,
    ) -> Result<T, BucketError> {
        // The timer is made on the runtime: outside there is none.
        let mut task = self.spawn(async move { timeout(total, work).await });
        match wait(&mut task.0) {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BucketError::TooSlow("no answer in time")),
            Err(error) => Err(BucketError::Unreachable(format!("the client failed: {error}"))),
        }
    }
}

impl S3Bucket {
    fn get_from(
        &self,
        node: &Arc<AmazonS3>,
        path: &str,
        ask: Ask,
        into: &mut dyn io::Write,
    ) -> Result<u64, NoAnswer> {
        let (to, mut pieces) = mpsc::channel(PIECES_MAX);
        let (store, path) = (node.clone(), Path::from(path));
        let _task = self.spawn(async move {
            let end = match read(&store, &path, &ask, &to).await {
                Ok(()) => Piece::End,
                Err(error) => Piece::Failed(error),
            };
            // Nobody may be waiting any more.
            let _ = to.send(end).await;
        });
        let mut len = 0;
        loop {
            match wait(pin!(pieces.recv())) {
                Some(Piece::Bytes(bytes)) => {
                    len += bytes.len() as u64;
                    if len > ask.len_max {
                        return Err(BucketError::TooLong.into());
                    }
                    into.write_all(&bytes).map_err(BucketError::Sink)?;
                }
                Some(Piece::End) => return Ok(len),
                Some(Piece::Failed(error)) => return Err(NoAnswer { error, is_begun: len > 0 }),
                None => return Err(BucketError::Unreachable("the client failed".into()).into()),
            }
        }
    }

    fn list_from(
        &self,
        node: &Arc<AmazonS3>,
        below: &str,
        each: &mut dyn FnMut(&str, Head),
    ) -> Result<(), NoAnswer> {
        let (to, mut listed) = mpsc::channel(1000);
        let (store, below) = (node.clone(), Path::from(below));
        let _task = self.spawn(async move {
            let mut files = store.list(Some(&below));
            loop {
                let next = timeout(LIST_STALL, files.next()).await;
                let next = next.map_err(|_| BucketError::TooSlow("the listing stopped in the middle"));
                let is_end = !matches!(next, Ok(Some(_)));
                if to.send(next).await.is_err() || is_end {
                    return;
                }
            }
        });
        let mut is_begun = false;
        loop {
            match wait(pin!(listed.recv())) {
                Some(Ok(Some(Ok(meta)))) => {
                    let head = Head { len: meta.size, modified: SystemTime::from(meta.last_modified) };
                    is_begun = true;
                    each(meta.location.as_ref(), head);
                }
                Some(Ok(Some(Err(error)))) => return Err(NoAnswer { error: translated(&error), is_begun }),
                Some(Ok(None)) => return Ok(()),
                Some(Err(error)) => return Err(NoAnswer { error, is_begun }),
                None => return Err(BucketError::Unreachable("the client failed".into()).into()),
            }
        }
    }
}

impl Bucket for S3Bucket {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn io::Write) -> Result<u64, BucketError> {
        self.nodes.ask(&ask.limits, |node, limits, _| self.get_from(node, path, Ask { limits, ..*ask }, into))
    }

    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        self.nodes.ask(limits, |node, limits, more| {
            let (store, path, bytes) = (node.clone(), Path::from(path), bytes.clone());
            // A node that takes everything and says nothing leaves the others their part of the time.
            let total = limits.total / (more + 1);
            Ok(self.ask(total, async move { store.put(&path, bytes.into()).await }).map(drop)?)
        })
    }

    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        let meta = self.nodes.ask(limits, |node, limits, _| {
            let (store, path) = (node.clone(), Path::from(path));
            let total = limits.total.min(limits.first_byte);
            Ok(self.ask(total, async move { store.head(&path).await })?)
        })?;
        Ok(Head { len: meta.size, modified: meta.last_modified.into() })
    }
}

impl Keeper for S3Bucket {
    fn list(&self, below: &str, each: &mut dyn FnMut(&str, Head)) -> Result<(), BucketError> {
        self.nodes.ask(&LIST_LIMITS, |node, _, _| self.list_from(node, below, each))
    }

    fn delete(&self, path: &str, limits: &Limits) -> Result<(), BucketError> {
        let deleted = self.nodes.ask(limits, |node, limits, more| {
            let (store, path) = (node.clone(), Path::from(path));
            Ok(self.ask(limits.total / (more + 1), async move { store.delete(&path).await })?)
        });
        match deleted {
            Err(BucketError::NotFound) => Ok(()),
            answer => answer,
        }
    }

    fn rules(&self) -> Result<Option<String>, BucketError> {
        self.read_rules()
    }

    fn set_rules(&self, xml: &str) -> Result<(), BucketError> {
        self.write_rules(xml)
    }
}

/// What comes from the runtime. Its end is told: a task that ended by a panic sends none.
enum Piece {
    Bytes(Bytes),
    End,
    Failed(BucketError),
}

async fn read(store: &AmazonS3, path: &Path, ask: &Ask, to: &mpsc::Sender<Piece>) -> Result<(), BucketError> {
    let until = Instant::now() + ask.limits.total;
    let range = (ask.from > 0).then_some(GetRange::Offset(ask.from));
    let options = GetOptions { range, ..GetOptions::default() };
    let first = (Instant::now() + ask.limits.first_byte).min(until);
    let answer = timeout_at(first, store.get_opts(path, options)).await;
    let answer = answer.map_err(|_| BucketError::TooSlow("no first byte in time"))?;
    let answer = answer.map_err(|error| translated(&error))?;
    if answer.range.end.saturating_sub(answer.range.start) > ask.len_max {
        return Err(BucketError::TooLong);
    }
    let (mut pieces, mut has_come) = (answer.into_stream(), false);
    loop {
        let next = timeout_at((Instant::now() + ask.limits.stall).min(until), pieces.next()).await;
        let Ok(next) = next else {
            // Bytes came, and no pause was too long: it is not the engine that failed.
            let is_over = has_come && Instant::now() >= until;
            let stopped = BucketError::TooSlow("it stopped in the middle");
            return Err(if is_over { BucketError::OutOfTime } else { stopped });
        };
        match next {
            Some(Ok(bytes)) => {
                has_come = true;
                if to.send(Piece::Bytes(bytes)).await.is_err() {
                    // The caller has gone.
                    return Ok(());
                }
            }
            Some(Err(error)) => return Err(translated(&error)),
            None => return Ok(()),
        }
    }
}

/// Work on the runtime, which ends when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits in this thread, also in one that belongs to a runtime of the host, where tokio's own calls would panic.
fn wait<T>(future: impl Future<Output = T> + Unpin) -> T {
    // Not counted against what a task of the host may do in one go: it would never be asked again.
    let mut future = pin!(tokio::task::unconstrained(future));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Drop for S3Bucket {
    fn drop(&mut self) {
        // Without waiting, which a thread of a host's runtime may not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nothing of the credentials.
impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
