//! From `config.toml` and the environment to a [`Config`], or to every problem there is with them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::value::{Dict, Value};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Access, Config, Database, Discord, Limits, Metrics, OnUnsure, Security, Staging, Telegram, Twitter, Web,
    Worker, chat_mode, file,
    keys::{self, Absent},
    lists, parse,
    problem::{ConfigErrors, Problem},
    sources,
};
use crate::account::Group;

/// Parameters of the Parameter Store by their names, each with its value or the end of a sentence that says why there
/// is none.
pub type Parameters = HashMap<String, Result<SecretString, String>>;

impl Config {
    /// Reads the file, lays the environment over it and checks every setting. None may be kept in a Parameter Store:
    /// for those see [`Settings`].
    ///
    /// # Errors
    /// As [`Settings::read`] and [`Settings::check`].
    pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigErrors> {
        Settings::read(Some(path), env)?.check(Parameters::new())
    }
}

/// The settings as given: read, and not looked at yet.
pub struct Settings {
    /// `None` when the environment is the only source.
    file: Option<String>,
    values: Dict,
    variables: BTreeMap<&'static str, (String, String)>,
    problems: Vec<Problem>,
}

impl Settings {
    /// Reads the file, if there is one, and lays the environment over it: `env` is as in [`super::environment`], and a
    /// variable wins.
    ///
    /// # Errors
    /// When the file cannot be read or is not TOML.
    pub fn read(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, ConfigErrors> {
        let file = path.map(|path| path.display().to_string());
        let errors = |problems| ConfigErrors { file: file.clone(), problems, temporary: false };
        let mut problems = Vec::new();
        let variables = sources::environment(env, path.is_none(), &mut problems);
        let mut dict = Dict::new();
        if let Some(path) = path {
            let text = file::read(path).map_err(|why| {
                let mend = match path.exists() {
                    true => "",
                    false => " `toall init` writes one to start from.",
                };
                let fault = format!("could not be read: {why}.{mend}");
                errors(vec![Problem::in_file("the file", fault)])
            })?;
            dict = match sources::parse(&text) {
                Ok(dict) => dict,
                Err(problem) => {
                    problems.insert(0, problem);
                    return Err(errors(problems));
                }
            };
        }
        problems.splice(0..0, sources::unknown(&dict));
        let values = match sources::merge(dict, &variables) {
            Ok(values) => values,
            Err(error) => {
                return Err(errors(vec![Problem::in_file(
                    "the file",
                    format!("could not be read: {error}."),
                )]));
            }
        };
        Ok(Settings { file, values, variables, problems })
    }

    /// The names of the parameters that settings are kept in, given as `ssm:NAME`.
    pub fn parameters(&self) -> BTreeSet<String> {
        let sections = self.values.values().filter_map(Value::as_dict).flat_map(BTreeMap::values);
        let texts = self.values.values().chain(sections).filter_map(Value::as_str);
        texts.filter_map(parameter).map(str::to_owned).collect()
    }

    /// Reads `web.listen` alone, so that a health check does not need the rest to be in order.
    ///
    /// # Errors
    /// When it is not an address.
    pub fn web_listen(self) -> Result<SocketAddr, ConfigErrors> {
        let Settings { file, values, variables, .. } = self;
        let mut reader = Reader {
            values,
            variables,
            without_file: file.is_none(),
            parameters: Parameters::new(),
            problems: Vec::new(),
            temporary: false,
        };
        let listen = reader.required("web.listen", parse::listen);
        listen.ok_or(ConfigErrors { file, problems: reader.problems, temporary: false })
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// Every problem at once: unknown names, missing settings, values that cannot work, secret files and parameters that
    /// cannot be read.
    pub fn check(self, parameters: Parameters) -> Result<Config, ConfigErrors> {
        let Settings { file, values, variables, problems } = self;
        let without_file = file.is_none();
        let mut reader = Reader { values, variables, without_file, parameters, problems, temporary: false };
        match config(&mut reader) {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigErrors { file, problems: reader.problems, temporary: reader.temporary }),
        }
    }
}

/// The name of the parameter that a setting is kept in.
pub fn parameter(text: &str) -> Option<&str> {
    text.strip_prefix("ssm:")
}

/// A database's address that is given as `database.url` is: itself, or `file:PATH`, or `ssm:NAME`.
///
/// # Errors
/// The end of a sentence that says what is wrong with it; a password is not in it.
pub fn database_address(given: &str, parameters: &Parameters) -> Result<SecretString, String> {
    let kept = match parameter(given) {
        None => return parse::database_url(&Value::from(given)),
        Some(name) => parameters.get(name),
    };
    match kept {
        Some(Ok(kept)) => {
            parse::database_url(&Value::from(kept.expose_secret().trim_end_matches(['\r', '\n'])))
        }
        Some(Err(why)) => Err(format!("is kept in a parameter that could not be read: {why}.")),
        None => Err("is kept in a parameter that was not asked for.".to_owned()),
    }
}

/// Takes settings out of the merged sources, noting every problem on the way.
///
/// Its methods give `None` once they have noted one, so that reading goes on to the next setting.
struct Reader {
    values: Dict,
    variables: BTreeMap<&'static str, (String, String)>,
    without_file: bool,
    parameters: Parameters,
    problems: Vec<Problem>,
    /// A parameter could not be fetched, which may work at the next start.
    temporary: bool,
}

impl Reader {
    fn has_section(&self, section: &str) -> bool {
        matches!(self.values.get(section), Some(Value::Dict(..)))
    }

