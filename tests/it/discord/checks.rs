//! What Discord refuses to take, and what no message of ours may say.

use std::collections::HashSet;

use serde_json::Value;

/// Says what is wrong with a body that sends or edits a message.
pub fn message(body: &Value, flags_allowed: u64) -> Result<(), String> {
    let mentions = &body["allowed_mentions"];
    let empty = |name: &str| mentions[name].as_array().is_none_or(Vec::is_empty);
    if !mentions["parse"].is_array()
        || !["parse", "users", "roles"].into_iter().all(empty)
        || mentions["replied_user"] == true
    {
        return Err(format!("could ping somebody: {mentions}"));
    }
    let content = body["content"].as_str().unwrap_or_default();
    if content.trim().is_empty() {
        return Err("empty message".to_owned());
    }
    if content.encode_utf16().count() > 2000 {
        return Err("content: must be 2000 or fewer in length".to_owned());
    }
    if body["flags"].as_u64().unwrap_or(0) & !flags_allowed != 0 {
        return Err(format!("flags: {} not allowed", body["flags"]));
    }
    if body["nonce"].as_str().is_some_and(|nonce| nonce.len() > 25) {
        return Err("nonce: must be 25 or fewer in length".to_owned());
    }
    let rows = body["components"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.len() > 5 {
        return Err("components: more than 5 rows".to_owned());
    }
    let mut ids = HashSet::new();
    for row in rows {
        let buttons = row["components"].as_array().map_or(&[][..], Vec::as_slice);
        if row["type"] != 1 || !(1..=5).contains(&buttons.len()) {
            return Err("components: a row has 1 to 5 buttons".to_owned());
        }
        for button in buttons {
            check_button(button, &mut ids)?;
        }
    }
    Ok(())
}

fn check_button<'a>(button: &'a Value, ids: &mut HashSet<&'a str>) -> Result<(), String> {
    let length = |name: &str| button[name].as_str().map_or(0, |text| text.chars().count());
    if button["type"] != 2 || !(1..=80).contains(&length("label")) {
        return Err(format!("button: {button}"));
    }
    let link = button["url"].as_str().unwrap_or_default();
    let id = button["custom_id"].as_str().unwrap_or_default();
    match button["style"].as_u64() {
        Some(5) if link.starts_with("http") && (1..=512).contains(&link.len()) && id.is_empty() => Ok(()),
        Some(1..=4) if (1..=100).contains(&id.len()) && link.is_empty() && ids.insert(id) => Ok(()),
        _ => Err(format!("button: {button}")),
    }
}

/// Says what is wrong with a form of one text field.
pub fn form(body: &Value) -> Result<(), String> {
    let length = |thing: &Value| thing.as_str().map_or(0, |text| text.encode_utf16().count());
    let within = |thing: &Value, most: usize| (1..=most).contains(&length(thing));
    if !within(&body["title"], 45) || !within(&body["custom_id"], 100) {
        return Err(format!("form: {body}"));
    }
    let field = &body["components"][0]["components"][0];
    let most = field["max_length"].as_u64().unwrap_or(4_000);
    let style = field["style"].as_u64();
    if field["type"] != 4 || !matches!(style, Some(1 | 2)) || !within(&field["label"], 45) || most > 4_000 {
        return Err(format!("form: {field}"));
    }
    let value = &field["value"];
    match value.is_null() || within(value, usize::try_from(most).unwrap_or(0)) {
        true => Ok(()),
        false => Err(format!("form: {value}")),
    }
}

/// Says what is wrong with a bulk overwrite of commands.
pub fn commands(body: &Value) -> Result<(), String> {
    let commands = body.as_array().ok_or("commands: not a list")?;
    let mut names = HashSet::new();
    for command in commands {
        if command["type"] == 3 {
            let name = command["name"].as_str().unwrap_or_default();
            if !(1..=32).contains(&name.chars().count()) || command.get("description").is_some() {
                return Err(format!("menu: {command}"));
            }
            continue;
        }
        named(command)?;
        if !names.insert(command["name"].as_str()) {
            return Err(format!("command: named twice: {command}"));
        }
        let options = command["options"].as_array().map_or(&[][..], Vec::as_slice);
        let required: Vec<bool> = options.iter().map(|o| o["required"] == true).collect();
        if options.len() > 25 || !required.is_sorted_by(|a, b| a >= b) {
            return Err("options: at most 25, the required ones first".to_owned());
        }
        for option in options {
            named(option)?;
            if !(3..=11).contains(&option["type"].as_u64().unwrap_or(0)) {
                return Err(format!("option type: {option}"));
            }
        }
    }
    Ok(())
}

fn named(thing: &Value) -> Result<(), String> {
    let name = thing["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_alphanumeric() && !c.is_uppercase() || "-_'".contains(c);
    if !(1..=32).contains(&name.chars().count()) || !name.chars().all(plain) {
        return Err(format!("name: {thing}"));
    }
    let description = thing["description"].as_str().unwrap_or_default();
    if !(1..=100).contains(&description.chars().count()) {
        return Err(format!("description: {thing}"));
    }
    Ok(())
}
