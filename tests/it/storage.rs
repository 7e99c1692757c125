//! Storage that is set up wrongly, full, damaged, or gives other bytes than it was given.

use std::sync::Arc;

use toall::app::check::check;

use crate::{bucket::Bucket, world::World};

/// A key that may put and get files may still lack what uploads in parts and the cleanup need.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_right_that_the_key_lacks() {
    let bucket = Arc::new(Bucket::start().await);
    let settings = bucket.settings();
    let mut world = World::with(|_, config| config.staging = Some(settings)).await;
    let config = world.config.clone();
    world.stop().await;
    let checked = async || {
        let mut said = Vec::new();
        check(&config, None, false, &mut said).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        said.lines().find(|line| line.contains("parts  ")).unwrap_or(&said).to_owned()
    };
    assert_eq!(checked().await, "✓ parts       storage takes files in parts, lists and joins them");
    for (call, right) in [
        ("CreateMultipartUpload", "s3:PutObject"),
        ("UploadPart", "s3:PutObject"),
        ("ListParts", "s3:ListMultipartUploadParts"),
        ("AbortMultipartUpload", "s3:AbortMultipartUpload"),
        ("CompleteMultipartUpload", "s3:PutObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ] {
        bucket.forbid(call);
        let said = checked().await;
        assert!(said.starts_with('✗') && said.contains(&format!("the right {right} ")), "{call}: {said}");
        assert_eq!(bucket.keys(), Vec::<String>::new(), "{call}");
    }
}
