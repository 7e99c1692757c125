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

/// Makes the cluster, or a standby of the one at a port, runs it until its standard input closes, and takes it away.
const KEEPER: &str = r#"
bin=$1 folder=$2 port=$3 primary=$4
shift 4
if [ -n "$primary" ]; then
    "$bin/pg_basebackup" --pgdata="$folder/data" --host=127.0.0.1 --port="$primary" --username=toall \
        --checkpoint=fast --write-recovery-conf --no-sync >"$folder/log" 2>&1 || exit 1
else
    "$bin/initdb" --pgdata="$folder/data" --auth=trust --username=toall --locale=C --encoding=UTF8 --no-sync \
        >"$folder/log" 2>&1 || exit 1
    # Everybody is let in, but for those whom a test gives a password.
    trusted=$(cat "$folder/data/pg_hba.conf")
    printf 'host all +with_password all scram-sha-256\n%s\n' "$trusted" >"$folder/data/pg_hba.conf"
fi
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
    keeper: Option<Child>,
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
    // On the PATH may be a link to it, without its neighbours.
    let on_path =
        on_path.map(|folder| folder.join("initdb").canonicalize().unwrap().parent().unwrap().to_owned());
    on_path.or_else(debian)
}

/// PostgreSQL refuses to run as root; then somebody who owns nothing else that matters runs it.
pub fn somebody() -> Option<(u32, u32)> {
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
        Cluster { options: url.parse().unwrap(), keeper: None }
    }

    /// Two servers of a test's own: the second is a standby of the first, which does not wait for it. `None` where no
    /// PostgreSQL is installed.
    pub async fn pair() -> Option<(Cluster, Cluster)> {
        let primary = Cluster::start(&IN_TESTS).await?;
        primary.make_template().await;
        let standby = Cluster::begin(&IN_TESTS, Some(primary.port())).await?;
        Some((primary, standby))
    }

    /// A private one with these settings, each `name=value`. `None` where no PostgreSQL is installed.
    pub async fn start(settings: &[&str]) -> Option<Cluster> {
        Cluster::begin(settings, None).await
    }

    /// As [`Cluster::start`], a standby of the one at a port if there is one.
    async fn begin(settings: &[&str], primary: Option<u16>) -> Option<Cluster> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("toall-postgres").tempdir().unwrap().keep();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).args([&programs, &folder]).arg(port.to_string());
        keeper.arg(primary.map(|port| port.to_string()).unwrap_or_default());
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
        Some(Cluster { options, keeper: Some(keeper) })
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

    /// Has a standby hear no more of its primary than it has heard of what is committed now.
    pub async fn fall_behind(&self, primary: &Cluster) {
        let (mut here, mut there) = (self.connect("postgres").await, primary.connect("postgres").await);
        let committed = "SELECT CAST(pg_current_wal_insert_lsn() AS TEXT)";
        let committed: String = sqlx::query_scalar(committed).fetch_one(&mut there).await.unwrap();
        let heard = format!("SELECT pg_last_wal_replay_lsn() >= '{committed}'");
        until_true(&mut here, heard).await;
        for statement in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(statement).execute(&mut here).await.unwrap();
        }
        until_true(&mut here, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)".to_owned()).await;
    }

    /// Ends a private server at once.
    pub fn crash(self) {
        let mut keeper = self.keeper.expect("a private server");
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }

    /// Has a standby take over.
    pub async fn promote(&self) {
        let mut here = self.connect("postgres").await;
        assert!(sqlx::query_scalar::<_, bool>("SELECT pg_promote()").fetch_one(&mut here).await.unwrap());
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

async fn until_true(connection: &mut PgConnection, question: String) {
    for _ in 0..600 {
        let answer = sqlx::query_scalar(AssertSqlSafe(question.clone())).fetch_one(&mut *connection).await;
        if answer.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {question}");
}

/// Drops the databases that nobody needs any more.
pub async fn drop_finished(connection: &mut PgConnection) {
    let finished = std::mem::take(&mut *FINISHED.lock().unwrap());
    for name in finished {
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await.unwrap();
    }
}
