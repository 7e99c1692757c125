//! Uploads in parts, with an S3 server of somebody else's that holds bucket, parts and CORS rules as AWS does: LocalStack,
//! where one runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{CorsConfiguration, CorsRule},
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use toall::{config::Staging, staging::cors_rule};
use url::Url;
use uuid::Uuid;

use super::{Program, moto::checked, put};
use crate::world::{World, browser, sha256_hex};

const PART: usize = 8 * 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A bucket of ours there, seen from outside.
struct Foreign {
    settings: Staging,
    client: Client,
}

/// A fresh one; `None` without a server.
async fn foreign() -> Option<Foreign> {
    let Ok(server) = std::env::var("S3_SERVER") else {
        eprintln!("skipped: set S3_SERVER to the address of a LocalStack to try parts on a third-party S3");
        return None;
    };
    let bucket = format!("videos-{}", Uuid::now_v7());
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(&server)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .force_path_style(true);
    let client = Client::from_conf(config.build());
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let settings = Staging {
        endpoint_url: Some(server.parse().unwrap()),
        bucket,
        region: "us-east-1".to_owned(),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned().into()),
        force_path_style: true,
    };
    Some(Foreign { settings, client })
}

impl Foreign {
    async fn world(&self) -> World {
        let settings = self.settings.clone();
        World::with(|_, config| config.staging = Some(settings)).await.and_linked().await
    }

    async fn objects(&self) -> Vec<String> {
        let listed = self.client.list_objects_v2().bucket(&self.settings.bucket).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key.clone()).collect()
    }

    /// The keys of uploads in parts that are neither complete nor given up.
    async fn unfinished(&self) -> Vec<String> {
        let list = self.client.list_multipart_uploads().bucket(&self.settings.bucket);
        list.send().await.unwrap().uploads().iter().filter_map(|upload| upload.key.clone()).collect()
    }

    /// Sets the rule that `toall check` prints.
    async fn set_rule(&self, printed: &str) {
        let printed: Value = serde_json::from_str(printed).unwrap();
        let rule = &printed["CORSRules"][0];
        let list = |name: &str| -> Option<Vec<String>> {
            Some(rule[name].as_array()?.iter().map(|value| value.as_str().unwrap().to_owned()).collect())
        };
        let rule = CorsRule::builder()
            .set_allowed_origins(list("AllowedOrigins"))
            .set_allowed_methods(list("AllowedMethods"))
            .set_allowed_headers(list("AllowedHeaders"))
            .max_age_seconds(i32::try_from(rule["MaxAgeSeconds"].as_i64().unwrap()).unwrap());
        let rules = CorsConfiguration::builder().cors_rules(rule.build().unwrap()).build().unwrap();
        let put = self.client.put_bucket_cors().bucket(&self.settings.bucket);
        put.cors_configuration(rules).send().await.unwrap();
    }
}

async fn begin(program: &Program, size: usize) -> Value {
    let wanted =
        json!({"filename": "film.mp4", "content_type": "video/mp4", "size": size, "multipart": true});
    program.post("upload-url", wanted).await.ok()["s3_key"].clone()
}

async fn signed(program: &Program, key: &Value, parts: &[usize]) -> Vec<Value> {
    let signed = program.post("upload-parts", json!({"s3_key": key, "parts": parts})).await.ok();
    signed["parts"].as_array().unwrap().clone()
}

/// Sends these parts of a file, all at once.
async fn send(program: &Program, key: &Value, file: &[u8], parts: &[usize]) {
    let puts = signed(program, key, parts).await.into_iter().map(|part| async move {
        let number = usize::try_from(part["part"].as_u64().unwrap()).unwrap();
        let bytes = file.chunks(PART).nth(number - 1).unwrap();
        assert_eq!(put(&part, bytes.to_vec()).await.status(), StatusCode::OK);
    });
    futures::future::join_all(puts).await;
}

