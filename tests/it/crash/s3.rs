//! Somebody else's S3: a server in this process that checks signatures and keeps objects in a folder.

use std::{fs, path::Path};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

pub const BUCKET: &str = "videos";
pub const KEY: &str = "key-of-the-bucket";
pub const SECRET: &str = "secret-of-the-bucket";

/// Serves one empty bucket under `folder`, and returns its address.
pub async fn serve(folder: &Path) -> String {
    fs::create_dir_all(folder.join(BUCKET)).unwrap();
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    format!("http://{address}")
}
