//! Drives every call of the simulated X and holds it against the description.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Client, RequestBuilder,
    multipart::{Form, Part},
    redirect::Policy,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use toall::sandbox::{Call, Processing, ProcessingFailure, Sandbox, Sent, Settings};
use url::Url;

use super::{published, violations};

const CALLBACK: &str = "http://127.0.0.1:8080/api/social/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

struct Person {
    sandbox: Sandbox,
    http: Client,
    token: String,
    refresh: String,
    _dir: tempfile::TempDir,
}

impl Person {
    async fn linked() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let processing = Processing { steps: 2, check_after_secs: 0 };
        let settings = Settings { processing, max_chunk: 1_000, ..Settings::new(dir.path()) };
        let mut person = Self {
            sandbox: Sandbox::start(settings).await.unwrap(),
            http: Client::builder().redirect(Policy::none()).build().unwrap(),
            token: String::new(),
            refresh: String::new(),
            _dir: dir,
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let query = [
            ("response_type", "code"),
            ("client_id", "sandbox-client"),
            ("redirect_uri", CALLBACK),
            ("scope", "tweet.read tweet.write users.read media.write offline.access"),
            ("state", "opaque"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let page = format!("{}/i/oauth2/authorize", person.sandbox.url());
        let form = [("user", "alice_makes"), ("decision", "authorize")];
        let pressed = person.http.post(page).query(&query).form(&form);
        let back = pressed.send().await.unwrap();
        let back: Url = back.headers()["location"].to_str().unwrap().parse().unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1;
        person
            .take_tokens(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ])
            .await;
        person
    }

    async fn take_tokens(&mut self, form: &[(&str, &str)]) {
        let tokens = self.oauth("token", form).await;
        self.token = tokens["access_token"].as_str().unwrap().to_owned();
        self.refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    }

    async fn oauth(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!("{}/2/oauth2/{path}", self.sandbox.url());
        let request = self.http.post(url).form(form);
        let request = request.basic_auth("sandbox-client", Some("sandbox-secret"));
        request.send().await.unwrap().json().await.unwrap()
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.sandbox.url());
        self.http.get(url).bearer_auth(&self.token)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.sandbox.url());
        self.http.post(url).bearer_auth(&self.token)
    }

    fn create(&self, body: Value) -> RequestBuilder {
        self.post("/2/tweets").json(&body)
    }

    async fn upload(&self) -> String {
        let body = json!({
            "media_type": "video/mp4",
            "media_category": "tweet_video",
            "total_bytes": 6,
        });
        let opened = self.post("/2/media/upload/initialize").json(&body);
        let id = ask(opened, 200).await["data"]["id"].clone();
        let id = id.as_str().unwrap();
        let append = format!("/2/media/upload/{id}/append");
        let form = Form::new()
            .text("segment_index", "0")
            .part("media", Part::bytes(b"abc".to_vec()).file_name("blob"));
        ask(self.post(&append).multipart(form), 200).await;
        let body = json!({"segment_index": 1, "media": "ZGVm"});
        ask(self.post(&append).json(&body), 200).await;
        ask(self.post(&format!("/2/media/upload/{id}/finalize")), 200).await;
        for _ in 0..2 {
            ask(self.status(id), 200).await;
        }
        id.to_owned()
    }

    fn status(&self, id: &str) -> RequestBuilder {
        self.get(&format!("/2/media/upload?command=STATUS&media_id={id}"))
    }
}

