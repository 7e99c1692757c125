//! `config.example.toml` keeps step with the settings there are.

use std::{collections::BTreeSet, fs};

use figment::value::Value;

use super::*;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// The example with the `#` before every setting and section removed.
fn uncommented() -> String {
    let is_prose = |rest: &str| rest.is_empty() || rest.starts_with([' ', '#']);
    EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !is_prose(rest)).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_example_lists_every_setting_with_its_default() {
    let dict = sources::parse(&uncommented()).unwrap();
    let mut listed = BTreeSet::new();
    for (name, value) in &dict {
        match value {
            Value::Dict(_, section) => listed.extend(section.keys().map(|key| format!("{name}.{key}"))),
            _ => drop(listed.insert(name.clone())),
        }
    }
    let known: BTreeSet<_> = keys::KEYS.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(listed, known);

    for (key, absent) in keys::KEYS {
        let keys::Absent::Default(default) = absent else {
            continue;
        };
        let shown = match Value::from(dict.clone()).find(key).unwrap() {
            Value::String(_, text) => text,
            Value::Bool(_, value) => value.to_string(),
            Value::Num(_, number) => match number.to_i128() {
                Some(whole) => whole.to_string(),
                None => format!("{:.2}", number.to_f64().unwrap()),
            },
            Value::Array(_, list) => {
                list.iter().map(|entry| entry.as_str().unwrap()).collect::<Vec<_>>().join(", ")
            }
            other => panic!("{key} is {other:?}"),
        };
        assert_eq!(shown, *default, "{key}");
    }
}

#[test]
fn the_example_explains_every_setting_on_the_line_above() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].starts_with('#') && !pair[1].starts_with("# ") && pair[1].contains(" = ") {
            assert!(pair[0].starts_with("# "), "{} has no comment above", pair[1]);
        }
    }
}

#[test]
fn the_example_loads_as_it_is_and_uncommented() {
    let as_it_is = load_with_id(EXAMPLE, &[]).unwrap();
    assert!(as_it_is.discord.is_none() && as_it_is.staging.is_none());

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("toall.key"), KEY).unwrap();
    fs::write(dir.path().join("former.key"), "HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4=").unwrap();
    let text = uncommented().replace("file:data/", &format!("file:{}/", dir.path().display()));
    let config = load(&text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.discord.is_some() && config.telegram.is_some() && config.metrics.is_some());
    assert!(config.staging.unwrap().force_path_style);
}
