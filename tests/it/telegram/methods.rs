//! The Bot API's methods, in Telegram's words.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State as Held},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use url::{Host, Url};

use super::{
    BOT, TOKEN,
    state::{Call, Fault, Hook, Shared, State},
};

/// What a method says no with: status, description and parameters.
struct Refusal(u16, String, Value);

type Answer = Result<Value, Refusal>;

fn refuse<T>(code: u16, description: &str) -> Result<T, Refusal> {
    Err(Refusal(code, description.to_owned(), Value::Null))
}

fn bad<T>(description: &str) -> Result<T, Refusal> {
    refuse(400, &format!("Bad Request: {description}"))
}

/// Handles `/bot{token}/{method}` and `/file/bot{token}/{path}`.
pub async fn handle(Held(shared): Held<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let bot = format!("/bot{TOKEN}/");
    if let Some(path) = path.strip_prefix("/file").and_then(|rest| rest.strip_prefix(&bot)) {
        return download(&shared, path).await;
    }
    let Some(method) = path.strip_prefix(&bot).map(str::to_lowercase) else {
        return answer(refuse(401, "Unauthorized"));
    };
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = Call { method: method.clone(), body: body.clone() };
    shared.change(|state| state.calls.push(call));
    if let Some(failed) = fault(&shared, &method).await {
        return failed;
    }
    answer(match method.as_str() {
        "getupdates" => get_updates(&shared, &body).await,
        "sendmessage" | "editmessagetext" if !shared.change(State::takes_message) => {
            let parameters = json!({"retry_after": 1});
            Err(Refusal(429, "Too Many Requests: retry after 1".to_owned(), parameters))
        }
        _ => shared.change(|state| act(state, &method, &body)),
    })
}

fn answer(answer: Answer) -> Response {
    let (status, body) = match answer {
        Ok(result) => (200, json!({"ok": true, "result": result})),
        Err(Refusal(code, description, parameters)) => {
            let mut body = json!({"ok": false, "error_code": code, "description": description});
            if !parameters.is_null() {
                body["parameters"] = parameters;
            }
            (code, body)
        }
    };
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

async fn fault(shared: &Shared, method: &str) -> Option<Response> {
    let fault = shared.change(|state| {
        let at = state.faults.iter().position(|(of, _)| of == method)?;
        state.faults.remove(at)
    });
    Some(match fault?.1 {
        Fault::SlowDown(seconds) => {
            let parameters = json!({"retry_after": seconds});
            let description = format!("Too Many Requests: retry after {seconds}");
            answer(Err(Refusal(429, description, parameters)))
        }
        Fault::Refuse(code, description) => answer(refuse(code, description)),
        Fault::Hang => std::future::pending().await,
        Fault::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "<h1>oops</h1>").into_response(),
        Fault::Drop => {
            let broken = async {
                // The part before goes out first.
                tokio::task::yield_now().await;
                Err(io::Error::other("dropped"))
            };
            let begun = stream::iter([Ok(Bytes::from_static(b"{"))]);
            Body::from_stream(begun.chain(stream::once(broken))).into_response()
        }
        Fault::Long(result, blanks) => {
            let whole = json!({"ok": true, "result": result}).to_string();
            (whole + &" ".repeat(blanks)).into_response()
        }
        Fault::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    })
}

async fn download(shared: &Shared, path: &str) -> Response {
    if let Some(failed) = fault(shared, "download").await {
        return failed;
    }
    let found = shared.read(|state| {
        let file = state.files.values().find(|file| file.path == path);
        file.map(|file| file.bytes.clone())
    });
    match found {
        Some(bytes) => bytes.into_response(),
        None => answer(refuse(404, "Not Found")),
    }
}

