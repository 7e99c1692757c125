//! Who gets at what is stored: by credentials, by signed addresses, by the folder.

use super::*;

#[tokio::test]
async fn presigned_links_need_no_credentials_and_bind_type_and_size() {
    let (staging, _server, _dir) = embedded().await;
    let browser = reqwest::Client::new();
    let url = staging.presign_put("posts/a", "video/mp4", Some(5), MINUTE).await.unwrap();
    let send = |content_type: &'static str, body: &'static str| {
        let request = browser.put(url.clone()).header("content-type", content_type);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send("text/html", "video").await, 403);
    assert_eq!(send("video/mp4", "videos").await, 403);
    assert_eq!(staging.size("posts/a").await, Err(StagingError::Missing));
    assert_eq!(send("video/mp4", "video").await, 200);

    let url = staging.presign_get("posts/a", MINUTE).await.unwrap();
    let got = browser.get(url.clone()).send().await.unwrap();
    assert_eq!(got.headers()["content-type"], "video/mp4");
    assert_eq!(got.text().await.unwrap(), "video");
    let mut bare = url.clone();
    bare.set_query(None);
    assert_eq!(browser.get(bare).send().await.unwrap().status(), 403);
    let mut other = url;
    other.set_path("/toall/posts/b");
    assert_eq!(browser.get(other).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn other_credentials_are_refused() {
    let (staging, _server, dir) = embedded().await;
    let stranger = Credentials::new("AKIDSTRANGER", "guess", None, None, "test");
    let config = staging.client.config().to_builder();
    let stranger = Staging {
        client: Client::from_conf(config.credentials_provider(stranger).build()),
        bucket: staging.bucket.clone(),
    };
    assert_eq!(stranger.probe().await, Err(StagingError::Denied("s3:PutObject")));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn keys_cannot_leave_the_folder() {
    let (staging, _server, dir) = embedded().await;
    let long = "a".repeat(129);
    for key in ["", "/a", "a//b", "..", "posts/../a", "posts/..", ".a", "a\\b", "a\nb", "a\0", &long] {
        let refused = put(&staging, key, &sample(1)).await;
        assert!(matches!(refused, Err(PutError::Storage(StagingError::BadKey))), "{key:?}");
        assert_eq!(get(&staging, key, 0..1).await, Err(StagingError::BadKey));
        assert_eq!(staging.delete(key).await, Err(StagingError::BadKey));
        assert!(staging.presign_get(key, MINUTE).await.is_err());
    }
    // The server itself holds to it, whoever signs.
    for key in ["../../escaped", "posts/../../.upload-x", "%2e%2e/escaped"] {
        let put = staging.client.put_object().bucket("toall").key(key);
        let refused = put.body(ByteStream::from_static(b"x")).send().await;
        assert_eq!(StagingError::from(refused.unwrap_err()), StagingError::Denied("s3:PutObject"), "{key:?}");
    }
    let elsewhere = staging.client.put_object().bucket("elsewhere").key("a");
    assert!(elsewhere.body(ByteStream::from_static(b"x")).send().await.is_err());
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_restart_keeps_objects_and_clears_unfinished_uploads() {
    let (staging, server, dir) = embedded().await;
    put(&staging, "posts/a", &sample(10)).await.unwrap();
    let stored = files(dir.path());
    let create = staging.client.create_multipart_upload().bucket("toall").key("posts/b");
    let id = create.send().await.unwrap().upload_id.unwrap();
    let part = staging.client.upload_part().bucket("toall").key("posts/b").upload_id(id);
    part.part_number(1).body(ByteStream::from_static(b"x")).send().await.unwrap();
    assert!(files(dir.path()).len() > stored.len());
    server.shutdown().await;

    let (staging, _server) = Staging::embedded(dir.path(), 0).await.unwrap();
    assert_eq!(get(&staging, "posts/a", 0..10).await.unwrap(), sample(10));
    assert_eq!(files(dir.path()).len(), stored.len());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let (staging, _server, dir) = embedded().await;
    put(&staging, "posts/small", &sample(10)).await.unwrap();
    put(&staging, "posts/large", &sample(PART_BYTES + 1)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in files(dir.path()) {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    for folder in ["", "toall", "toall/posts"] {
        assert_eq!(mode(&dir.path().join(folder)), 0o700, "{folder:?}");
    }
}
