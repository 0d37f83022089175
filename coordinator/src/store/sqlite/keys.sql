-- Schema 5. Ids (UUIDs) and digests (SHA-256) are their 16 and 32 bytes, which sort as their text does and take less than half of it.
-- Every way in which jobs are listed or found has an index that is in the order of the list, so that a page costs what it shows.

-- What jobs are to do: a list that many of them share is written once. It never changes.
CREATE TABLE variants (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,            -- SHA-256 of the list
    list   TEXT NOT NULL                    -- JSON
) STRICT;
CREATE TABLE new_jobs (
    id          BLOB PRIMARY KEY NOT NULL,
    name        TEXT,
    kind        TEXT NOT NULL,              -- of its tasks
    state       TEXT NOT NULL CHECK (state IN ('blocked', 'queued', 'backoff', 'leased', 'succeeded', 'failed', 'cancelled')),
    until_ms    INTEGER,                    -- backoff: when it ends
    attempt     BLOB,                       -- leased: who holds the lease
    outputs     TEXT NOT NULL,              -- JSON: role and artifact
    reason      TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    shared      INTEGER REFERENCES variants (id),
    own         TEXT,                       -- JSON: the list where attempts have changed it
    epoch       INTEGER NOT NULL,
    crashes     INTEGER NOT NULL,
    retries     INTEGER NOT NULL,
    avoid       TEXT NOT NULL,              -- JSON: workers
    traceparent TEXT NOT NULL,
    CHECK ((shared IS NULL) <> (own IS NULL))
) STRICT;
CREATE TABLE labels (
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,            -- the job's, for the order of a list
    job        BLOB NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (key, value, created_ms, job)
) STRICT, WITHOUT ROWID;
CREATE TABLE new_attempts (
    id          BLOB PRIMARY KEY NOT NULL,
    job         BLOB NOT NULL REFERENCES jobs (id),
    epoch       INTEGER NOT NULL,
    worker      BLOB NOT NULL,
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
CREATE TABLE new_workers (
    id           BLOB PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    machine      TEXT NOT NULL,             -- JSON
    last_seen_ms INTEGER NOT NULL,
    cached       TEXT NOT NULL              -- JSON: digests
) STRICT;
CREATE TABLE new_installations (
    worker  BLOB PRIMARY KEY NOT NULL,
    secret  TEXT NOT NULL,                  -- hexadecimal SHA-256 of the secret
    process BLOB                            -- whose session has not ended, as far as is known
) STRICT;
CREATE TABLE new_artifacts (
    digest     BLOB PRIMARY KEY NOT NULL,
    kind       TEXT NOT NULL,
    manifest   TEXT NOT NULL,               -- canonical JSON; its SHA-256 is the digest
    created_ms INTEGER NOT NULL,
    job        BLOB REFERENCES jobs (id)
) STRICT;
CREATE TABLE new_tags (
    tag    TEXT PRIMARY KEY NOT NULL,
    digest BLOB NOT NULL REFERENCES artifacts (digest)
) STRICT;
CREATE TABLE new_journal (
    seq   INTEGER PRIMARY KEY,
    job   BLOB NOT NULL REFERENCES jobs (id),
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('state', 'placed', 'report', 'log')),
    event TEXT NOT NULL                     -- JSON in the journal's own format, which has its number in it
) STRICT;

-- What cannot be read as an id becomes NULL, which no key takes: then nothing of this is committed.
INSERT INTO new_jobs
SELECT unhex(id, '-'), name, json_extract(variants, '$[0].task.kind'), state, until_ms, unhex(attempt, '-'), outputs, reason, priority,
       created_ms, ended_ms, NULL, variants, epoch, crashes, retries, avoid, traceparent
FROM jobs ORDER BY id;
INSERT INTO labels
SELECT label.key, label.value, jobs.created_ms, unhex(jobs.id, '-') FROM jobs, json_each(jobs.labels) AS label;
INSERT INTO new_attempts
SELECT unhex(id, '-'), unhex(job, '-'), epoch, unhex(worker, '-'), worker_name, variant, reserved, started_ms, ended_ms, outcome, peak,
       last_report
FROM attempts ORDER BY id;
INSERT INTO new_workers SELECT unhex(id, '-'), name, machine, last_seen_ms, cached FROM workers;
INSERT INTO new_installations SELECT unhex(worker, '-'), secret, unhex(process, '-') FROM installations;
INSERT INTO new_artifacts
SELECT unhex(substr(digest, 8)), kind, manifest, created_ms, unhex(job, '-') FROM artifacts;
INSERT INTO new_tags SELECT tag, unhex(substr(digest, 8)) FROM tags;
INSERT INTO new_journal SELECT seq, unhex(job, '-'), at_ms, epoch, kind, event FROM journal ORDER BY seq;

DROP TABLE journal;
DROP TABLE tags;
DROP TABLE artifacts;
DROP TABLE installations;
DROP TABLE workers;
DROP TABLE attempts;
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
ALTER TABLE new_attempts RENAME TO attempts;
ALTER TABLE new_workers RENAME TO workers;
ALTER TABLE new_installations RENAME TO installations;
ALTER TABLE new_artifacts RENAME TO artifacts;
ALTER TABLE new_tags RENAME TO tags;
ALTER TABLE new_journal RENAME TO journal;

-- Lists go by age, and by id among jobs of one call.
CREATE INDEX jobs_by_age ON jobs (created_ms, id);
CREATE INDEX jobs_by_state ON jobs (state, created_ms, id);
CREATE INDEX jobs_by_kind ON jobs (kind, created_ms, id);
CREATE INDEX jobs_by_name ON jobs (name, id) WHERE name IS NOT NULL;
CREATE INDEX labels_of_job ON labels (job);
-- A job has at most one live lease, whatever a bug may do.
CREATE UNIQUE INDEX one_lease ON attempts (job) WHERE outcome = '"running"';
-- An event of all jobs is found by its position, one of a job by this.
CREATE INDEX journal_of_job ON journal (job, seq);
-- Lines are few among steps, or many: neither kind is to be walked over for the other. Only lines pay for these two.
CREATE INDEX lines ON journal (kind, seq) WHERE kind = 'log';
CREATE INDEX lines_of_job ON journal (job, seq) WHERE kind = 'log';
