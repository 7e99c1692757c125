//! Moving an installation from one database to another: every row is written, read back and compared, then all of it
//! counts at once.

mod side;
mod table;
#[cfg(test)]
mod tests;

use futures::TryStreamExt;

use crate::store::{INSTALLATION, OpenError, Vault, db::engine::Value, people::x_tokens};
use crate::{account::AccountId, config};
use side::{Side, Version};
use table::Table;

/// Rows written by one statement, at most.
const BATCH: usize = 500;
/// Values given to one statement, at most: PostgreSQL counts them in 16 bits, SQLite takes 32,766.
const VALUES: usize = 20_000;
/// Rows after which [`Progress`] is told again.
const TOLD: u64 = 500;

/// Which process does something somewhere at the moment: of no use in another database.
const LEASES: &str = "leases";

/// What every installation has.
const MARK: &str = "SELECT id, mark_sealed FROM installation";

/// A table that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub table: String,
    pub rows: u64,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    Written { table: &'a str, rows: u64 },
    Compared { table: &'a str, rows: u64 },
}

/// Why an installation was not moved. The database it was to go to has no row then; the other is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("--from and --to name the same database, {0}. Name an empty one with --to")]
    Same(String),
    #[error("--from: {0}")]
    From(#[source] OpenError),
    #[error("--to: {0}")]
    To(#[source] OpenError),
    #[error("{database} holds no installation of toall. Correct --from")]
    Nothing { database: String },
    #[error(
        "{database} was written by an older version of toall. Start this version with it once, which brings it up to \
         date; stop it, and run this again"
    )]
    Older { database: String },
    #[error(
        "the key of this config does not open {database}. Name the config that it was written with, and have its \
         toall.key in place"
    )]
    OtherKey { database: String },
    #[error("{database} is in use: {processes}. Stop every process of toall there, then run this again")]
    InUse { database: String, processes: String },
    #[error(
        "{database} is not empty: {table} has rows. Nothing was changed. Name an empty database with --to"
    )]
    NotEmpty { database: String, table: String },
    #[error("the tables of both databases differ in {0}. Use a database that holds nothing but toall")]
    Schema(String),
    #[error("{database} could not be read: {source}. Nothing was moved")]
    Read { database: String, source: sqlx::Error },
    #[error("{database} could not be written: {source}. It holds no row of this move")]
    Write { database: String, source: sqlx::Error },
    #[error(
        "row {row} of {table} reads back otherwise than it was written. Nothing was moved; please report this"
    )]
    Differs { table: String, row: u64 },
}

