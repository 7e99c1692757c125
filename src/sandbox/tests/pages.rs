//! Tests of the pages that a person sees in a browser.

use super::*;

#[tokio::test]
async fn a_post_is_shown_escaped_with_its_video_in_ranges() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.upload(&token, b"0123456789").await;
    let (_, body) = answer(bench.create(&token, "<b>wave</b>", &[&id])).await;
    let post = text(&body["data"]["id"]);
    for path in ["/", "/alice_makes", &format!("/alice_makes/status/{post}")] {
        let page = bench.http.get(bench.url(path)).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"));
        let page = page.text().await.unwrap();
        assert!(page.contains("&lt;b&gt;wave&lt;/b&gt;"), "{path}");
        assert!(page.contains("Simulated X"), "{path}");
        assert!(page.contains(&format!("src=\"/media/{id}\"")), "{path}");
    }
    let video = bench.http.get(bench.url(&format!("/media/{id}")));
    let part = video.header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-type"], "video/mp4");
    assert_eq!(part.text().await.unwrap(), "234");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let bench = Bench::start().await;
    for path in ["/nobody", "/alice_makes/status/1", "/media/1", "/avatar/nobody.svg"] {
        let page = bench.http.get(bench.url(path)).send().await.unwrap();
        assert_eq!(page.status(), 404, "{path}");
    }
    let (status, body) = answer(bench.http.get(bench.url("/2/nothing"))).await;
    assert_eq!((status, &body["title"]), (404, &json!("Not Found")));
}