    fn find(&self, key: &str) -> Option<Value> {
        match key.split_once('.') {
            None => self.values.get(key).cloned(),
            Some((section, name)) => match self.values.get(section) {
                Some(Value::Dict(_, section)) => section.get(name).cloned(),
                _ => None,
            },
        }
    }

    /// A setting that is given or has a default.
    fn required<T>(&mut self, key: &str, parse: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let value = self.optional(key, parse)?;
        if value.is_none() {
            self.problem(key, "is missing.");
        }
        value
    }

    /// A setting that may be absent: `Some(None)`.
    fn optional<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let absent = keys::when_absent(key);
        let value = match (self.find(key), absent) {
            (Some(value), _) => value,
            (None, Absent::Default(text)) => Value::from(text),
            (None, Absent::Nothing) => return Some(None),
            (None, Absent::Problem(mend)) => {
                self.problem(key, format!("is missing. {mend}"));
                return None;
            }
        };
        let name = value.as_str().and_then(parameter).map(str::to_owned);
        let value = match &name {
            None => value,
            Some(name) => match self.parameters.get(name) {
                Some(Ok(kept)) => Value::from(kept.expose_secret().trim_end_matches(['\r', '\n'])),
                Some(Err(why)) => {
                    let fault = format!(
                        "is kept in the parameter {}, which could not be read: {why}.",
                        parse::quote(name)
                    );
                    self.temporary = true;
                    self.problem(key, fault);
                    return None;
                }
                None => {
                    self.problem(key, "is kept in a Parameter Store, which was not asked.");
                    return None;
                }
            },
        };
        let parsed = match &value {
            Value::String(_, text) if text.trim().is_empty() => Err(match absent {
                Absent::Problem(mend) => format!("is empty. {mend}"),
                _ => "is empty. Give it a value, or remove it.".into(),
            }),
            value => parse(value).map_err(|fault| match &name {
                None => fault,
                // Whatever is in a Parameter Store may be a secret, and a fault may quote it.
                Some(name) => format!(
                    "does not take the value of the parameter {}. Look at it there: config.example.toml says what is needed.",
                    parse::quote(name)
                ),
            }),
        };
        parsed.map(Some).map_err(|fault| self.problem(key, fault)).ok()
    }

    fn problem(&mut self, key: &str, fault: impl Into<String>) {
        self.problems.push(match self.variables.get(key) {
            Some((variable, _)) => Problem::in_environment(variable, fault),
            None if self.without_file => Problem::in_environment(keys::variable(key), fault),
            None => Problem::in_file(key, fault),
        });
    }
}

fn web(reader: &mut Reader) -> Option<Web> {
    let listen = reader.required("web.listen", parse::listen);
    let trusted_proxies = reader.required("web.trusted_proxies", lists::networks);
    Some(Web { listen: listen?, trusted_proxies: trusted_proxies? })
}

