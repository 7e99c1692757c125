//! Initialize, append, finalize, status.

use super::*;
use crate::sandbox::{Processing, ProcessingFailure};

#[tokio::test]
async fn parallel_segments_become_the_file_that_was_sent() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let video: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let id = bench.initialize(&token, video.len()).await;
    assert!(id.parse::<u64>().unwrap() > 1 << 53);
    let sends = video.chunks(1_000_000).enumerate().map(|(index, chunk)| {
        let request = bench.append(&token, &id, index as u32, chunk);
        async move { answer(request).await.0 }
    });
    assert_eq!(futures::future::join_all(sends).await, [200, 200, 200]);
    // A segment sent again takes the earlier one's place.
    let again = bench.append(&token, &id, 1, &video[1_000_000..2_000_000]);
    let (status, body) = answer(again).await;
    assert_eq!(status, 200);
    assert!(body["data"]["expires_at"].is_u64());
    let (status, first) = answer(bench.finalize(&token, &id)).await;
    assert_eq!(status, 200);
    assert_eq!(first["data"]["size"], 3_000_000);
    assert_eq!(answer(bench.finalize(&token, &id)).await, (200, first));
    bench.pass(10);
    assert_eq!(answer(bench.create(&token, "", &[&id])).await.0, 201);
    let sent: String = Sha256::digest(&video).iter().map(|byte| format!("{byte:02x}")).collect();
    let posts = bench.sandbox.posts();
    assert_eq!(posts[0].media[0].sha256_hex.as_deref(), Some(sent.as_str()));
    assert_eq!(posts[0].media[0].bytes, 3_000_000);
    let names = std::fs::read_dir(bench.dir.path()).unwrap();
    assert_eq!(names.count(), 1, "only the assembled file stays");
}

#[tokio::test]
async fn initialize_takes_only_what_is_documented() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let good = json!({"media_type": "video/mp4", "total_bytes": 9, "media_category": "tweet_video"});
    for (field, value) in [
        ("media_type", json!("video/x-msvideo")),
        ("media_category", json!("TweetVideo")),
        ("total_bytes", json!("9")),
        ("total_bytes", json!(17_179_869_185_u64)),
        ("command", json!("INIT")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let request = bench.post(&token, "/2/media/upload/initialize").json(&body);
        let (status, body) = answer(request).await;
        assert_eq!(status, 400, "{field}");
        message(&body);
    }
}

#[tokio::test]
async fn append_refuses_bad_parts() {
    let bench = Bench::with(|settings| settings.max_chunk = 100).await;
    let token = bench.access("alice_makes").await;
    let id = bench.initialize(&token, 10).await;
    let too_large = bench.append(&token, &id, 0, &[0; 101]).send().await.unwrap();
    assert_eq!(too_large.status(), 413);
    assert!(too_large.bytes().await.unwrap().is_empty());
    assert_eq!(answer(bench.append(&token, &id, 1000, b"x")).await.0, 400);
    let path = format!("/2/media/upload/{id}/append");
    let missing = Form::new().text("segment_index", "0");
    assert_eq!(answer(bench.post(&token, &path).multipart(missing)).await.0, 400);
    let unknown =
        Form::new().text("segment_index", "0").text("command", "APPEND").part("media", Part::bytes(vec![1]));
    assert_eq!(answer(bench.post(&token, &path).multipart(unknown)).await.0, 400);
    let json = json!({"segment_index": 0, "media": "AAEC"});
    assert_eq!(answer(bench.post(&token, &path).json(&json)).await.0, 200);
    let json = json!({"segment_index": 0, "media": "AAEC", "more": 1});
    assert_eq!(answer(bench.post(&token, &path).json(&json)).await.0, 400);
}

