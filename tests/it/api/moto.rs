//! A whole file with an S3 server of somebody else's: moto, where one runs. Parts are tried in `localstack`, since moto
//! 5.2 names the root of its list of parts otherwise than S3 does, which the SDK refuses.

use serde_json::json;
use toall::{app::check::check, config::Staging};
use url::Url;

use crate::{
    bucket::Bucket,
    world::{World, browser, sample, sha256_hex},
};

/// A fresh bucket there; `None` without a server.
async fn bucket(name: &str) -> Option<Staging> {
    let Ok(moto) = std::env::var("MOTO_SERVER") else {
        eprintln!("skipped: set MOTO_SERVER to the address of a moto server to try a third-party S3");
        return None;
    };
    let endpoint: Url = moto.parse().unwrap();
    let made = browser().put(endpoint.join(name).unwrap()).send().await.unwrap();
    assert!(made.status().is_success(), "{made:?}");
    Some(Staging {
        endpoint_url: Some(endpoint),
        bucket: name.to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: Some("key".to_owned()),
        secret_access_key: Some("secret".to_owned().into()),
        force_path_style: true,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_bucket_takes_a_file_and_is_left_clean() {
    let Some(settings) = bucket("uploads-of-programs").await else { return };
    let endpoint = settings.endpoint_url.clone().unwrap();
    let world = World::with(|_, config| config.staging = Some(settings)).await.and_linked().await;
    let program = world.program("alice").await;
    program.publish(&sample(), "Whole", &world.account_id("alice_makes")).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.iter().map(|post| &*post.text).collect::<Vec<_>>(), ["Whole"]);
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&std::fs::read(sample()).unwrap())));
    let listed =
        browser().get(endpoint.join("uploads-of-programs?list-type=2").unwrap()).send().await.unwrap();
    let listed = listed.text().await.unwrap();
    assert!(!listed.contains("<Key>uploads/"), "nothing stays there: {listed}");
}

/// What `toall check` says of this world's config while its service is stopped, and the origin of its pages.
pub async fn checked(world: &mut World) -> (String, String) {
    let config = world.config.clone();
    world.stop().await;
    let mut said = Vec::new();
    check(&config, None, false, &mut said).await.unwrap();
    (String::from_utf8(said).unwrap(), config.public_url.origin().ascii_serialization())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_browsers_is_named_with_the_rule_it_needs() {
    let bucket = Bucket::start().await;
    let settings = bucket.settings();
    let (said, origin) = checked(&mut World::with(|_, config| config.staging = Some(settings)).await).await;
    assert!(
        said.contains(&format!("✗ uploads     the bucket does not take files from pages of {origin}")),
        "{said}"
    );
    let rule =
        said.lines().find(|line| line.starts_with("{\"CORSRules\"")).unwrap_or_else(|| panic!("{said}"));
    let rule: serde_json::Value = serde_json::from_str(rule).unwrap();
    assert_eq!(rule["CORSRules"][0]["AllowedOrigins"], json!([origin]));
}