/// Each section is read before the first `?`, so that no problem hides another.
fn config(reader: &mut Reader) -> Option<Config> {
    let public_url = reader.required("public_url", parse::url);
    let data_dir = reader.required("data_dir", parse::path);
    let min_free = reader.required("min_free", lists::space);
    let web = web(reader);
    let metrics = section(reader, "metrics", metrics);
    if let (Some(web), Some(Some(metrics))) = (&web, &metrics)
        && web.listen == metrics.listen
        && web.listen.port() != 0
    {
        reader.problem("metrics.listen", "is the same as web.listen. Choose another port.");
    }
    let database = reader.optional("database.url", parse::database_url);
    let max_connections = reader.required("database.max_connections", parse::whole(2..=1_000));
    let retention_days = reader.required("database.retention_days", parse::whole(35..=36_500));
    let encryption_key = reader.optional("security.encryption_key", parse::encryption_key);
    let former_encryption_key = reader.optional("security.former_encryption_key", parse::encryption_key);
    if let (Some(present), Some(Some(former))) = (&encryption_key, &former_encryption_key)
        && let Some(fault) = unfit_former_key(present.as_ref(), former)
    {
        reader.problem("security.former_encryption_key", fault);
    }
    let discord = section(reader, "discord", discord);
    let telegram = section(reader, "telegram", telegram);
    if let (Some(public_url), Some(Some(discord))) = (&public_url, &discord)
        && let Some(fault) = chat_mode::unfit_for_discord(discord, public_url)
    {
        reader.problem("discord.mode", fault);
    }
    if let (Some(public_url), Some(Some(telegram))) = (&public_url, &telegram)
        && let Some(fault) = chat_mode::unfit_for_telegram(telegram, public_url)
    {
        reader.problem("telegram.mode", fault);
    }
    let twitter = twitter(reader);
    let staging = section(reader, "staging", staging);
    let worker = worker(reader);
    let access = access(reader);
    let limits = limits(reader);
    let data_dir = data_dir?;
    let url = database?.unwrap_or_else(|| SecretString::from(format!("sqlite:{data_dir}/toall.db")));
    Some(Config {
        public_url: public_url?,
        data_dir: PathBuf::from(data_dir),
        min_free: min_free?,
        web: web?,
        metrics: metrics?,
        database: Database { url, max_connections: max_connections?, retention_days: retention_days? },
        security: Security { encryption_key: encryption_key?, former_encryption_key: former_encryption_key? },
        discord: discord?,
        telegram: telegram?,
        twitter: twitter?,
        staging: staging?,
        worker: worker?,
        access: access?,
        limits: limits?,
    })
}

/// Why a former key cannot be one beside the present key, so that nobody takes their key for changed.
fn unfit_former_key(present: Option<&SecretString>, former: &SecretString) -> Option<&'static str> {
    let decoded = |key: &SecretString| parse::decode_key(key.expose_secret());
    match present {
        None => Some("is given without security.encryption_key. Put the new key there, or remove this one."),
        Some(present) if decoded(present) == decoded(former) => {
            Some("is the same key as security.encryption_key. Put a new one there, or remove this one.")
        }
        Some(_) => None,
    }
}

/// A section whose absence means off.
fn section<T>(
    reader: &mut Reader,
    name: &str,
    read: impl FnOnce(&mut Reader) -> Option<T>,
) -> Option<Option<T>> {
    match reader.has_section(name) {
        true => read(reader).map(Some),
        false => Some(None),
    }
}

fn metrics(reader: &mut Reader) -> Option<Metrics> {
    let listen = reader.required("metrics.listen", parse::listen)?;
    Some(Metrics { listen })
}

fn discord(reader: &mut Reader) -> Option<Discord> {
    let token = reader.required("discord.token", parse::secret);
    let api_url = reader.required("discord.api_url", parse::url);
    let media_hosts = reader.required("discord.media_hosts", parse::hosts);
    let mode = reader.required("discord.mode", chat_mode::discord_mode);
    Some(Discord { token: token?, api_url: api_url?, media_hosts: media_hosts?, mode: mode? })
}

fn telegram(reader: &mut Reader) -> Option<Telegram> {
    let token = reader.required("telegram.token", parse::secret);
    let api_url = reader.required("telegram.api_url", parse::url);
    let mode = reader.required("telegram.mode", chat_mode::telegram_mode);
    Some(Telegram { token: token?, api_url: api_url?, mode: mode? })
}

fn twitter(reader: &mut Reader) -> Option<Twitter> {
    let client_id = reader.required("twitter.client_id", parse::credential);
    let client_secret = reader.optional("twitter.client_secret", parse::secret);
    let authorize_url = reader.required("twitter.authorize_url", parse::url);
    let api_url = reader.required("twitter.api_url", parse::url);
    let web_url = reader.required("twitter.web_url", parse::url);
    Some(Twitter {
        client_id: client_id?,
        client_secret: client_secret?,
        authorize_url: authorize_url?,
        api_url: api_url?,
        web_url: web_url?,
    })
}

