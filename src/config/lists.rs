//! Who may, and how much: from values as written to people, groups, bytes and money.

use std::net::IpAddr;

use figment::value::Value;
use ipnet::IpNet;

use super::parse::{quote, show, split, text};
use crate::{
    account::{Group, PersonRef, Platform},
    post::Mills,
};

/// Ids of servers, roles or chats: whole numbers, in quotes or not.
pub(super) fn groups(group: fn(String) -> Group) -> impl FnOnce(&Value) -> Result<Vec<Group>, String> {
    move |value| {
        let ids = list(value)?;
        let ids = ids.into_iter().map(|id| match is_id(id.strip_prefix('-').unwrap_or(&id)) {
            true => Ok(group(id)),
            false => Err(format!("has {}; an id such as 123456789 is needed, not a name.", quote(&id))),
        });
        ids.collect()
    }
}

/// People as `discord:1234` or `telegram:5678`.
pub(super) fn people(value: &Value) -> Result<Vec<PersonRef>, String> {
    let person = |entry: String| {
        let parts = entry.split_once(':').filter(|(_, id)| is_id(id));
        let named = parts.and_then(|(platform, id)| {
            let platform = platform.parse().ok().filter(|platform| *platform != Platform::Console)?;
            Some(PersonRef { platform, id: id.to_owned() })
        });
        named.ok_or_else(|| {
            format!(
                "has {}; discord: or telegram: and the person's id is needed, as in discord:123456789.",
                quote(&entry)
            )
        })
    };
    list(value)?.into_iter().map(person).collect()
}

fn list(value: &Value) -> Result<Vec<String>, String> {
    let entry = |value: &Value| match value {
        Value::Num(_, number) => {
            number.to_i128().map(|id| id.to_string()).ok_or_else(|| text(value).unwrap_err())
        }
        value => text(value).map(|entry| entry.trim().to_owned()),
    };
    let list = match value {
        Value::Array(_, list) => list.iter().map(entry).collect::<Result<Vec<_>, _>>()?,
        Value::Num(..) => vec![entry(value)?],
        value => split(&text(value)?)?,
    };
    match list.is_empty() {
        true => Err("names nobody. Name somebody, or remove the line.".into()),
        false => Ok(list),
    }
}

/// Digits that fit 64 bits: what both chats use.
fn is_id(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit()) && id.parse::<u64>().is_ok_and(|id| id > 0)
}

/// Networks such as `10.0.0.0/8`, or single addresses. The list may be empty.
pub(super) fn networks(value: &Value) -> Result<Vec<IpNet>, String> {
    let entries = match value {
        Value::Array(_, list) => list.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        value => split(&text(value)?)?,
    };
    let network = |entry: String| {
        let entry = entry.trim();
        let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            format!("has {}; an address or a network such as 10.0.0.0/8 is needed.", quote(entry))
        })
    };
    entries.into_iter().map(network).collect()
}

/// A limit that `parse` reads, or the word `"none"`.
pub(super) fn limit<T>(
    parse: impl FnOnce(&Value) -> Result<T, String>,
) -> impl FnOnce(&Value) -> Result<Option<T>, String> {
    move |value| match value.as_str() {
        Some(word) if word.trim().eq_ignore_ascii_case("none") => Ok(None),
        _ => parse(value).map(Some).map_err(|fault| format!("{fault} \"none\" means no limit.")),
    }
}

/// A number of bytes of at least one, or with a unit: `"500 MB"`, `"2 GB"`.
pub(super) fn bytes(value: &Value) -> Result<u64, String> {
    match space(value) {
        Ok(0) | Err(_) => Err(no_size(value)),
        size => size,
    }
}

/// As [`bytes()`], or none.
pub(super) fn space(value: &Value) -> Result<u64, String> {
    let number = match value {
        Value::Num(_, number) => number.to_i128().and_then(|number| u64::try_from(number).ok()),
        Value::String(_, text) => with_unit(text),
        _ => None,
    };
    number.filter(|number| *number <= 1 << 50).ok_or_else(|| no_size(value))
}

fn no_size(value: &Value) -> String {
    format!("is {}; a size such as \"500 MB\" or \"2 GB\" is needed.", show(value))
}

fn with_unit(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim().to_ascii_uppercase().as_str() {
        "" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// An amount of US dollars, to the tenth of a cent: `25`, `12.50`, `"12.50"`. Taken digit by digit, never as a float.
pub(super) fn usd(value: &Value) -> Result<Mills, String> {
    let written = match value {
        Value::String(_, text) => Some(text.trim().trim_start_matches('$').to_owned()),
        // The shortest text that reads back as the same number: what was written.
        Value::Num(_, number) => {
            number.to_i128().map(|n| n.to_string()).or_else(|| number.to_f64().map(|n| n.to_string()))
        }
        _ => None,
    };
    let mills = written.as_deref().and_then(mills).filter(|mills| (1..=1_000_000_000).contains(mills));
    mills.map(Mills).ok_or_else(|| {
        format!("is {}; an amount such as 25 or 12.50 is needed, to the tenth of a cent.", show(value))
    })
}

fn mills(text: &str) -> Option<u64> {
    let (dollars, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(dollars) || !digits(rest) || rest.len() > 3 {
        return None;
    }
    let rest: u64 = format!("{rest:0<3}").parse().ok()?;
    dollars.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(rest)
}
