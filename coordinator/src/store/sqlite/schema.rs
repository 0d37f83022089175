//! The database's tables.

use super::super::StoreError;
use crate::private;
use rusqlite::{Connection, OpenFlags};
use std::io;
use std::path::Path;
use std::time::Duration;
use vertigo::files::{AtPath, FileError};

/// What makes a database of one schema into one of the next, beginning with an empty one. The schema's number, kept in SQLite's
/// `user_version`, is [`BEFORE`] and how many of them were taken.
pub(in crate::store) const STEPS: [&str; 9] = [TABLES, JOURNAL, KEYS, AGES, SERVICES, MOVES, PRINCIPALS, HOLDS, MARKS];

/// The last schema whose jobs were training runs and nothing else. Its databases are not read.
pub(in crate::store) const BEFORE: i64 = 2;

/// Times are milliseconds since the Unix epoch, memory is bytes, ids and digests are text as people see them: bytes since [`KEYS`].
const TABLES: &str = "
CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    name        TEXT,
    state       TEXT NOT NULL CHECK (state IN ('blocked', 'queued', 'backoff', 'leased', 'succeeded', 'failed', 'cancelled')),
    until_ms    INTEGER,                    -- backoff: when it ends
    attempt     TEXT,                       -- leased: who holds the lease
    outputs     TEXT NOT NULL,              -- JSON: role and artifact
    reason      TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    labels      TEXT NOT NULL,              -- JSON
    variants    TEXT NOT NULL,              -- JSON
    epoch       INTEGER NOT NULL,
    crashes     INTEGER NOT NULL,
    retries     INTEGER NOT NULL,
    avoid       TEXT NOT NULL,              -- JSON: workers
    traceparent TEXT NOT NULL
) STRICT;
CREATE TABLE attempts (
    id          TEXT PRIMARY KEY,
    job         TEXT NOT NULL REFERENCES jobs (id),
    epoch       INTEGER NOT NULL,
    worker      TEXT NOT NULL,
    worker_name TEXT NOT NULL,
    variant     INTEGER NOT NULL,
    reserved    INTEGER NOT NULL,
    started_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    outcome     TEXT NOT NULL,              -- JSON
    peak        INTEGER NOT NULL,
    last_report INTEGER NOT NULL,
    UNIQUE (job, epoch)
) STRICT;
-- A job has at most one live lease, whatever a bug may do.
CREATE UNIQUE INDEX one_lease ON attempts (job) WHERE outcome = '\"running\"';
CREATE TABLE workers (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    machine      TEXT NOT NULL,             -- JSON
    last_seen_ms INTEGER NOT NULL,
    cached       TEXT NOT NULL              -- JSON: digests
) STRICT;
CREATE TABLE installations (
    worker  TEXT PRIMARY KEY,
    secret  TEXT NOT NULL,                  -- hexadecimal SHA-256 of the secret
    process TEXT                            -- whose session has not ended, as far as is known
) STRICT;
CREATE TABLE artifacts (
    digest     TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    manifest   TEXT NOT NULL,               -- canonical JSON; its SHA-256 is the digest
    created_ms INTEGER NOT NULL,
    job        TEXT REFERENCES jobs (id)
) STRICT;
CREATE TABLE tags (
    tag    TEXT PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES artifacts (digest)
) STRICT;
CREATE TABLE factors (
    method TEXT NOT NULL,
    engine TEXT NOT NULL,
    ratios TEXT NOT NULL,                   -- JSON, oldest first
    PRIMARY KEY (method, engine)
) STRICT;
CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY,
    job   TEXT NOT NULL REFERENCES jobs (id),
    kind  TEXT NOT NULL CHECK (kind IN ('state', 'placed', 'report', 'log')),
    event BLOB NOT NULL                     -- a message of the protocol
) STRICT;
CREATE INDEX journal_of_job ON journal (job, seq);
";

