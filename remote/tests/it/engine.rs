//! A real engine in this process, over HTTP and real sockets: s3s-fs behind hyper. The tests of `cli/` take it from here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use plugcache_remote::{S3Bucket, S3Config};
use s3s::{
    Body, S3Request, S3Response, S3Result, auth::SimpleAuth, route::S3Route, s3_error,
    service::S3ServiceBuilder,
};

pub const KEY_ID: &str = "GKfleet";
pub const SECRET: &str = "a secret that nothing prints";

/// The engine, with one bucket `fleet`; it ends with this value.
pub struct Engine {
    pub address: SocketAddr,
    root: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
}

/// The rules of a bucket, which s3s-fs does not keep: whoever asks has been found to have signed the question right.
#[derive(Clone, Default)]
pub struct Rules(Arc<Mutex<Option<String>>>);

impl Rules {
    pub fn now(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn set(&self, xml: &str) {
        *self.0.lock().unwrap() = Some(xml.into());
    }
}

#[async_trait::async_trait]
impl S3Route for Rules {
    fn is_match(
        &self,
        _: &http::Method,
        uri: &http::Uri,
        _: &http::HeaderMap,
        _: &mut http::Extensions,
    ) -> bool {
        let is_bucket = uri.path().trim_matches('/') == "fleet";
        is_bucket && uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "lifecycle="))
    }

    async fn call(&self, mut asked: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if asked.method == http::Method::GET {
            let rules = self.now().ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration))?;
            return Ok(S3Response::new(Body::from(rules)));
        }
        if !asked.headers.contains_key("content-md5") {
            return Err(s3_error!(InvalidRequest, "Content-MD5 is missing"));
        }
        let body = asked.input.store_all_limited(1 << 20).await.map_err(|_| s3_error!(InternalError))?;
        self.set(std::str::from_utf8(&body).map_err(|_| s3_error!(MalformedXML))?);
        Ok(S3Response::new(Body::from(String::new())))
    }
}

impl Engine {
    /// One that knows no rules.
    pub fn start(dir: &Path) -> Engine {
        Engine::start_with(dir, None)
    }

    pub fn start_with(dir: &Path, rules: Option<&Rules>) -> Engine {
        let root = dir.join("engine");
        std::fs::create_dir_all(root.join("fleet")).unwrap();
        let service = {
            let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
            service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
            rules.into_iter().for_each(|rules| service.set_route(rules.clone()));
            service.build()
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Else a small answer on a kept connection takes 44 ms, and everything timed here would be that.
                let _ = socket.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    // A client that goes away is no failure of the test.
                    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Engine { address, root, runtime: Some(runtime) }
    }

    /// A file of the bucket, where the engine keeps it.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join("fleet").join(path)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn config_at(address: SocketAddr) -> S3Config {
    let mut config = S3Config::new("fleet");
    config.endpoint = Some(format!("http://{address}"));
    config.region = Some("garage".into());
    config.allow_http = true;
    config.connect = Duration::from_millis(500);
    config
}

pub fn client_at(address: SocketAddr) -> S3Bucket {
    S3Bucket::open_with(&config_at(address), KEY_ID, SECRET).unwrap()
}