#[tokio::test]
async fn a_session_belongs_to_its_user_and_ends() {
    let bench = Bench::start().await;
    let alice = bench.access("alice_makes").await;
    let bob = bench.access("bob_films").await;
    let id = bench.initialize(&alice, 1).await;
    for request in [
        bench.append(&bob, &id, 0, b"x"),
        bench.finalize(&bob, &id),
        bench.status(&bob, &id),
        bench.append(&alice, "12", 0, b"x"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    bench.sandbox.forget_media();
    assert_eq!(answer(bench.append(&alice, &id, 0, b"x")).await.0, 404);
}

#[tokio::test]
async fn finalize_wants_every_segment() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.initialize(&token, 4).await;
    let wanted = "Segments do not add up to provided total file size.";
    for (segment, bytes) in [(1, b"cd".as_slice()), (0, b"a")] {
        answer(bench.append(&token, &id, segment, bytes)).await;
        let (status, body) = answer(bench.finalize(&token, &id)).await;
        assert_eq!((status, message(&body)), (400, wanted.to_owned()));
    }
    answer(bench.append(&token, &id, 0, b"ab")).await;
    assert_eq!(answer(bench.finalize(&token, &id)).await.0, 200);
    assert_eq!(answer(bench.append(&token, &id, 0, b"ab")).await.0, 400);
}

#[tokio::test]
async fn processing_goes_by_the_clock_and_a_post_waits_for_it() {
    let bench = Bench::with(|settings| {
        settings.processing = Processing { steps: 2, check_after_secs: 5 };
    })
    .await;
    let token = bench.access("alice_makes").await;
    let id = bench.initialize(&token, 1).await;
    assert_eq!(answer(bench.status(&token, &id)).await.0, 400);
    answer(bench.append(&token, &id, 0, b"x")).await;
    let (_, body) = answer(bench.finalize(&token, &id)).await;
    let pending = json!({"state": "pending", "check_after_secs": 5});
    assert_eq!(body["data"]["processing_info"], pending);
    let (status, body) = answer(bench.create(&token, "early", &[&id])).await;
    assert_eq!((status, message(&body)), (400, "Your media IDs are invalid.".to_owned()));
    bench.pass(5);
    let (_, body) = answer(bench.status(&token, &id)).await;
    let half = json!({"state": "in_progress", "check_after_secs": 5, "progress_percent": 50});
    assert_eq!(body["data"]["processing_info"], half);
    bench.pass(5);
    let (_, body) = answer(bench.status(&token, &id)).await;
    let done = json!({"state": "succeeded", "progress_percent": 100});
    assert_eq!(body["data"]["processing_info"], done);
    assert_eq!(answer(bench.create(&token, "ready", &[&id])).await.0, 201);
}

#[tokio::test]
async fn processing_can_go_by_requests_or_be_left_out() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    bench.sandbox.set_processing(Processing { steps: 2, check_after_secs: 0 });
    let id = bench.upload(&token, b"x").await;
    for state in ["in_progress", "succeeded"] {
        let (_, body) = answer(bench.status(&token, &id)).await;
        assert_eq!(body["data"]["processing_info"]["state"], state);
    }
    bench.sandbox.set_processing(Processing { steps: 0, check_after_secs: 0 });
    let id = bench.upload(&token, b"x").await;
    let (_, body) = answer(bench.status(&token, &id)).await;
    assert!(body["data"].get("processing_info").is_none());
    assert_eq!(answer(bench.create(&token, "", &[&id])).await.0, 201);
}

#[tokio::test]
async fn failed_processing_says_why_and_the_media_stays_unusable() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    for while_in_progress in [false, true] {
        let failure = ProcessingFailure { while_in_progress, ..ProcessingFailure::invalid_media() };
        let ordered = bench.sandbox.fail_processing(failure);
        let id = bench.upload(&token, b"x").await;
        assert_eq!(ordered.fired(), 1);
        let (_, body) = answer(bench.status(&token, &id)).await;
        let info = &body["data"]["processing_info"];
        let state = if while_in_progress { "in_progress" } else { "failed" };
        assert_eq!((&info["state"], &info["error"]["code"]), (&json!(state), &json!(1)));
        assert_eq!(info["error"]["name"], "InvalidMedia");
        assert_eq!(answer(bench.create(&token, "", &[&id])).await.0, 400);
    }
}

#[tokio::test]
async fn media_can_be_counted_without_being_kept() {
    let bench = Bench::with(|settings| settings.keep_media = false).await;
    let token = bench.access("alice_makes").await;
    let id = bench.upload(&token, &[7; 1_000]).await;
    assert_eq!(answer(bench.create(&token, "", &[&id])).await.0, 201);
    let media = bench.sandbox.posts()[0].media[0].clone();
    assert_eq!((media.bytes, media.sha256_hex), (1_000, None));
    assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 0);
}
