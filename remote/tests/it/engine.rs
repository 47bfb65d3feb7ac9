//! A real engine in this process, over HTTP and real sockets: s3s-fs behind hyper.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use plugcache_remote::{S3Bucket, S3Config};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

pub const KEY_ID: &str = "GKfleet";
pub const SECRET: &str = "a secret that nothing prints";

/// The engine, with one bucket `fleet`; it ends with this value.
pub struct Engine {
    pub address: SocketAddr,
    root: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Engine {
    pub fn start(dir: &Path) -> Engine {
        let root = dir.join("engine");
        std::fs::create_dir_all(root.join("fleet")).unwrap();
        let service = {
            let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
            service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
            service.build()
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
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
