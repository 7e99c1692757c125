//! Tests of which objects a sweep deletes and which it keeps.

use super::{
    foreign::{pretending, response},
    *,
};

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_not_known() {
    let (staging, _server, _dir) = embedded().await;
    for key in ["posts/known", "posts/stray", "posts/theirs", "elsewhere/stray"] {
        put(&staging, key, &sample(1)).await.unwrap();
    }
    let ours = |key: &str| !key.ends_with("theirs");
    let known = |key: &str| key == "posts/known";
    let (past, future) = (SystemTime::now() - 60 * MINUTE, SystemTime::now() + 60 * MINUTE);
    let young = staging.sweep(ours, known, past, past).await;
    assert_eq!(young.unwrap(), Swept::default());
    let old = staging.sweep(ours, known, future, past).await;
    assert_eq!(old.unwrap(), Swept { objects: 1, uploads: 0 });
    assert_eq!(staging.size("posts/stray").await, Err(StagingError::Missing));
    assert_eq!(staging.size("posts/known").await, Ok(1));
    assert_eq!(staging.size("posts/theirs").await, Ok(1));
    assert_eq!(staging.size("elsewhere/stray").await, Ok(1));
}

#[tokio::test]
async fn a_sweep_aborts_old_uploads_where_they_can_be_listed() {
    let (aborted, mut aborts) = tokio::sync::mpsc::unbounded_channel();
    let staging = pretending(move |request| {
        if request.starts_with("DELETE ") {
            aborted.send(request.to_owned()).unwrap();
            let gone = "<Error><Code>NoSuchUpload</Code></Error>";
            return response("404 Not Found", gone);
        }
        if request.contains("list-type=2") {
            return response("200 OK", "<ListBucketResult></ListBucketResult>");
        }
        if request.contains("prefix=uploads") {
            return response("200 OK", "<ListMultipartUploadsResult></ListMultipartUploadsResult>");
        }
        let upload = |key: &str, id: &str, year: u16| {
            format!(
                "<Upload><Key>posts/{key}</Key><UploadId>{id}</UploadId>\
                 <Initiated>{year}-01-01T00:00:00.000Z</Initiated></Upload>"
            )
        };
        let uploads = [
            upload("a", "abandoned", 2001),
            upload("a", "going-on", 2010),
            upload("stray", "stray", 2010),
            upload("stray", "young", 2999),
            upload("theirs", "theirs", 2001),
        ];
        let list = "ListMultipartUploadsResult";
        response("200 OK", &format!("<{list}>{}</{list}>", uploads.concat()))
    })
    .await;
    let (ours, known) = (|key: &str| key != "posts/theirs", |key: &str| key == "posts/a");
    let year_2005 = std::time::UNIX_EPOCH + Duration::from_secs(1_104_537_600);
    let swept = staging.sweep(ours, known, SystemTime::now(), year_2005).await.unwrap();
    assert_eq!(swept, Swept { objects: 0, uploads: 2 });
    assert!(aborts.recv().await.unwrap().contains("uploadId=abandoned"));
    assert!(aborts.recv().await.unwrap().contains("uploadId=stray"));
    assert!(aborts.try_recv().is_err());
}
