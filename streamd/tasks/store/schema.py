"""The tables of the task store in SQLite, as migrations of the database."""

from typing import Final

COMPONENT: Final = "tasks"

MIGRATIONS: Final = (
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        status TEXT NOT NULL,
        worker TEXT NOT NULL,
        deadline INTEGER NOT NULL,          -- times are milliseconds since 1970
        lease_until INTEGER,
        ended INTEGER,
        published_version INTEGER NOT NULL DEFAULT 0,
        published_id TEXT,
        body BLOB NOT NULL
    );
    CREATE INDEX tasks_by_status ON tasks (status, kind, seq);
    CREATE INDEX tasks_by_kind ON tasks (kind, seq);
    CREATE INDEX tasks_by_end ON tasks (kind, ended) WHERE ended IS NOT NULL;
    CREATE TABLE task_inputs (
        task INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
        input BLOB NOT NULL
    );
    CREATE TABLE task_texts (
        task INTEGER NOT NULL REFERENCES tasks (seq) ON DELETE CASCADE,
        version INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (task, version)
    ) WITHOUT ROWID;
    CREATE TABLE task_ends (
        task INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
        message BLOB NOT NULL,
        result BLOB
    );
    CREATE TABLE task_outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        version INTEGER NOT NULL,
        last INTEGER NOT NULL,
        message BLOB NOT NULL,
        UNIQUE (task, version)
    );
    CREATE TABLE tasks_gone (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        at INTEGER NOT NULL
    );
    CREATE INDEX tasks_gone_by_time ON tasks_gone (at);
    """,
    # Several events a version, each with its topics. The field "stage" of a task was renamed to "step".
    """
    CREATE TABLE task_outbox_2 (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        version INTEGER NOT NULL,
        part INTEGER NOT NULL,              -- 0: the event on the task's own topic
        topics TEXT NOT NULL,               -- a JSON array; empty: the task's own topic alone
        final INTEGER NOT NULL,
        last INTEGER NOT NULL,
        kept INTEGER NOT NULL DEFAULT 0,    -- 1: published, and the task is ending
        message BLOB NOT NULL,
        UNIQUE (task, version, part)
    );
    INSERT INTO task_outbox_2 (seq, task, version, part, topics, final, last, message)
        SELECT seq, task, version, 0, '', last, last, message FROM task_outbox;
    DROP TABLE task_outbox;
    ALTER TABLE task_outbox_2 RENAME TO task_outbox;
    CREATE INDEX task_outbox_kept ON task_outbox (seq) WHERE kept;
    UPDATE tasks SET body = CAST(json_remove(
        json_set(CAST(body AS TEXT), '$.step', json_extract(CAST(body AS TEXT), '$.stage')),
        '$.stage', '$.raw_input'
    ) AS BLOB) WHERE json_valid(CAST(body AS TEXT));
    """,
    # The idempotency keys of the requests that created tasks.
    """
    CREATE TABLE task_keys (
        task INTEGER PRIMARY KEY REFERENCES tasks (seq) ON DELETE CASCADE,
        scope TEXT NOT NULL,                -- kind and owner, see Tasks.create
        key TEXT NOT NULL,
        fingerprint BLOB NOT NULL,          -- of the request's content
        UNIQUE (scope, key)
    );
    """,
)