async fn ask(request: RequestBuilder, status: u16) -> Value {
    let response = request.send().await.unwrap();
    let found = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    assert_eq!(found, status, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap_or_default()
}

#[tokio::test]
async fn every_call_of_the_simulated_x_is_as_x_describes_it() {
    let Some(openapi) = published() else { return };
    let mut person = Person::linked().await;
    let fields = "created_at,description,profile_image_url,protected,public_metrics,subscription_type,verified,verified_type";
    let me = ask(person.get(&format!("/2/users/me?user.fields={fields}")), 200).await;
    let user = me["data"]["id"].as_str().unwrap();
    let timeline = format!("/2/users/{user}/tweets");
    ask(person.get(&timeline), 200).await;
    ask(person.get("/2/users/12/tweets"), 200).await;

    let video = person.upload().await;
    let metadata = json!({
        "alt_text": {"text": "A wave"},
        "sensitive_media_warning": {"adult_content": false, "graphic_violence": true, "other": false},
    });
    let described = person.post("/2/media/metadata").json(&json!({"id": video, "metadata": metadata}));
    assert_eq!(ask(described, 200).await["data"]["id"], video);
    let film = json!({
        "text": "film",
        "media": {"media_ids": [video]},
        "reply_settings": "verified",
        "made_with_ai": true,
        "paid_partnership": true,
    });
    ask(person.create(film), 201).await;
    for number in 0..6 {
        ask(person.create(json!({"text": format!("post {number}")})), 201).await;
    }
    let full = "max_results=5&start_time=2020-01-01T00:00:00Z&expansions=attachments.media_keys\
        &media.fields=type,variants&post.fields=attachments,created_at,text";
    let page = ask(person.get(&format!("{timeline}?{full}")), 200).await;
    let next = page["meta"]["next_token"].as_str().unwrap();
    let rest = format!("{timeline}?{full}&pagination_token={next}");
    let rest = ask(person.get(&rest), 200).await;
    assert_eq!(rest["includes"]["media"][0]["type"], "video");
    ask(person.get(&format!("{timeline}?tweet.fields=created_at")), 200).await;

    person.sandbox.fail_processing(ProcessingFailure::invalid_media());
    let failed = person.upload().await;
    ask(person.create(json!({"text": "no", "media": {"media_ids": [failed]}})), 400).await;
    ask(person.create(json!({"text": "post 1"})), 403).await;
    ask(person.create(json!({"text": "a".repeat(281)})), 403).await;
    person.sandbox.forget_media();
    ask(person.status(&failed), 404).await;

    let refresh = person.refresh.clone();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    person.take_tokens(&form).await;
    person.sandbox.set_suspended("alice_makes", true);
    ask(person.get("/2/users/me"), 403).await;
    person.sandbox.set_suspended("alice_makes", false);
    let form = [("token", person.token.as_str()), ("token_type_hint", "access_token")];
    person.oauth("revoke", &form).await;
    ask(person.get("/2/users/me"), 401).await;

    let exchanges = person.sandbox.exchanges();
    for call in [
        Call::Token,
        Call::Refresh,
        Call::Revoke,
        Call::Me,
        Call::Initialize,
        Call::Append,
        Call::Finalize,
        Call::Status,
        Call::Metadata,
        Call::CreatePost,
        Call::Timeline,
    ] {
        assert!(exchanges.iter().any(|exchange| exchange.call == Some(call)), "{call:?}");
    }
    assert_eq!(violations(&openapi, &exchanges), Vec::<String>::new());
}

#[tokio::test]
async fn what_x_does_not_describe_is_found() {
    let Some(openapi) = published() else { return };
    let person = Person::linked().await;
    ask(person.get("/2/users/me"), 200).await;
    ask(person.create(json!({"text": "hello"})), 201).await;
    let good = person.sandbox.exchanges();
    let [me, post] = &good[1..] else { panic!("{good:?}") };
    let found = |exchange| violations(&openapi, &[exchange]).join("\n");

    let mut bad = me.clone();
    bad.query.push(("user.fields".to_owned(), "shoe_size".to_owned()));
    assert!(found(bad).contains("query user.fields"));
    let mut bad = me.clone();
    bad.query.push(("colour".to_owned(), "red".to_owned()));
    assert!(found(bad).contains("query colour is not described"));
    let mut bad = me.clone();
    bad.path = "/2/users/you".to_owned();
    assert!(found(bad).contains("is not described"));
    let mut bad = me.clone();
    bad.answer.as_mut().unwrap()["data"]["shoe_size"] = json!(44);
    assert!(found(bad).contains("'shoe_size' was unexpected"));
    let mut bad = post.clone();
    bad.sent = Sent::Json(json!({"text": "hello", "reply_settings": "everyone"}));
    assert!(found(bad).contains("request /reply_settings"));
    let mut bad = post.clone();
    bad.answer = Some(json!({"data": {"id": 12}}));
    assert!(found(bad).contains("answer /data"));
    let mut bad = post.clone();
    bad.status = Some(200);
    assert!(found(bad).contains("answer 200 is not described"));
}