async fn get_updates(shared: &Shared, body: &Value) -> Answer {
    const CONFLICT: &str =
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    const WEBHOOK: &str = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";
    if shared.read(|state| state.webhook.is_some()) {
        return refuse(409, WEBHOOK);
    }
    let mine = shared.change(|state| {
        let offset = body["offset"].as_i64().unwrap_or(0);
        state.updates = state.updates.split_off(&offset);
        state.poll += 1;
        state.poll
    });
    let limit = usize::try_from(body["limit"].as_u64().unwrap_or(100)).unwrap();
    let allowed = body["allowed_updates"].as_array();
    let wanted = |update: &&Value| {
        allowed.is_none_or(|kinds| kinds.iter().any(|kind| update.get(kind.as_str().unwrap()).is_some()))
    };
    let patience = Duration::from_secs(body["timeout"].as_u64().unwrap_or(0));
    let mut changes = shared.changes.subscribe();
    let polled = tokio::time::timeout(patience, async {
        loop {
            changes.borrow_and_update();
            let (updates, newest) = shared.read(|state| {
                let updates = state.updates.values().filter(wanted).take(limit);
                (updates.cloned().collect::<Vec<_>>(), state.poll)
            });
            if newest != mine {
                return refuse(409, CONFLICT);
            }
            if !updates.is_empty() {
                shared.change(|state| state.given += updates.len());
                return Ok(json!(updates));
            }
            changes.changed().await.unwrap();
        }
    });
    polled.await.unwrap_or(Ok(json!([])))
}

fn act(state: &mut State, method: &str, body: &Value) -> Answer {
    match method {
        "getme" => Ok(json!({
            "id": 110_201_543, "is_bot": true, "first_name": "Toall", "username": BOT,
            "can_join_groups": true, "can_read_all_group_messages": false,
            "supports_inline_queries": false, "has_main_web_app": false,
        })),
        "setmycommands" => Ok(json!(true)),
        "deletewebhook" => {
            state.webhook = None;
            Ok(json!(true))
        }
        "setwebhook" => set_webhook(state, body),
        "getwebhookinfo" => Ok(webhook_info(state)),
        "sendmessage" => send_message(state, body),
        "editmessagetext" => edit_message_text(state, body),
        "answercallbackquery" => {
            let id = body["callback_query_id"].as_str().unwrap_or_default();
            if state.queries.remove(id) {
                Ok(json!(true))
            } else {
                bad("query is too old and response timeout expired or query ID is invalid")
            }
        }
        "getchatmember" => get_chat_member(state, body),
        "getfile" => get_file(state, body),
        _ => refuse(404, "Not Found"),
    }
}

fn set_webhook(state: &mut State, body: &Value) -> Answer {
    let url = body["url"].as_str().unwrap_or_default();
    let secret = body["secret_token"].as_str().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if secret.len() > 256 || !secret.bytes().all(plain) {
        return bad("secret token contains unallowed characters");
    }
    // A local Bot API server takes http as well.
    if !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return bad("bad webhook: An HTTPS URL must be provided for webhook");
    }
    if !(1..=100).contains(&body["max_connections"].as_u64().unwrap_or(40)) {
        return bad("invalid max_connections");
    }
    state.webhook = Some(Hook { url: url.to_owned(), secret: secret.to_owned() });
    Ok(json!(true))
}

fn webhook_info(state: &State) -> Value {
    let mut info = json!({
        "url": state.webhook.as_ref().map_or("", |hook| hook.url.as_str()),
        "has_custom_certificate": false, "pending_update_count": state.updates.len(),
    });
    if let Some((_, status)) = state.brought.iter().rev().find(|(_, status)| !(200..300).contains(status)) {
        info["last_error_date"] = json!(1_767_323_045);
        info["last_error_message"] = json!(format!("Wrong response from the webhook: {status}"));
    }
    info
}

fn get_chat_member(state: &State, body: &Value) -> Answer {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let (Some(chat), Some(user)) = (number(&body["chat_id"]), number(&body["user_id"])) else {
        return bad("PARTICIPANT_ID_INVALID");
    };
    if state.shut.contains(&chat) {
        return refuse(403, "Forbidden: bot was kicked from the supergroup chat");
    }
    if !state.chats.contains_key(&chat) {
        return bad("chat not found");
    }
    let status = if state.left.contains(&(chat, user)) { "left" } else { "member" };
    Ok(json!({ "status": status, "user": { "id": user, "is_bot": false, "first_name": "Somebody" } }))
}