async fn done(program: &Program, key: &Value) -> Value {
    program.get(&format!("upload-parts?s3_key={}", key.as_str().unwrap())).await.ok()["done"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_bucket_takes_parts_at_once_goes_on_after_a_kill_and_is_left_clean() {
    let Some(foreign) = foreign().await else { return };
    let mut world = foreign.world().await;
    let program = world.program("alice").await;
    let file = std::fs::read(world.film(30_000_000)).unwrap();
    let key = begin(&program, file.len()).await;
    assert_eq!(done(&program, &key).await, json!([]));
    send(&program, &key, &file, &[4, 1, 2]).await;
    assert!(browser().get(addressed(&foreign, &key)).send().await.unwrap().status().is_client_error());

    world.kill().await;
    world.boot().await;
    assert_eq!(
        done(&program, &key).await,
        json!([
            {"part": 1, "bytes": PART}, {"part": 2, "bytes": PART}, {"part": 4, "bytes": file.len() - 3 * PART},
        ])
    );
    let refused = program.post("upload-complete", json!({"s3_key": key})).await;
    assert!(refused.is_problem(409, "upload_incomplete").contains(": 3"), "{refused:?}");
    // A part that is sent again is the same part.
    send(&program, &key, &file, &[3, 2]).await;
    let complete = program.post("upload-complete", json!({"s3_key": key})).await.ok();
    assert_eq!(complete, json!({"s3_key": key, "bytes": file.len()}));
    assert_eq!(program.post("upload-complete", json!({"s3_key": key})).await.ok(), complete);
    assert_eq!(foreign.unfinished().await, [""; 0]);

    let wanted = json!({"s3_key": key, "caption": "Parts", "account_ids": [world.account_id("alice_makes")]});
    assert_eq!(program.post("post", wanted).await.status, StatusCode::ACCEPTED);
    world.settle().await;
    assert_eq!(world.x.posts()[0].media[0].sha256_hex, Some(sha256_hex(&file)));
    assert_eq!(foreign.objects().await, [""; 0]);
}

fn addressed(foreign: &Foreign, key: &Value) -> Url {
    let endpoint = foreign.settings.endpoint_url.as_ref().unwrap();
    endpoint.join(&format!("{}/{}", foreign.settings.bucket, key.as_str().unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_given_up_takes_its_parts_from_a_foreign_bucket() {
    let Some(foreign) = foreign().await else { return };
    let world = foreign.world().await;
    let program = world.program("alice").await;
    let file = vec![7; 2 * PART];
    let key = begin(&program, file.len()).await;
    send(&program, &key, &file, &[1]).await;
    let late = signed(&program, &key, &[2]).await.remove(0);
    assert_eq!(foreign.unfinished().await, [key.as_str().unwrap()]);

    let path = format!("upload?s3_key={}", key.as_str().unwrap());
    assert_eq!(program.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(foreign.unfinished().await, [""; 0]);
    assert_eq!(put(&late, file[PART..].to_vec()).await.status(), StatusCode::NOT_FOUND);
    program.delete(&path).await.is_problem(404, "upload_not_found");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the bucket's uploads have the age of the real clock")]
async fn an_upload_that_no_row_knows_is_swept_from_a_foreign_bucket_and_nobody_elses_is() {
    let Some(foreign) = foreign().await else { return };
    let mut world = foreign.world().await;
    let program = world.program("alice").await;
    let theirs = "uploads/theirs.mov";
    let orphan = format!("uploads/{}", Uuid::now_v7());
    for key in [theirs, &orphan] {
        let begin = foreign.client.create_multipart_upload().bucket(&foreign.settings.bucket);
        begin.key(key).send().await.unwrap();
    }
    // One that is known goes as well once its time is over, as the row does.
    let mut expected = vec![orphan.clone(), begin(&program, PART).await.as_str().unwrap().to_owned()];
    expected.push(theirs.to_owned());
    expected.sort();
    let mut found = foreign.unfinished().await;
    found.sort();
    assert_eq!(found, expected);

    world.kill().await;
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    world.clock.set(i64::try_from((today + 3 * DAY).as_millis()).unwrap());
    world.boot().await;
    let swept = async {
        while foreign.unfinished().await != [theirs] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, swept).await.expect("nothing is swept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_that_check_prints_lets_pages_in_and_nobody_else() {
    let Some(foreign) = foreign().await else { return };
    let mut world = foreign.world().await;
    let (said, origin) = checked(&mut world).await;
    assert!(
        said.contains(&format!("✗ uploads     the bucket does not take files from pages of {origin}")),
        "{said}"
    );
    let printed =
        said.lines().find(|line| line.starts_with("{\"CORSRules\"")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(printed, cors_rule(&origin));

    foreign.set_rule(printed).await;
    world.boot().await;
    let program = world.program("alice").await;
    let key = begin(&program, PART).await;
    let part = signed(&program, &key, &[1]).await.remove(0);
    let preflight = |origin: &str| {
        browser()
            .request(Method::OPTIONS, part["upload_url"].as_str().unwrap())
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
            .send()
    };
    let allowed = preflight(&origin).await.unwrap();
    assert_eq!(allowed.status(), StatusCode::OK);
    assert_eq!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin.as_str());
    assert_eq!(preflight("https://evil.example").await.unwrap().status(), StatusCode::FORBIDDEN);

    let (said, _) = checked(&mut world).await;
    assert!(said.contains(&format!("✓ uploads     the bucket takes files from pages of {origin}")), "{said}");
}