/// Moves everything from one database to another that is empty, and returns the tables in the order they were written.
///
/// The source is read as its owner and not changed; no service may have it. Leases are void where it goes. What both
/// databases sealed stays sealed with the key of `vault`. Stopped anywhere, this leaves no row behind.
///
/// # Errors
/// When either database cannot be used, the target has rows, the key is another, or a row reads back otherwise.
pub async fn move_database(
    from: &config::Database,
    to: &config::Database,
    vault: &Vault,
    now: i64,
    mut tell: impl FnMut(Progress<'_>),
) -> Result<Vec<Moved>, MoveError> {
    let (here, there) =
        (side::address(from).map_err(MoveError::From)?, side::address(to).map_err(MoveError::To)?);
    if here == there {
        return Err(MoveError::Same(here));
    }
    let mut source = Side::source(from).await.map_err(MoveError::From)?;
    let read = |source| MoveError::Read { database: here.clone(), source };
    let write = |source| MoveError::Write { database: there.clone(), source };
    check_source(&mut source, &here, vault).await?;
    alone(&mut source, &here).await?;

    let mut target = Side::target(to).await.map_err(MoveError::To)?;
    alone(&mut target, &there).await?;
    let tables = in_order(source.tables().await.map_err(read)?)?;
    let theirs = target.tables().await.map_err(write)?;
    if let Some(odd) = table::difference(&tables, &theirs) {
        return Err(MoveError::Schema(odd));
    }
    target.begin().await.map_err(write)?;
    for table in &theirs {
        if target.has_rows(table).await.map_err(write)? {
            return Err(MoveError::NotEmpty { database: there, table: table.name.clone() });
        }
    }
    let mut moved = Vec::new();
    for table in tables.iter().filter(|table| table.name != LEASES) {
        let Some(into) = theirs.iter().find(|other| other.name == table.name) else { continue };
        let rows = copy((&mut source, table), (&mut target, into), now, &mut tell).await;
        let rows = rows.map_err(|error| match error {
            Failed::Reading(error) => read(error),
            Failed::Writing(error) => write(error),
        })?;
        moved.push(Moved { table: table.name.clone(), rows });
    }
    for Moved { table, rows } in &moved {
        let Some(table) = tables.iter().find(|known| known.name == *table) else { continue };
        let compared =
            compare(&mut source, &mut target, table, now, &mut tell).await.map_err(|error| match error {
                Failed::Reading(error) => read(error),
                Failed::Writing(error) => write(error),
            })?;
        match compared {
            Ok(compared) if compared == *rows => {}
            Ok(row) | Err(row) => return Err(MoveError::Differs { table: table.name.clone(), row }),
        }
    }
    for table in &theirs {
        target.continue_counting(table).await.map_err(write)?;
    }
    // One that was started meanwhile has written what is not seen here.
    alone(&mut source, &here).await?;
    target.commit().await.map_err(write)?;
    Ok(moved)
}

/// Goes on when a database holds an installation of this version. It is only looked at: a service may have it, of an
/// older version, too.
///
/// # Errors
/// [`OpenError::Nothing`], [`OpenError::Older`] and [`OpenError::Newer`]; or when it cannot be read.
pub async fn look_for_installation(settings: &config::Database) -> Result<(), OpenError> {
    let database = side::address(settings)?;
    let mut side = Side::source(settings).await?;
    let failed = |error: sqlx::Error| OpenError::of_contents(error.into(), settings);
    match side.version().await.map_err(failed)? {
        Version::None => Err(OpenError::Nothing { database }),
        Version::Older => Err(OpenError::Older { database }),
        Version::Newer => Err(OpenError::Newer { database }),
        Version::This => match side.sealed(MARK).await.map_err(failed)? {
            Some(_) => Ok(()),
            None => Err(OpenError::Nothing { database }),
        },
    }
}

/// Which of the two did not do as asked.
enum Failed {
    Reading(sqlx::Error),
    Writing(sqlx::Error),
}

/// Whether this version wrote the source, and this key opens it.
async fn check_source(source: &mut Side, database: &str, vault: &Vault) -> Result<(), MoveError> {
    let named = || database.to_owned();
    let read = |source| MoveError::Read { database: named(), source };
    match source.version().await.map_err(read)? {
        Version::None => return Err(MoveError::Nothing { database: named() }),
        Version::Older => return Err(MoveError::Older { database: named() }),
        Version::Newer => return Err(MoveError::From(OpenError::Newer { database: named() })),
        Version::This => {}
    }
    let Some(mark) = source.sealed(MARK).await.map_err(read)? else {
        return Err(MoveError::Nothing { database: named() });
    };
    let tokens = source
        .sealed("SELECT id, tokens_sealed FROM x_accounts WHERE tokens_sealed IS NOT NULL LIMIT 1")
        .await
        .map_err(read)?;
    let tokens = tokens.map(|(account, sealed)| (x_tokens::owner(&AccountId(account)), sealed));
    let opens = |(owner, sealed): &(String, Vec<u8>)| vault.open(sealed, owner).is_ok();
    match opens(&(INSTALLATION.to_owned(), mark.1)) && tokens.as_ref().is_none_or(opens) {
        true => Ok(()),
        false => Err(MoveError::OtherKey { database: named() }),
    }
}

/// Goes on when no service has the database; a SQLite file's lock has said so already.
async fn alone(side: &mut Side, database: &str) -> Result<(), MoveError> {
    let others = side.others().await;
    let others = others.map_err(|source| MoveError::Read { database: database.to_owned(), source })?;
    match others {
        0 => Ok(()),
        number => Err(MoveError::InUse {
            database: database.to_owned(),
            processes: format!("{number} connections of toall are open"),
        }),
    }
}

/// The tables so that each comes after those that it refers to.
fn in_order(mut left: Vec<Table>) -> Result<Vec<Table>, MoveError> {
    let mut tables: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let ready = left.iter().position(|table| {
            table.references.iter().all(|other| tables.iter().any(|placed| placed.name == *other))
        });
        match ready {
            Some(at) => tables.push(left.remove(at)),
            None => return Err(MoveError::Schema("what refers to what".to_owned())),
        }
    }
    Ok(tables)
}

/// Writes every row of a table into the one of that name.
async fn copy(
    (source, table): (&mut Side, &Table),
    (target, into): (&mut Side, &Table),
    now: i64,
    tell: &mut impl FnMut(Progress<'_>),
) -> Result<u64, Failed> {
    let batch = BATCH.min(VALUES / table.columns.len().max(1)).max(1);
    let mut rows = source.rows(table);
    let (mut waiting, mut written) = (Vec::with_capacity(batch), 0);
    loop {
        let row = rows.try_next().await.map_err(Failed::Reading)?;
        let last = row.is_none();
        waiting.extend(row.map(|row| free(table, row, now)));
        if waiting.len() == batch || (last && !waiting.is_empty()) {
            written += waiting.len() as u64;
            target.insert(into, std::mem::take(&mut waiting)).await.map_err(Failed::Writing)?;
            tell(Progress::Written { table: &table.name, rows: written });
        }
        if last {
            return Ok(written);
        }
    }
}

/// Reads both sides in order and returns how many rows there are, or the first that differs.
async fn compare(
    source: &mut Side,
    target: &mut Side,
    table: &Table,
    now: i64,
    tell: &mut impl FnMut(Progress<'_>),
) -> Result<Result<u64, u64>, Failed> {
    let (mut here, mut there) = (source.rows(table), target.rows(table));
    let mut same = 0;
    loop {
        let row = here.try_next().await.map_err(Failed::Reading)?.map(|row| free(table, row, now));
        let copy = there.try_next().await.map_err(Failed::Writing)?;
        if row != copy {
            return Ok(Err(same + 1));
        }
        if row.is_none() {
            return Ok(Ok(same));
        }
        same += 1;
        if same % TOLD == 0 {
            tell(Progress::Compared { table: &table.name, rows: same });
        }
    }
}

/// A row as it is where it goes: nobody holds a lane there.
fn free(table: &Table, mut row: Vec<Value>, now: i64) -> Vec<Value> {
    let at = |column: &str| table.columns.iter().position(|known| known.name == column);
    if table.name == "x_accounts"
        && let (Some(owner), Some(epoch), Some(due)) = (at("lease_owner"), at("epoch"), at("due_at"))
        && row[owner] != Value::Text(None)
    {
        row[owner] = Value::Text(None);
        row[due] = Value::Integer(Some(now));
        if let Value::Integer(Some(epoch)) = &mut row[epoch] {
            *epoch += 1;
        }
    }
    row
}
