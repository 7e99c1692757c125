//! X, with one answer to every call.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use toall::{config, twitter};
use tokio::runtime::Runtime;

/// An answer: status, headers, body.
#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// The real client in front of an X that answers what it is told to.
pub struct X {
    pub runtime: Runtime,
    pub client: twitter::X,
    answer: Arc<Mutex<Answer>>,
}

impl X {
    pub fn start() -> X {
        let runtime = crate::runtime();
        let answer = Arc::new(Mutex::new(Answer::default()));
        let told = answer.clone();
        let url = runtime.block_on(crate::serve(Router::new().fallback(async move |request: Request| {
            // Read to its end, so that the connection can be used again.
            let _ = axum::body::to_bytes(request.into_body(), 1 << 20).await;
            told.lock().unwrap_or_else(PoisonError::into_inner).clone().into_response()
        })));
        let at = |path: &str| format!("{url}{path}").parse().expect("an address");
        let settings = config::Twitter {
            client_id: "client".to_owned(),
            client_secret: None,
            authorize_url: at("/i/oauth2/authorize"),
            api_url: at(""),
            web_url: at(""),
        };
        let client = twitter::X::new(&settings, at("/api/social/callback")).expect("settings that work");
        X { runtime, client, answer }
    }

    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
