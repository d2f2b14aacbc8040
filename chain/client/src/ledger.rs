//! The dev chain's file: schema, settings, and transactions that several processes may run at once.
//!
//! Writers take turns by SQLite's own lock; readers see the last committed state. Every commit is
//! flushed to the disk before it counts.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};
use wire::BlockNumber;

use crate::{Blocks, ChainError, DevChainOptions};

/// Version of the tables below. Changing it breaks all files there are, by name.
const SCHEMA: i64 = 3;

/// Tells our files from any other SQLite file: "cov7".
const APPLICATION_ID: i64 = 0x636f_7637;

/// How long a transaction waits for another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE settings (
        genesis_ms INTEGER NOT NULL,
        block_ms INTEGER,              -- null: blocks on demand
        head INTEGER NOT NULL,         -- counts with blocks on demand only
        commitment_bytes_max INTEGER NOT NULL,
        seats_max INTEGER NOT NULL,
        weights_every_blocks INTEGER NOT NULL
    );
    CREATE TABLE neurons (
        netuid INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        hotkey BLOB NOT NULL,
        registered_block INTEGER NOT NULL,
        last_update INTEGER NOT NULL DEFAULT 0,
        version_key INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (netuid, uid),
        UNIQUE (netuid, hotkey)
    );
    CREATE TABLE stakes (
        hotkey BLOB NOT NULL,
        block INTEGER NOT NULL,        -- since when
        stake_rao INTEGER NOT NULL,
        PRIMARY KEY (hotkey, block)
    );
    CREATE TABLE commitments (
        netuid INTEGER NOT NULL,
        hotkey BLOB NOT NULL,
        block INTEGER NOT NULL,
        note BLOB NOT NULL
    );
    CREATE INDEX commitments_by_hotkey ON commitments (netuid, hotkey);
    CREATE TABLE weights (
        netuid INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        target INTEGER NOT NULL,
        share INTEGER NOT NULL,
        PRIMARY KEY (netuid, uid, target)
    );";

/// Why a transaction did not take effect.
pub(crate) enum Fault {
    /// The rules of the chain refuse it.
    Refused(ChainError),
    /// The file fails.
    Sql(rusqlite::Error),
}

impl From<ChainError> for Fault {
    fn from(error: ChainError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// What was fixed when the chain was created, the same for every process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) genesis_ms: u64,
    pub(crate) options: DevChainOptions,
}

/// An open file.
pub(crate) struct Ledger {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Ledger {
    /// Opens the file, if there is one.
    pub(crate) fn open(path: &Path) -> Result<(Self, Settings), ChainError> {
        if !path.exists() {
            return Err(ChainError::Missing { path: path.into() });
        }
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let settings = ledger.read(|transaction| {
            ledger.check_schema(transaction)?;
            Ok(settings(transaction)?)
        })?;
        Ok((ledger, settings))
    }

    /// Opens the file or makes it; of several processes that make it at once, one does.
    pub(crate) fn create(path: &Path, new: Settings) -> Result<(Self, Settings), ChainError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let ledger = Self::connect(path, flags)?;
        let settings = ledger.write(|transaction| {
            if is_blank(transaction)? {
                make_tables(transaction, new)?;
            }
            ledger.check_schema(transaction)?;
            Ok(settings(transaction)?)
        })?;
        Ok((ledger, settings))
    }

    /// A chain that lives as long as this value.
    pub(crate) fn in_memory(new: Settings) -> Result<Self, ChainError> {
        let path = PathBuf::from(":memory:");
        let connection =
            Connection::open_in_memory().map_err(|source| ChainError::of_sqlite(source, &path))?;
        let ledger = Self { connection: Mutex::new(connection), path };
        ledger.write(|transaction| Ok(make_tables(transaction, new)?))?;
        Ok(ledger)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, ChainError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = |source| ChainError::of_sqlite(source, path);
        let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
        connection.busy_timeout(LOCK_TIMEOUT).map_err(sql)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
        enter_wal(&connection).map_err(sql)?;
        Ok(Self { connection: Mutex::new(connection), path: path.into() })
    }

    /// Runs `work` on one unchanging state.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, ChainError> {
        self.transact(TransactionBehavior::Deferred, work)
    }

    /// Runs `work` alone among all processes; it takes effect as a whole, or not at all on error.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, ChainError> {
        self.transact(TransactionBehavior::Immediate, work)
    }

    fn transact<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, ChainError> {
        // A thread that panicked left its transaction rolled back: the connection is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Sql(source) => ChainError::of_sqlite(source, &self.path),
        })
    }

    fn check_schema(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (path, known) = (self.path.clone(), SCHEMA);
        if pragma("application_id")? != APPLICATION_ID {
            return Err(ChainError::NotAChain { path }.into());
        }
        let found = pragma("user_version")?;
        if found != known {
            return Err(ChainError::OtherSchema { path, found, known }.into());
        }
        Ok(())
    }
}

fn is_blank(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let count = "SELECT count(*) FROM sqlite_schema";
    transaction.query_row(count, [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

fn make_tables(transaction: &Transaction<'_>, new: Settings) -> rusqlite::Result<()> {
    let options = new.options;
    let block_ms = match options.blocks {
        Blocks::OnDemand => None,
        Blocks::EveryMs(block_ms) => Some(block_ms as i64),
    };
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.execute_batch(TABLES)?;
    let values = (
        new.genesis_ms as i64,
        block_ms,
        options.commitment_bytes_max as i64,
        options.seats_max,
        options.weights_every_blocks as i64,
    );
    transaction.execute("INSERT INTO settings VALUES (?1, ?2, 1, ?3, ?4, ?5)", values)?;
    Ok(())
}

fn settings(transaction: &Transaction<'_>) -> rusqlite::Result<Settings> {
    let select = "SELECT genesis_ms, block_ms, commitment_bytes_max, seats_max,
                  weights_every_blocks FROM settings";
    transaction.query_row(select, [], |row| {
        let blocks = match row.get::<_, Option<i64>>(1)? {
            None => Blocks::OnDemand,
            Some(block_ms) => Blocks::EveryMs(block_ms as u64),
        };
        let options = DevChainOptions {
            blocks,
            commitment_bytes_max: row.get::<_, i64>(2)? as usize,
            seats_max: row.get(3)?,
            weights_every_blocks: row.get::<_, i64>(4)? as u64,
        };
        Ok(Settings { genesis_ms: row.get::<_, i64>(0)? as u64, options })
    })
}

/// Turns the write-ahead log on. The first process to do so needs the file for itself for a moment,
/// and SQLite does not wait for that on its own.
fn enter_wal(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(20);
    let mut tried = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if tried < TRIES
                    && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) =>
            {
                tried += 1;
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// The block number in a column.
pub(crate) fn block_of(row: &Row<'_>, column: usize) -> rusqlite::Result<BlockNumber> {
    Ok(BlockNumber(row.get::<_, i64>(column)? as u64))
}
