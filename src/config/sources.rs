//! The file and the environment, laid one over the other, and what in them is no setting.

use std::{collections::BTreeMap, net::IpAddr};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{keys, parse::shorten, problem::Problem};

/// The log filter and the path of the configuration file; the command line reads them, and neither is a setting.
const NOT_SETTINGS: &[&str] = &["TOALL_LOG", "TOALL_CONFIG"];

/// Parses the text of the file.
///
/// # Errors
/// The first fault of syntax; what stands after it cannot be judged.
pub(super) fn parse(text: &str) -> Result<Dict, Problem> {
    // The error's own text would quote the line, and a secret with it; its message does not.
    Toml::from_str::<Dict>(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let message = error.message().trim().replace('\n', ", ");
        Problem::in_file(format!("line {line}, column {column}"), format!("is not TOML: {message}."))
    })
}

/// What in the file is no setting or section.
pub(super) fn unknown(dict: &Dict) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in dict {
        match value {
            _ if keys::find(name).is_some() => {}
            Value::Dict(_, section) if keys::sections().contains(&name.as_str()) => {
                problems.extend(section.keys().filter_map(|key| unknown_key(name, key)));
            }
            _ if keys::sections().contains(&name.as_str()) => problems.push(Problem::in_file(
                name,
                format!("is a section: write [{name}] on a line of its own, and its settings below."),
            )),
            Value::Dict(..) => problems.push(unknown_section(name)),
            _ => problems.push(unknown_top(name)),
        }
    }
    problems
}

fn unknown_key(section: &str, key: &str) -> Option<Problem> {
    let known = keys::within(section);
    if known.contains(&key) {
        return None;
    }
    let mend = match keys::nearest(key, known.iter().copied()) {
        Some(near) => format!("Did you mean {section}.{near}?"),
        None => match keys::nearest_key(key) {
            Some(elsewhere) => format!("Did you mean {elsewhere}?"),
            None => format!("[{section}] has {}.", known.join(", ")),
        },
    };
    Some(Problem::in_file(format!("{section}.{}", shorten(key)), format!("is not a setting. {mend}")))
}

fn unknown_section(name: &str) -> Problem {
    let mend = match keys::nearest(name, keys::sections()) {
        Some(near) => format!("Did you mean [{near}]?"),
        None => format!("The sections are {}.", keys::sections().join(", ")),
    };
    Problem::in_file(format!("[{}]", shorten(name)), format!("is not a section. {mend}"))
}

fn unknown_top(name: &str) -> Problem {
    let mend = match keys::nearest_key(name) {
        Some(near) => format!("Did you mean {near}?"),
        None => {
            "Above the first section stand public_url, data_dir and min_free; all else has a section.".into()
        }
    };
    Problem::in_file(shorten(name), format!("is not a setting. {mend}"))
}

/// The settings among the variables: key, then variable and value. An unknown `TOALL_` variable is a problem.
///
/// Without a file, `PORT` sets `web.listen`: hosting platforms that configure by environment alone choose the port.
pub(super) fn environment(
    variables: impl Iterator<Item = (String, String)>,
    without_file: bool,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'static str, (String, String)> {
    let variables: BTreeMap<String, String> = variables.collect();
    let mut given = BTreeMap::new();
    for (variable, value) in variables {
        if let Some(key) = keys::of_variable(&variable) {
            given.insert(key, (variable, value));
        } else if let Some(key) = keys::of_alias(&variable) {
            // Variables come in alphabetical order, so a TOALL_ one may already be there or replace this one later.
            given.entry(key).or_insert((variable, value));
        } else if variable == "PORT" && without_file {
            given.entry("web.listen").or_insert_with(|| (variable, format!("0.0.0.0:{}", value.trim())));
        } else if variable.starts_with("TOALL_")
            && !NOT_SETTINGS.contains(&variable.as_str())
            && !is_service_link(&variable, &value)
        {
            problems.push(unknown_variable(&variable));
        }
    }
    given
}

fn unknown_variable(variable: &str) -> Problem {
    let name = variable.strip_prefix("TOALL_").unwrap_or(variable);
    let known = keys::KEYS.iter().map(|(key, _)| key.replace('.', "__"));
    let mend = match keys::nearest(name, known) {
        Some(near) => format!("Did you mean {}?", keys::variable(&near)),
        None => "The names are TOALL_SECTION__KEY, as in TOALL_TWITTER__CLIENT_ID.".into(),
    };
    Problem::in_environment(shorten(variable), format!("is not a setting. {mend}"))
}

/// True for a variable that a kubelet injects because a Service is called `toall` or `toall-…` (Kubernetes
/// documentation, "Service", environment variables). Name and value must both fit, so that a misspelt setting such as
/// `TOALL_WEB_PORT=8080` is still reported.
fn is_service_link(variable: &str, value: &str) -> bool {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_protocol = |text: &str| ["tcp", "udp", "sctp"].contains(&text);
    let is_address = || {
        let parts =
            value.split_once("://").and_then(|(protocol, rest)| Some((protocol, rest.rsplit_once(':')?)));
        parts.is_some_and(|(protocol, (ip, port))| {
            is_protocol(protocol) && is_ip(ip.trim_matches(['[', ']'])) && is_port(port)
        })
    };
    if variable.ends_with("_SERVICE_HOST") {
        return is_ip(value);
    }
    if variable.ends_with("_SERVICE_PORT") || variable.contains("_SERVICE_PORT_") {
        return is_port(value);
    }
    if variable.ends_with("_PORT") && is_address() {
        return true;
    }
    // TOALL_PORT_8080_TCP, then perhaps _PROTO, _PORT or _ADDR.
    let Some((_, rest)) = variable.split_once("_PORT_") else { return false };
    let mut words = rest.split('_');
    let (number, protocol) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    is_port(number)
        && is_protocol(&protocol.to_lowercase())
        && match (words.next(), words.next()) {
            (None, _) => is_address(),
            (Some("PROTO"), None) => is_protocol(value),
            (Some("PORT"), None) => is_port(value),
            (Some("ADDR"), None) => is_ip(value),
            _ => false,
        }
}

/// Lays the environment over the file.
///
/// # Errors
/// In practice none: neither layer can fail to give its data.
pub(super) fn merge(
    file: Dict,
    environment: &BTreeMap<&'static str, (String, String)>,
) -> Result<Dict, String> {
    let mut variables = Dict::new();
    for (key, (_, value)) in environment {
        let value = Value::from(value.clone());
        match key.split_once('.') {
            None => drop(variables.insert((*key).into(), value)),
            Some((section, name)) => {
                let section = variables.entry(section.into()).or_insert_with(|| Dict::new().into());
                if let Value::Dict(_, section) = section {
                    section.insert(name.into(), value);
                }
            }
        }
    }
    let merged = Figment::from(Layer { name: "file", dict: file })
        .merge(Layer { name: "environment", dict: variables });
    let mut profiles = merged.data().map_err(|error| error.to_string())?;
    Ok(profiles.remove(&Profile::Default).unwrap_or_default())
}

struct Layer {
    name: &'static str,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}