fn staging(reader: &mut Reader) -> Option<Staging> {
    let endpoint_url = reader.optional("staging.endpoint_url", parse::url);
    let bucket = reader.required("staging.bucket", parse::name);
    let region = reader.required("staging.region", parse::name);
    let access_key_id = reader.optional("staging.access_key_id", parse::credential);
    let secret_access_key = reader.optional("staging.secret_access_key", parse::secret);
    let force_path_style = reader.optional("staging.force_path_style", parse::boolean);
    let alone = match (&access_key_id, &secret_access_key) {
        (Some(Some(_)), Some(None)) => Some(("staging.secret_access_key", "staging.access_key_id")),
        (Some(None), Some(Some(_))) => Some(("staging.access_key_id", "staging.secret_access_key")),
        _ => None,
    };
    if let Some((missing, given)) = alone {
        let fault = format!(
            "is missing beside {given}. Give both, or neither for the standard AWS credential chain."
        );
        reader.problem(missing, fault);
    }
    let endpoint_url = endpoint_url?;
    Some(Staging {
        bucket: bucket?,
        region: region?,
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        // A bucket in front of the host needs a wildcard name, which S3 servers of one's own rarely have.
        force_path_style: force_path_style?.unwrap_or(true),
        endpoint_url,
    })
}

/// Least time to settle before a post is made again without asking, in seconds: longer than a creation takes.
const RETRY_SETTLES: u32 = 25;

fn worker(reader: &mut Reader) -> Option<Worker> {
    let concurrency = reader.required("worker.concurrency", parse::whole(1..=64));
    let transfers = reader.required("worker.transfers", parse::whole(1..=64));
    let upload_parallelism = reader.required("worker.upload_parallelism", parse::whole(1..=16));
    let on_unsure = reader.required("worker.on_unsure", parse::on_unsure);
    let settle_secs = reader.required("worker.settle_secs", parse::whole(0..=3600));
    if on_unsure == Some(OnUnsure::Retry) && settle_secs.is_some_and(|secs| secs < RETRY_SETTLES) {
        let fault = format!(
            "must be at least {RETRY_SETTLES} with on_unsure = \"retry\": a post that X is still making would be made twice."
        );
        reader.problem("worker.settle_secs", fault);
    }
    Some(Worker {
        concurrency: concurrency? as usize,
        transfers: transfers? as usize,
        upload_parallelism: upload_parallelism? as usize,
        on_unsure: on_unsure?,
        settle_secs: settle_secs?.into(),
    })
}

fn access(reader: &mut Reader) -> Option<Access> {
    let open = reader.required("access.open", parse::boolean);
    let servers = reader.optional("access.discord_servers", lists::groups(Group::DiscordServer));
    let roles = reader.optional("access.discord_roles", lists::groups(Group::DiscordRole));
    let chats = reader.optional("access.telegram_chats", lists::groups(Group::TelegramChat));
    let people = reader.optional("access.people", lists::people);
    let operators = reader.optional("access.operators", lists::people);
    let blocked = reader.optional("access.blocked", lists::people);
    let groups = [servers?, roles?, chats?].into_iter().flatten().flatten().collect();
    let blocked = blocked?.unwrap_or_default();
    let mut operators = operators?.unwrap_or_default();
    operators.retain(|operator| !blocked.contains(operator));
    Some(Access { open: open?, groups, people: people?.unwrap_or_default(), operators, blocked })
}

fn limits(reader: &mut Reader) -> Option<Limits> {
    let posts = reader.required("limits.posts_per_person_per_day", lists::limit(parse::whole(1..=1_000_000)));
    let bytes = reader.required("limits.bytes_per_person_per_day", lists::limit(lists::bytes));
    let in_flight = reader.required("limits.in_flight_per_person", lists::limit(parse::whole(1..=10_000)));
    let budget = reader.required("limits.monthly_budget_usd", lists::limit(lists::usd));
    let connections =
        reader.required("limits.connections_per_person_per_hour", lists::limit(parse::whole(1..=10_000)));
    Some(Limits {
        posts_per_person_per_day: posts?,
        bytes_per_person_per_day: bytes?,
        in_flight_per_person: in_flight?,
        monthly_budget: budget?,
        connections_per_person_per_hour: connections?,
    })
}