/// The journal in its own format. Of a job from before it has one event, which says where the job stands, at the position of the last
/// that it had: whoever watches learns how the job ended. What else was told of it is in the copy that [`keep`] has made.
const JOURNAL: &str = "
CREATE TABLE own_journal (
    seq   INTEGER PRIMARY KEY,
    job   TEXT NOT NULL REFERENCES jobs (id),
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('state', 'placed', 'report', 'log')),
    event TEXT NOT NULL                     -- JSON in the journal's own format, which has its number in it
) STRICT;
INSERT INTO own_journal
SELECT max(journal.seq), jobs.id, coalesce(jobs.ended_ms, jobs.created_ms), jobs.epoch, 'state', json_object('v', 1, 'event', json_object(
    'state', json_object('state', CASE jobs.state
        WHEN 'backoff' THEN json_object('backoff', json_object('until', jobs.until_ms))
        WHEN 'leased' THEN json_object('leased', json_object('attempt', jobs.attempt))
        ELSE jobs.state END, 'reason', jobs.reason)))
FROM journal JOIN jobs ON jobs.id = journal.job GROUP BY jobs.id;
DROP TABLE journal;
ALTER TABLE own_journal RENAME TO journal;
-- An event of all jobs is found by its position, one of a job by this.
CREATE INDEX journal_of_job ON journal (job, seq);
-- Lines are few among steps, or many: neither kind is to be walked over for the other. Only lines pay for these two.
CREATE INDEX lines ON journal (kind, seq) WHERE kind = 'log';
CREATE INDEX lines_of_job ON journal (job, seq) WHERE kind = 'log';
";

/// Ids and digests as their bytes, and an index for each way in which jobs are listed and found.
const KEYS: &str = include_str!("keys.sql");

/// What goes is found by its age: jobs by their end, checkpoints by the job that made them. Neither costs more for all that there is
/// besides.
const AGES: &str = "
CREATE INDEX jobs_by_end ON jobs (ended_ms, id) WHERE ended_ms IS NOT NULL;
CREATE INDEX checkpoints ON artifacts (job) WHERE kind = 'checkpoint';
";

/// Where an attempt answers requests, or did.
const SERVICES: &str = "
ALTER TABLE attempts ADD COLUMN service TEXT; -- JSON
";

/// Every move of every tag. A tag is on what its newest move led to, so there is no table of tags any more: each has become a
/// first move of which nobody knows more. Old moves may name artifacts that are gone.
const MOVES: &str = "
CREATE TABLE moves (
    tag         TEXT NOT NULL,
    number      INTEGER NOT NULL,           -- of the tag's moves, from 1
    id          BLOB UNIQUE,                -- what its caller called it
    at_ms       INTEGER,                    -- NULL: nobody knows
    from_digest BLOB,                       -- NULL: the tag was on nothing
    to_digest   BLOB NOT NULL,
    mover       TEXT NOT NULL CHECK (mover IN ('earlier', 'person', 'rollback', 'job', 'import')),
    job         BLOB REFERENCES jobs (id),
    reason      TEXT NOT NULL,
    is_forced   INTEGER NOT NULL CHECK (is_forced IN (0, 1)),
    evidence    TEXT NOT NULL,              -- JSON: digests
    decision    TEXT,                       -- JSON
    UNIQUE (tag, number),
    CHECK ((mover = 'job') = (job IS NOT NULL))
) STRICT;
INSERT INTO moves SELECT tag, 1, NULL, NULL, NULL, digest, 'earlier', NULL, '', 0, '[]', NULL FROM tags ORDER BY tag;
DROP TABLE tags;
";

/// Who did it. All that was done before was done on the coordinator's own machine. A job's doing is no person's, and of a tag's first
/// move from before moves were kept nobody knows whose it was.
const PRINCIPALS: &str = "
ALTER TABLE jobs ADD COLUMN principal TEXT NOT NULL DEFAULT 'local'; -- who queued it
ALTER TABLE artifacts ADD COLUMN principal TEXT;                     -- who registered it; NULL: a job made it
UPDATE artifacts SET principal = 'local' WHERE job IS NULL;
ALTER TABLE moves ADD COLUMN principal TEXT;                         -- who asked for it; NULL: a job's success moved it, or nobody knows
UPDATE moves SET principal = 'local' WHERE mover IN ('person', 'rollback', 'import');
";

