//! The HTTP API, used as a program uses it.

mod bounded;
mod described;
mod documented;
mod following;
mod limits;
mod localstack;
mod moto;
mod refused;
mod resumed;
mod sent;
mod tokens;

use std::path::Path;

use reqwest::{Method, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use toall::{
    chat::Ask,
    sandbox::{Call, Effect, Fault, Gate, Ordered},
};

use crate::world::{World, browser};

/// A program with a token of a person's.
pub struct Program {
    base: String,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl World {
    /// A program that acts for this person, with a token they made in chat.
    pub async fn program(&self, name: &str) -> Program {
        self.ask(name, Ask::Token { name: "tests".to_owned() }).await;
        let said = self.last_text(name);
        let token = said.lines().find(|line| line.starts_with("toall_")).unwrap_or_else(|| panic!("{said}"));
        Program { base: self.config.public_url.to_string(), token: token.to_owned() }
    }

    /// Keeps X from doing the next thing of this kind until the gate is opened; the other tells whether it was asked.
    pub fn hold(&self, call: Call) -> (Gate, Ordered) {
        let gate = Gate::closed();
        let held = self.x.order(Fault::on(call, Effect::Hold(gate.clone())));
        (gate, held)
    }

    /// As programs name the account of this X user.
    pub fn account_id(&self, x_user: &str) -> String {
        let users = self.x.users();
        let user = users.iter().find(|user| user.username == x_user).unwrap();
        format!("twitter:{}", user.id)
    }
}

impl Program {
    fn at(&self, path: &str) -> String {
        format!("{}api/social/{path}", self.base)
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        browser().request(method, self.at(path)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    /// Sends a file in one piece and returns its key.
    pub async fn send(&self, file: &Path) -> String {
        let bytes = std::fs::read(file).unwrap();
        let wanted = json!({"filename": "surf.mp4", "content_type": "video/mp4", "size": bytes.len()});
        let begun = self.post("upload-url", wanted).await.ok();
        let put = put(&begun, bytes).await;
        assert_eq!(put.status(), StatusCode::OK, "{}", put.text().await.unwrap());
        begun["s3_key"].as_str().unwrap().to_owned()
    }

    /// Posts a file to one account and returns the request's id.
    pub async fn publish(&self, file: &Path, caption: &str, account: &str) -> String {
        let key = self.send(file).await;
        let posted =
            self.post("post", json!({"s3_key": key, "caption": caption, "account_ids": [account]})).await;
        assert_eq!(posted.status, StatusCode::ACCEPTED, "{posted:?}");
        posted.body["request_id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    async fn of(response: Response) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        if !status.is_success() {
            assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{status} {text}");
        }
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        Answer { status, body }
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body
    }

    /// A refusal with this code, which says what happened and what to do.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        for member in ["title", "detail", "remedy"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        self.body["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes where an upload was told to go.
pub async fn put(begun: &Value, bytes: Vec<u8>) -> Response {
    let mut request = browser().put(begun["upload_url"].as_str().unwrap());
    for (name, value) in begun["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(bytes).send().await.unwrap()
}
