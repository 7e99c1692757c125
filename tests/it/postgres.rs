//! A PostgreSQL for the tests: a private cluster, one for this process, which ends with it however it ends.
//!
//! `TOALL_TEST_DATABASE=postgres` has the suite keep its rows there instead of in SQLite; an address there
//! (`postgres://…`, of somebody who may make databases) does so on that server. Some tests need PostgreSQL in any case,
//! and say so where there is none.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

/// Makes the cluster, runs it until its standard input closes, and takes it away.
const KEEPER: &str = r#"
bin=$1 folder=$2 port=$3
shift 3
"$bin/initdb" --pgdata="$folder/data" --auth=trust --username=toall --locale=C --encoding=UTF8 --no-sync \
    >"$folder/log" 2>&1 || exit 1
# Everybody is let in, but for those whom a test gives a password.
trusted=$(cat "$folder/data/pg_hba.conf")
printf 'host all +with_password all scram-sha-256\n%s\n' "$trusted" >"$folder/data/pg_hba.conf"
"$bin/postgres" -D "$folder/data" -k "$folder" -h 127.0.0.1 -p "$port" -c log_min_messages=error "$@" \
    >>"$folder/log" 2>&1 &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$folder"
"#;

/// A test's rows need not survive anything, and many tests run at once.
const IN_TESTS: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=1000",
    "shared_buffers=64MB",
    "max_wal_size=4GB",
];

/// Makes room for the next databases.
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);
static CLUSTER: OnceCell<Option<Cluster>> = OnceCell::const_new();

/// What every test's database is a copy of.
const TEMPLATE: &str = "toall_template";

/// A server to make databases on.
pub struct Cluster {
    options: PgConnectOptions,
    /// Stops it when this process ends: its standard input closes.
    _keeper: Option<Child>,
}

/// A database of a test's own.
pub struct Database {
    pub name: String,
    pub url: String,
}

impl Drop for Database {
    fn drop(&mut self) {
        FINISHED.lock().unwrap().push(self.name.clone());
    }
}

/// Whether the suite is to keep its rows in PostgreSQL.
pub fn wanted() -> bool {
    match env::var("TOALL_TEST_DATABASE").unwrap_or_default().as_str() {
        "" | "sqlite" => false,
        "postgres" => true,
        url if url.starts_with("postgres") => true,
        other => panic!("TOALL_TEST_DATABASE is {other}, neither sqlite nor postgres nor an address"),
    }
}

/// True for a test that is about SQLite's file, when the suite runs on PostgreSQL; says that it is left out.
pub fn leave_out(what: &str) -> bool {
    if wanted() {
        eprintln!("left out on PostgreSQL: {what}");
    }
    wanted()
}

/// The server; `None`, and said, where there is none to be had.
pub async fn cluster() -> Option<&'static Cluster> {
    let cluster = CLUSTER.get_or_init(|| async {
        let given = env::var("TOALL_TEST_DATABASE").ok().filter(|value| value.contains("://"));
        let cluster = match given {
            Some(url) => Cluster::at(&url),
            None => Cluster::start(&IN_TESTS).await?,
        };
        cluster.make_template().await;
        Some(cluster)
    });
    let cluster = cluster.await.as_ref();
    if cluster.is_none() {
        assert!(!wanted(), "TOALL_TEST_DATABASE asks for PostgreSQL, and initdb is nowhere to be found");
        eprintln!(
            "left out: no PostgreSQL here (initdb is neither on the PATH nor under /usr/lib/postgresql)"
        );
    }
    cluster
}

/// Where `initdb` and `postgres` are.
fn programs() -> Option<PathBuf> {
    let on_path = env::split_paths(&env::var_os("PATH")?).find(|folder| folder.join("initdb").exists());
    let debian = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut folders: Vec<PathBuf> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        folders.retain(|folder| folder.join("initdb").exists());
        folders.sort();
        folders.pop()
    };
    on_path.or_else(debian)
}

/// PostgreSQL refuses to run as root; then somebody who owns nothing else that matters runs it.
fn somebody() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return None;
    }
    let people = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = people.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

impl Cluster {
    /// A server that runs already.
    pub fn at(url: &str) -> Cluster {
        Cluster { options: url.parse().unwrap(), _keeper: None }
    }

    /// A private one with these settings, each `name=value`. `None` where no PostgreSQL is installed.
    pub async fn start(settings: &[&str]) -> Option<Cluster> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("toall-postgres").tempdir().unwrap().keep();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).args([&programs, &folder]).arg(port.to_string());
        keeper.args(settings.iter().flat_map(|setting| ["-c", setting]));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C is for the tests; this one ends after them.
        keeper.current_dir(&folder).process_group(0);
        if let Some((user, group)) = somebody() {
            chown(&folder, Some(user), Some(group)).unwrap();
            keeper.uid(user).gid(group);
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let mut keeper = keeper.spawn().unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .socket(&folder)
            .username("toall")
            .database("postgres");
        Self::wait_for(&options, &mut keeper, &folder).await;
        Some(Cluster { options, _keeper: Some(keeper) })
    }

    async fn wait_for(options: &PgConnectOptions, keeper: &mut Child, folder: &Path) {
        for _ in 0..600 {
            if options.connect().await.is_ok() {
                return;
            }
            if keeper.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("the tests' PostgreSQL does not start:\n{log}");
    }

    /// A connection to a database, as the one who made the cluster.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.options.clone().database(database).connect().await.unwrap()
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.options.get_port()
    }

    async fn make_template(&self) {
        self.make(TEMPLATE, "template1").await;
        let mut connection = self.connect(TEMPLATE).await;
        sqlx::migrate!("migrations/postgres").run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A database with all tables and no rows.
    pub async fn database(&self) -> Database {
        self.named(TEMPLATE).await
    }

    /// A database with the rows of another, which nobody has open.
    pub async fn copy(&self, name: &str) -> Database {
        self.named(name).await
    }

    /// A database with nothing in it.
    pub async fn empty(&self) -> Database {
        self.named("template1").await
    }

    async fn named(&self, template: &str) -> Database {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("toall_test_{}_{number}", std::process::id());
        self.make(&name, template).await;
        let options = self.options.clone().database(&name);
        Database { url: options.to_url_lossy().to_string(), name }
    }

    async fn make(&self, name: &str, template: &str) {
        let mut connection = self.connect("postgres").await;
        drop_finished(&mut connection).await;
        let make = format!("CREATE DATABASE {name} TEMPLATE {template}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Drops the databases that nobody needs any more.
pub async fn drop_finished(connection: &mut PgConnection) {
    let finished = std::mem::take(&mut *FINISHED.lock().unwrap());
    for name in finished {
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await.unwrap();
    }
}
