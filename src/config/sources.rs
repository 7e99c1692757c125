//! The file and the environment, laid one over the other, and what in them is no setting.

use std::collections::BTreeMap;

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{keys, parse::shorten, problem::Problem};

/// The variable that sets the log filter; read by `cli`, not a setting of the file.
const NOT_SETTINGS: &[&str] = &["TOALL_LOG"];

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
        None => "Above the first section stand public_url and data_dir; all else has a section.".into(),
    };
    Problem::in_file(shorten(name), format!("is not a setting. {mend}"))
}

/// The settings among the variables: key, then variable and value. An unknown `TOALL_` variable is a problem.
pub(super) fn environment(
    variables: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'static str, (String, String)> {
    let variables: BTreeMap<String, String> = variables.collect();
    let in_kubernetes = variables.contains_key("KUBERNETES_SERVICE_HOST");
    let mut given = BTreeMap::new();
    for (variable, value) in variables {
        if let Some(key) = keys::of_variable(&variable) {
            given.insert(key, (variable, value));
        } else if let Some(key) = keys::of_alias(&variable) {
            // Variables come in alphabetical order: a TOALL_ one is already there.
            given.entry(key).or_insert((variable, value));
        } else if variable.starts_with("TOALL_")
            && !NOT_SETTINGS.contains(&variable.as_str())
            && !(in_kubernetes && is_service_link(&variable))
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

/// Whether Kubernetes made this variable, because a service is called `toall` or `toall-…`
/// (Kubernetes documentation, "Service", environment variables).
fn is_service_link(variable: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|end| variable.ends_with(end))
        || ["_SERVICE_PORT_", "_PORT_"].iter().any(|middle| variable.contains(middle))
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