/// Workers that take nothing new until somebody resumes them, and events of workers, which are of no job.
const HOLDS: &str = "
ALTER TABLE workers ADD COLUMN hold TEXT; -- JSON: by whom, since when and why
CREATE TABLE new_journal (
    seq   INTEGER PRIMARY KEY,
    job   BLOB REFERENCES jobs (id),        -- NULL: of a worker
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('state', 'placed', 'report', 'log', 'worker')),
    event TEXT NOT NULL,                    -- JSON in the journal's own format, which has its number in it
    CHECK ((kind = 'worker') = (job IS NULL))
) STRICT;
INSERT INTO new_journal SELECT seq, job, at_ms, epoch, kind, event FROM journal ORDER BY seq;
DROP TABLE journal;
ALTER TABLE new_journal RENAME TO journal;
-- As in schema 5.
CREATE INDEX journal_of_job ON journal (job, seq);
CREATE INDEX lines ON journal (kind, seq) WHERE kind = 'log';
CREATE INDEX lines_of_job ON journal (job, seq) WHERE kind = 'log';
";

/// What befell machines, and how often it befell those of a job.
const MARKS: &str = "
ALTER TABLE workers ADD COLUMN marks TEXT NOT NULL DEFAULT '[]'; -- JSON: when, what and which
ALTER TABLE jobs ADD COLUMN panics INTEGER NOT NULL DEFAULT 0;
";

/// Whether there is no database at `path` yet, or one without tables. Leaves what is there as it is.
pub(in crate::store) fn is_new(path: &Path) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(FileError { path: path.to_owned(), error }.into()),
        Ok(meta) if meta.len() == 0 => return Ok(true),
        Ok(_) => {}
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found == 0)
}

/// Opens the database for the writer, and makes its tables where it is new.
pub(in crate::store) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync leaves the bytes in the drive's cache; elsewhere these two change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // Tables that others refer to are made anew by the steps.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let (found, taken) = check(&connection, path)?;
    let (known, steps) = (BEFORE + STEPS.len() as i64, &STEPS[taken..]);
    if !steps.is_empty() {
        if taken > 0 {
            keep(&connection, path, found)?;
        }
        let transaction = connection.transaction()?;
        steps.iter().try_for_each(|step| transaction.execute_batch(step))?;
        transaction.pragma_update(None, "user_version", known)?;
        check_references(&transaction)?;
        transaction.commit()?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// The number of a database's schema, and how many of [`STEPS`] it has taken, which are not more than there are.
///
/// # Errors
/// It is of a version whose jobs this one cannot read, or of a later one.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(i64, usize), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = BEFORE + STEPS.len() as i64;
    if (1..=BEFORE).contains(&found) {
        return Err(StoreError::Older { path: path.to_owned(), found });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok((found, usize::try_from((found - BEFORE).max(0)).unwrap_or(0)))
}

/// Whether every reference leads to what it names, after steps that took nobody's word for it.
fn check_references(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut broken = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?)))?;
    match broken.next().transpose()? {
        None => Ok(()),
        Some((table, parent)) => {
            let problem = format!("a row of {table} refers to a row of {parent} that is not there");
            Err(StoreError::Corrupt { table: "foreign_key_check", problem })
        }
    }
}

/// Keeps a database beside itself as it is before its schema changes, for the version that wrote it and for whoever misses something.
fn keep(connection: &Connection, path: &Path, found: i64) -> Result<(), StoreError> {
    let copy = path.with_extension(format!("schema-{found}.db"));
    // SQLite fills a file that is empty, and this one has the right mode. One that is there is from a change that was cut off.
    private::file(&copy).and_then(|file| file.set_len(0)).at(&copy)?;
    let name = copy.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename)).at(&copy)?;
    connection.execute("VACUUM INTO ?1", [name])?;
    tracing::info!(copy = %copy.display(), schema = found, "the database is brought to a newer schema; it is kept as it was");
    Ok(())
}
