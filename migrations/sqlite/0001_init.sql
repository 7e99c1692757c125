-- Times are Unix milliseconds. Flags are 0 or 1. BLOBs named *_sealed are encrypted by store/vault.rs.

CREATE TABLE users (
    id              TEXT PRIMARY KEY,                 -- platform:platform_user
    platform        TEXT NOT NULL,
    platform_user   TEXT NOT NULL,
    name            TEXT NOT NULL,
    default_account TEXT,
    created_at      INTEGER NOT NULL,
    UNIQUE (platform, platform_user)
) STRICT;

-- An X account, and the lane on which its posts go one step at a time.
CREATE TABLE x_accounts (
    id                TEXT PRIMARY KEY,               -- X user id
    username          TEXT NOT NULL,
    name              TEXT NOT NULL,
    avatar_url        TEXT,
    tier              TEXT NOT NULL,
    profile_at        INTEGER NOT NULL,               -- when X last said all of this
    active            INTEGER NOT NULL,               -- 0 once nobody links it any more
    due_at            INTEGER,                        -- look at this lane then: work, or the end of its lease
    lease_owner       TEXT,
    epoch             INTEGER NOT NULL DEFAULT 0,     -- rises with every claim; fences writes of a former holder
    current_post_id   TEXT,
    transfer_user     TEXT,                           -- the user, when the next step moves a whole file
    token_state       TEXT NOT NULL CHECK (token_state IN ('ok', 'refreshing', 'broken')),
    tokens_sealed     BLOB,
    scope             TEXT NOT NULL,
    access_expires_at INTEGER NOT NULL,
    token_rev         INTEGER NOT NULL DEFAULT 0,     -- rises with every new pair
    refused_at        INTEGER,                        -- when X first refused to refresh the present pair
    grant_id          TEXT,                           -- UUIDv7 of the authorisation that the tokens come from
    owner             TEXT,                           -- user who confirmed the newest grant
    updated_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX x_accounts_due ON x_accounts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX x_accounts_call ON x_accounts (due_at) WHERE due_at IS NOT NULL AND transfer_user IS NULL;
CREATE INDEX x_accounts_transfer ON x_accounts (due_at) WHERE due_at IS NOT NULL AND transfer_user IS NOT NULL;

CREATE TABLE account_links (
    user_id    TEXT NOT NULL REFERENCES users (id),
    account_id TEXT NOT NULL REFERENCES x_accounts (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, account_id)
) STRICT;
CREATE INDEX account_links_account ON account_links (account_id);

CREATE TABLE posts (
    id                 TEXT PRIMARY KEY,              -- UUIDv7
    dedupe_key         TEXT NOT NULL UNIQUE,
    request_id         TEXT NOT NULL,                 -- shared by the posts that were asked for at once
    user_id            TEXT NOT NULL REFERENCES users (id),
    account_id         TEXT NOT NULL REFERENCES x_accounts (id),
    caption            TEXT NOT NULL,
    options            TEXT NOT NULL,                 -- JSON
    attachment         TEXT NOT NULL,                 -- JSON
    state              TEXT NOT NULL CHECK (state IN
        ('staging', 'inspecting', 'uploading', 'processing', 'describing', 'publishing', 'posted', 'needs_user',
         'failed', 'canceled')),
    due_at             INTEGER,
    attempt            INTEGER NOT NULL DEFAULT 0,
    trouble_since      INTEGER,                       -- the first error since the last progress
    claims             INTEGER NOT NULL DEFAULT 0,    -- claims since the last thing written down
    object_key         TEXT,
    bytes              INTEGER,
    sha256             TEXT,
    media_type         TEXT,
    duration_ms        INTEGER,
    media_id           TEXT,
    media_expires_at   INTEGER,
    chunk_bytes        INTEGER,
    segments_done      INTEGER NOT NULL DEFAULT 0,
    processing_since   INTEGER,
    processing_percent INTEGER,
    sessions           INTEGER NOT NULL DEFAULT 0,    -- upload sessions begun since accepted or tried again
    refused_since      INTEGER,                       -- when X first refused the present session
    refused_sessions   INTEGER NOT NULL DEFAULT 0,    -- sessions given up because X kept refusing them
    refetches          INTEGER NOT NULL DEFAULT 0,    -- times the file was fetched again because storage lost or damaged it
    intent_at          INTEGER,                       -- the last attempt to post whose outcome is not known
    first_intent_at    INTEGER,                       -- the first such attempt: looks begin there
    intents            INTEGER NOT NULL DEFAULT 0,
    resend             INTEGER NOT NULL DEFAULT 0,    -- post again if one more look finds nothing
    looks              INTEGER NOT NULL DEFAULT 0,
    x_post_id          TEXT UNIQUE,
    vouched            INTEGER NOT NULL DEFAULT 0,    -- on X by the person's word, its id unknown
    failure            TEXT,                          -- JSON
    notes              TEXT NOT NULL DEFAULT '[]',    -- JSON
    waiting            TEXT,                          -- JSON
    place_sealed       BLOB,                          -- where the status is shown; nowhere when a program asked
    status_msg         TEXT,                          -- JSON: chat and message id
    status_want        INTEGER NOT NULL DEFAULT 1,
    status_shown       INTEGER NOT NULL DEFAULT 0,
    status_due_at      INTEGER,
    status_not_before  INTEGER NOT NULL DEFAULT 0,
    status_attempts    INTEGER NOT NULL DEFAULT 0,
    status_deleted     INTEGER NOT NULL DEFAULT 0,    -- messages of this status that somebody deleted
    status_taken_until INTEGER NOT NULL DEFAULT 0,    -- a process is writing it, until then at most
    status_epoch       INTEGER NOT NULL DEFAULT 0,    -- rises when one takes it; fences one that overslept
    clean_at           INTEGER,                       -- delete the staged file then
    counted_bytes      INTEGER NOT NULL DEFAULT 0,    -- towards its person's day: as the chat says, then as received
    price              INTEGER NOT NULL DEFAULT 0,    -- what X charges for it, in thousandths of a US dollar
    billed_at          INTEGER,                       -- when X may have charged it: with the last attempt to post
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CHECK (state <> 'posted' OR x_post_id IS NOT NULL OR vouched = 1),
    CHECK (state <> 'failed' OR failure IS NOT NULL),
    -- What is not over is looked at some time, unless its person has to connect the account first.
    CHECK (due_at IS NOT NULL OR state IN ('posted', 'canceled', 'failed', 'needs_user')
           OR COALESCE(waiting, '') = '{"for":"connection_ended"}'),
    -- What may be on X is never said not to be.
    CHECK (state <> 'failed' OR intent_at IS NULL)
) STRICT;
CREATE INDEX posts_lane ON posts (account_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX posts_status ON posts (status_due_at) WHERE status_due_at IS NOT NULL;
CREATE INDEX posts_clean ON posts (clean_at) WHERE clean_at IS NOT NULL;
CREATE INDEX posts_unsure ON posts (id) WHERE state = 'needs_user';
CREATE INDEX posts_failed ON posts (account_id) WHERE state = 'failed';
CREATE INDEX posts_user ON posts (user_id, id);
CREATE INDEX posts_request ON posts (request_id);
CREATE INDEX posts_object ON posts (object_key) WHERE object_key IS NOT NULL;
CREATE INDEX posts_day ON posts (user_id, created_at);
CREATE INDEX posts_under_way ON posts (user_id, state, billed_at, price) WHERE due_at IS NOT NULL;
CREATE INDEX posts_billed ON posts (billed_at, price) WHERE billed_at IS NOT NULL;

-- Every upload session that a post ever had: a post on X that carries any of them is ours.
CREATE TABLE post_media (
    media_id   TEXT PRIMARY KEY,
    post_id    TEXT NOT NULL REFERENCES posts (id),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX post_media_post ON post_media (post_id);

CREATE TABLE media_segments (
    media_id TEXT NOT NULL REFERENCES post_media (media_id),
    segment  INTEGER NOT NULL,
    PRIMARY KEY (media_id, segment)
) STRICT, WITHOUT ROWID;

-- What a staged file was, block by block, to be compared with what is sent. By itself, since rows of posts are rewritten
-- often.
CREATE TABLE post_digests (
    post_id TEXT PRIMARY KEY REFERENCES posts (id),
    digests BLOB NOT NULL
) STRICT;

CREATE TABLE post_events (
    id      INTEGER PRIMARY KEY,
    post_id TEXT NOT NULL REFERENCES posts (id),
    at      INTEGER NOT NULL,
    node    TEXT NOT NULL,
    epoch   INTEGER,
    kind    TEXT NOT NULL,
    detail  TEXT
) STRICT;
CREATE INDEX post_events_post ON post_events (post_id);
CREATE INDEX post_events_at ON post_events (at);

-- Connections of accounts that were begun at X: it charges for each, and a person may begin so many.
CREATE TABLE charges (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    price   INTEGER NOT NULL,                         -- in thousandths of a US dollar
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX charges_user ON charges (user_id, at);
CREATE INDEX charges_at ON charges (at, price);

-- Files that people upload themselves, until they post them.
CREATE TABLE uploads (
    id           TEXT PRIMARY KEY,                    -- UUIDv7; the object is uploads/{id}
    user_id      TEXT NOT NULL REFERENCES users (id),
    filename     TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size         INTEGER,                             -- as declared
    part_bytes   INTEGER,                             -- of an upload in parts
    multipart_id TEXT,                                -- storage's name for it, until it is complete
    bytes        INTEGER,                             -- as found, once it is complete
    closed       INTEGER NOT NULL DEFAULT 0,          -- given up by its person; takes no bytes any more
    expires_at   INTEGER NOT NULL,                    -- deleted then, unless posted
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_user ON uploads (user_id);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- Answers to requests that may be repeated (Idempotency-Key).
CREATE TABLE idempotency (
    user_id    TEXT NOT NULL REFERENCES users (id),
    key        TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    request_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- One-use tickets; what opens them is never stored, only its SHA-256.
CREATE TABLE tickets (
    hash           TEXT PRIMARY KEY,
    kind           TEXT NOT NULL,
    payload_sealed BLOB NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- Browsers that are signed in. The key that a browser holds is stored as its SHA-256 alone.
CREATE TABLE sessions (
    hash           TEXT PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,                -- UUIDv7; names it in lists
    user_id        TEXT NOT NULL REFERENCES users (id),
    payload_sealed BLOB NOT NULL,
    created_at     INTEGER NOT NULL,
    last_used_at   INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    hash         TEXT PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,                -- UUIDv7; names it where the token itself must not stand
    user_id      TEXT NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,                       -- as its person called it; may be empty
    last4        TEXT NOT NULL,                       -- its last letters, to be recognised by
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_tokens_user ON api_tokens (user_id);

-- Messages to people that no post row carries; kept until the chat has them.
CREATE TABLE notices (
    id             TEXT PRIMARY KEY,
    platform       TEXT NOT NULL,
    audience       TEXT NOT NULL,                     -- everyone or asker
    api_token      TEXT,                              -- the API token that it shows; ended if it is never delivered
    place_sealed   BLOB NOT NULL,
    message_sealed BLOB NOT NULL,
    due_at         INTEGER NOT NULL,
    taken_until    INTEGER NOT NULL DEFAULT 0,        -- a process is sending it, until then at most
    attempts       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX notices_due ON notices (due_at);

-- What one process at a time does for all, by name; and which processes live.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    owner  TEXT,                                      -- a process, or what several share; nobody when given back
    epoch  INTEGER NOT NULL,                          -- rises with every other owner
    due_at INTEGER NOT NULL                           -- held until then
) STRICT;

-- What X has closed for a while: `app`, `call:CALL` for every account, `account:ID:CALL` for one. And what is left of
-- the app's 24 hours: `day:CALL`, and `turn:CALL:ID` for what an account had of the last of it.
CREATE TABLE limits (
    scope  TEXT PRIMARY KEY,
    until  INTEGER NOT NULL,
    reason TEXT NOT NULL,
    step   TEXT,                                      -- of `app`: the state of the post that was refused
    prober TEXT,                                      -- of `app`: the post that tries whether it is over
    times  INTEGER NOT NULL DEFAULT 0,                -- refusals in a row for which X named no time; of a `turn`, turns had
    total  INTEGER,                                   -- of a `day`: how many X allows
    remaining INTEGER                                 -- of a `day`: what X said is left, less what was sent since
) STRICT;

-- What the operators were told and is not over.
CREATE TABLE incidents (
    name  TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;

-- Where a person was last seen in a group that may use the bot; asked when they write from elsewhere.
CREATE TABLE admissions (
    user_id TEXT NOT NULL,                            -- platform:platform_user
    place   TEXT NOT NULL,                            -- the server or chat they wrote from
    via     TEXT NOT NULL,                            -- the group that admitted them
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, place)
) STRICT;

-- People who claimed the bot with its code; the configuration names others.
CREATE TABLE operators (
    user_id    TEXT PRIMARY KEY REFERENCES users (id),
    claimed_at INTEGER NOT NULL
) STRICT;

-- One row, sealed when the database was new: whoever opens the database must be able to open it.
CREATE TABLE installation (
    id          TEXT PRIMARY KEY,
    mark_sealed BLOB NOT NULL
) STRICT;
