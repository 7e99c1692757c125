//! From a value as written to a value as used. Each error is the end of a sentence that begins with the setting's name.

use std::{net::SocketAddr, ops::RangeInclusive, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use secrecy::SecretString;
use url::{Host, Url};

use super::{OnUnsure, file};

/// Text in quotes.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(_, text) => Ok(text.clone()),
        _ => Err("must be text in quotes.".into()),
    }
}

/// An id or token as its issuer gave it, or the text of the file named by `file:PATH`. Never shown.
pub(super) fn credential(value: &Value) -> Result<String, String> {
    let text = text_or_file(value)?;
    match text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        true => Err("has a space or line break in it. Copy it again, whole and alone.".into()),
        false => Ok(text),
    }
}

/// A credential that stays hidden.
pub(super) fn secret(value: &Value) -> Result<SecretString, String> {
    credential(value).map(SecretString::from)
}

fn text_or_file(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let Some(path) = text.strip_prefix("file:") else {
        return Ok(text);
    };
    let content = file::read(Path::new(path))
        .map_err(|why| format!("names the file {path:?}, which could not be read: {why}."))?;
    match content.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("names the file {path:?}, which is empty. Write the secret into it.")),
        secret => Ok(secret.into()),
    }
}

/// Base64 of 32 bytes, kept as written.
pub(super) fn encryption_key(value: &Value) -> Result<SecretString, String> {
    let key = credential(value)?;
    match decode_key(&key) {
        Some(_) => Ok(key.into()),
        None => Err("is not base64 of 32 bytes. `openssl rand -base64 32` makes one.".into()),
    }
}

/// The 32 bytes of a key written in base64.
pub(super) fn decode_key(base64: &str) -> Option<[u8; 32]> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

/// What an address of PostgreSQL looks like.
const POSTGRES: &str = "postgres://USER:PASSWORD@HOST/DATABASE";

/// `sqlite:PATH` or `postgres://…`. Not shown in errors: database addresses may hold a password.
pub(super) fn database_url(value: &Value) -> Result<SecretString, String> {
    let url = text_or_file(value)?;
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return match Url::parse(&url) {
            Ok(_) if url.contains("://") => Ok(url.into()),
            _ => Err(format!(
                "is not an address such as {POSTGRES}. In a password, write @ as %40 and / as %2F."
            )),
        };
    }
    match url.strip_prefix("sqlite:").map(|rest| rest.trim_start_matches('/')) {
        Some(path) if path.starts_with(":memory:") => {
            Err("would forget every post at a restart. Use sqlite:PATH.".into())
        }
        Some(path) if !path.is_empty() => Ok(url.into()),
        _ => Err(format!("is not a database toall knows. Use sqlite:PATH or {POSTGRES}.")),
    }
}

/// An absolute http or https address, without query or fragment.
pub(super) fn url(value: &Value) -> Result<Url, String> {
    let text = text(value)?;
    let needed = "an address such as https://toall.example.org is needed.";
    let url = match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        // What stands before an @ may be a password.
        _ if text.contains('@') => return Err(format!("is not a web address; {needed}")),
        _ => return Err(format!("is {}; {needed}", show(value))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it. Leave them out.".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment (all from ? or #). Leave it out.".into());
    }
    Ok(url)
}

/// An IP address and port to listen on.
pub(super) fn listen(value: &Value) -> Result<SocketAddr, String> {
    text(value)?.parse().map_err(|_| {
        format!(
            "is {}; an IP address and port are needed, such as 127.0.0.1:8080, or 0.0.0.0:8080 for all.",
            show(value)
        )
    })
}

/// A path that can also stand in a database address.
pub(super) fn path(value: &Value) -> Result<String, String> {
    let path = text(value)?;
    match path.contains(['?', '%', '\0']) {
        true => Err(format!("is {}; a path without ? and % is needed.", show(value))),
        false => Ok(path),
    }
}

/// The name of a bucket or region.
pub(super) fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    match name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        true => Ok(name),
        false => Err(format!("is {}; a name of letters, digits, dots and dashes is needed.", show(value))),
    }
}

/// A whole number within bounds; from the environment it comes as text.
pub(super) fn whole(range: RangeInclusive<u32>) -> impl FnOnce(&Value) -> Result<u32, String> {
    move |value| {
        let number = match value {
            Value::Num(_, number) => number.to_i128().and_then(|number| u32::try_from(number).ok()),
            Value::String(_, text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            format!("is {}; a whole number from {} to {} is needed.", show(value), range.start(), range.end())
        })
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(_, bool) => Some(*bool),
        Value::String(_, text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| format!("is {}; true or false is needed.", show(value)))
}

/// What to do about a post in doubt.
pub(super) fn on_unsure(value: &Value) -> Result<OnUnsure, String> {
    match text(value)?.as_str() {
        "ask" => Ok(OnUnsure::Ask),
        "retry" => Ok(OnUnsure::Retry),
        _ => Err(format!("is {}; \"ask\" or \"retry\" is needed.", show(value))),
    }
}

/// Hosts, each with or without a port, in the form in which `Url` gives them.
pub(super) fn hosts(value: &Value) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Array(_, list) => list.iter().map(text).collect::<Result<_, _>>()?,
        _ => split(&text(value)?)?,
    };
    if list.is_empty() {
        return Err("names no host, so no video could be fetched. Name one, or remove the line.".into());
    }
    list.iter().map(|entry| host(entry)).collect()
}

/// A list in one text, as the environment gives it: a JSON or TOML array, or words between commas.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Ok(text.split(',').map(|entry| entry.trim().to_owned()).collect());
    }
    let fault = || "is not a list; write it as a,b or [\"a\", \"b\"].".to_owned();
    match Toml::from_str::<Dict>(&format!("list = {text}")).map_err(|_| fault())?.get("list") {
        Some(Value::Array(_, list)) => list.iter().map(self::text).collect(),
        _ => Err(fault()),
    }
}

fn host(entry: &str) -> Result<String, String> {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse::<u16>().ok())),
        _ => (entry, None),
    };
    let plain = |host: &Host| match host {
        Host::Domain(name) => name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
        _ => true,
    };
    match (Host::parse(host).ok().filter(plain), port) {
        (Some(host), None) => Ok(host.to_string()),
        (Some(host), Some(Some(port))) => Ok(format!("{host}:{port}")),
        _ => Err(format!(
            "has {}; a host such as cdn.example.org, or host:port, is needed, without http:// or a path.",
            quote(entry)
        )),
    }
}

/// A value as an error shows it: on one line, and not endless.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => quote(text),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .unwrap_or_else(|| "a number".into()),
        Value::Array(..) => "a list".into(),
        // A date is a Dict too; TOML makes neither of the other two.
        Value::Dict(..) | Value::Char(..) | Value::Empty(..) => "no plain value".into(),
    }
}

/// Text from outside in quotes, on one line, cut after 40 characters.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", shorten(text))
}

/// Text from outside on one line, cut after 40 characters.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect::<String>().escape_debug().to_string();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}