fn send_message(state: &mut State, body: &Value) -> Answer {
    let chat = writable(state, body)?;
    check_content(body)?;
    let mut message = json!({
        "date": 1_767_323_045,
        "from": {"id": 110_201_543, "is_bot": true, "first_name": "Toall", "username": BOT},
        "chat": if chat > 0 {
            json!({"id": chat, "type": "private", "first_name": "Somebody"})
        } else {
            json!({"id": chat, "type": "supergroup", "title": "Surf club"})
        },
    });
    if let Some(topic) = body["message_thread_id"].as_i64() {
        if !state.topics.contains(&(chat, topic)) {
            return bad("message thread not found");
        }
        message["message_thread_id"] = json!(topic);
        message["is_topic_message"] = json!(true);
    }
    let reply = &body["reply_parameters"];
    if let Some(id) = reply["message_id"].as_i64() {
        match state.message(chat, id) {
            Some(replied) => message["reply_to_message"] = replied.clone(),
            None if reply["allow_sending_without_reply"] == true => {}
            None => return bad("message to be replied not found"),
        }
    }
    set_content(&mut message, body);
    state.add_message(chat, &mut message);
    Ok(message)
}

fn edit_message_text(state: &mut State, body: &Value) -> Answer {
    let chat = writable(state, body)?;
    check_content(body)?;
    let id = body["message_id"].as_i64().unwrap_or(0);
    let Some(message) = state.message_mut(chat, id) else {
        return bad("message to edit not found");
    };
    if message["from"]["is_bot"] != true {
        return bad("message can't be edited");
    }
    let before = message.clone();
    set_content(message, body);
    if *message == before {
        return bad(
            "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
        );
    }
    Ok(message.clone())
}

fn get_file(state: &mut State, body: &Value) -> Answer {
    let id = body["file_id"].as_str().unwrap_or_default();
    let Some(file) = state.files.get(id) else {
        return bad("invalid file_id");
    };
    if state.local.is_none() && file.bytes.len() > 20 << 20 {
        return bad("file is too big");
    }
    Ok(json!({
        "file_id": id, "file_unique_id": "u", "file_size": file.bytes.len(), "file_path": file.path,
    }))
}

/// The chat that `body` names, if the bot may write there.
fn writable(state: &State, body: &Value) -> Result<i64, Refusal> {
    let chat = body["chat_id"].as_i64().unwrap_or(0);
    if let Some(to) = state.moved.get(&chat) {
        let description = "Bad Request: group chat was upgraded to a supergroup chat";
        let parameters = json!({"migrate_to_chat_id": to});
        return Err(Refusal(400, description.to_owned(), parameters));
    }
    if chat < 0 && state.shut.contains(&chat) {
        return refuse(403, "Forbidden: bot was kicked from the supergroup chat");
    }
    if state.shut.contains(&chat) {
        return refuse(403, "Forbidden: bot was blocked by the user");
    }
    match chat {
        1.. if state.opened.contains(&chat) => Ok(chat),
        1.. if state.met.contains(&chat) => {
            refuse(403, "Forbidden: bot can't initiate conversation with a user")
        }
        _ if chat < 0 && state.chats.contains_key(&chat) => Ok(chat),
        _ => bad("chat not found"),
    }
}

fn set_content(message: &mut Value, body: &Value) {
    let fields = message.as_object_mut().unwrap();
    for field in ["text", "entities", "reply_markup"] {
        match body.get(field) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
}

fn check_content(body: &Value) -> Result<(), Refusal> {
    let text = body["text"].as_str().unwrap_or_default();
    if text.trim().is_empty() {
        return bad("message text is empty");
    }
    if text.encode_utf16().count() > 4096 {
        return bad("message is too long");
    }
    let rows = body["reply_markup"]["inline_keyboard"].as_array();
    let buttons = rows.into_iter().flatten().filter_map(Value::as_array).flatten();
    for button in buttons {
        let data = button["callback_data"].as_str();
        if data.is_some_and(|data| data.is_empty() || data.len() > 64) {
            return bad("BUTTON_DATA_INVALID");
        }
        if button["url"].as_str().is_some_and(|url| !is_public(url)) {
            return bad("BUTTON_URL_INVALID");
        }
    }
    Ok(())
}

fn is_public(url: &str) -> bool {
    match Url::parse(url).unwrap().host() {
        Some(Host::Domain(name)) => name.contains('.'),
        Some(Host::Ipv4(ip)) => !ip.is_loopback(),
        Some(Host::Ipv6(ip)) => !ip.is_loopback(),
        None => false,
    }
}
