-- The registry: which runs there are, who drives them, and what became of them.
--
-- Every moment is this server's clock. LangGraph's four tables are not here;
-- its own setup() makes them, under the same lock as this file.
--
-- Lock order, for whoever writes more than one row: thread, lease, run, the rest.

create schema if not exists holdfast;

-- A workflow file as it was when a run was started with it.
create table holdfast.definition (
    content_hash  text primary key,
    text_hash     text not null,
    workflow      text not null,
    source        text not null,
    source_path   text not null,
    host          text,
    topology      jsonb not null,
    fingerprints  jsonb not null,
    created_at    timestamptz not null default now()
);
comment on column holdfast.definition.content_hash is 'Of the text, the topology and the fingerprints together.';
comment on column holdfast.definition.source is 'The frozen text; ${env:…} and ${secret:…} stand in it unresolved.';
comment on column holdfast.definition.source_path is 'Relative to the configured folders; absolute, and bound to host, when the file was given by path.';

-- A line of checkpoints that runs add to, one after the other.
create table holdfast.thread (
    thread_id   text primary key,
    tenant      text not null default 'default',
    outside_id  text not null,
    metadata    jsonb not null default '{}',
    created_at  timestamptz not null default now(),
    unique (tenant, outside_id)
);

create table holdfast.run (
    run_id        uuid primary key,
    tenant        text not null default 'default',
    thread_id     text not null references holdfast.thread,
    workflow      text not null,
    definition    text not null references holdfast.definition,
    input         jsonb not null,
    admission     jsonb not null,
    run_key       text,
    tags          text[] not null default '{}',
    priority      integer not null default 0,
    status        text not null default 'pending',
    fence         bigint not null default 0,
    owner         text,
    crashes       integer not null default 0,
    progress      bigint not null default 0,
    crash_progress bigint,
    cancel_requested_at timestamptz,
    tries_renewed_at    timestamptz,
    accepted_code jsonb,
    not_before    timestamptz,
    wake_at       timestamptz,
    output        jsonb,
    error         jsonb,
    created_at    timestamptz not null default now(),
    started_at    timestamptz,
    progressed_at timestamptz,
    updated_at    timestamptz not null default now(),
    ended_at      timestamptz,
    constraint run_status check (status in ('pending', 'running', 'sleeping', 'waiting', 'paused',
                                            'quarantined', 'failed', 'succeeded', 'cancelled')),
    constraint run_end check ((ended_at is not null) = (status in ('failed', 'succeeded', 'cancelled'))),
    constraint run_owner check ((owner is not null) = (status = 'running')),
    constraint run_started check (started_at is not null or status in ('pending', 'cancelled', 'quarantined')),
    constraint run_wake check (status <> 'sleeping' or wake_at is not null),
    constraint run_error check (status not in ('failed', 'quarantined') or error is not null)
) with (fillfactor = 70);
comment on column holdfast.run.input is 'As validated at admission; ${secret:…} is never resolved here.';
comment on column holdfast.run.fence is 'Number of the last attempt; a claim raises it, and every write carries it.';
comment on column holdfast.run.progress is 'Raised with every task write and checkpoint.';
comment on column holdfast.run.crash_progress is 'progress as the last crash left it; a crash with the same value made no progress.';
comment on column holdfast.run.crashes is 'Crashes in a row without progress; counted before the next attempt starts.';
comment on column holdfast.run.accepted_code is 'Fingerprints of changed code that a person released.';

create unique index run_key_once on holdfast.run (tenant, workflow, run_key) where run_key is not null;
-- At most one run of a thread is past pending and not ended; others queue behind it.
create unique index run_one_active_per_thread on holdfast.run (thread_id)
    where status in ('running', 'sleeping', 'waiting', 'paused', 'quarantined');
-- What recovery reads; ended runs are in neither, so neither grows with history.
create index run_unfinished on holdfast.run (status)
    where status in ('pending', 'running', 'sleeping', 'waiting', 'paused', 'quarantined');
create index run_failed on holdfast.run (ended_at) where status = 'failed';
create index run_by_thread on holdfast.run (thread_id, created_at);
create index run_by_time on holdfast.run (created_at desc);
create index run_by_end on holdfast.run (ended_at) where ended_at is not null;
create index run_by_definition on holdfast.run (definition);

-- Narrow, because every heartbeat writes it. A row exists while a process drives the run.
create table holdfast.lease (
    run_id      uuid primary key references holdfast.run on delete cascade,
    thread_id   text not null unique,
    fence       bigint not null,
    owner       text not null,
    expires_at  timestamptz not null
) with (fillfactor = 50);

-- One process's turn at a run.
create table holdfast.attempt (
    run_id      uuid not null references holdfast.run on delete cascade,
    number      bigint not null,
    owner       text not null,
    worker      text,
    started_at  timestamptz not null default now(),
    ended_at    timestamptz,
    outcome     text,
    detail      text,
    primary key (run_id, number),
    constraint attempt_end check ((ended_at is null) = (outcome is null))
);

-- The timeline: which node, when, which try, how it ended.
create table holdfast.node_run (
    run_id      uuid not null references holdfast.run on delete cascade,
    task_key    text not null,
    try         integer not null,
    node        text not null,
    visit       integer not null,
    step        integer not null,
    attempt     bigint not null,
    started_at  timestamptz not null,
    ended_at    timestamptz,
    outcome     text,
    error       jsonb,
    primary key (run_id, task_key, try)
);

-- What recovery did with a run, and why.
create table holdfast.decision (
    id         bigint generated always as identity primary key,
    run_id     uuid not null references holdfast.run on delete cascade,
    made_at    timestamptz not null default clock_timestamp(),
    made_by    text not null,
    action     text not null,
    reason     text not null,
    facts      jsonb not null default '{}'
);
create index decision_by_run on holdfast.decision (run_id, id);

-- Append-only, per run: what streams and pages read.
create table holdfast.event (
    id        bigint generated always as identity primary key,
    run_id    uuid not null references holdfast.run on delete cascade,
    at        timestamptz not null default clock_timestamp(),
    kind      text not null,
    payload   jsonb not null default '{}'
);
create index event_by_run on holdfast.event (run_id, id);

-- Questions that an interrupt() asked, and their answers. The answer is sent
-- again at each resume until the checkpoint no longer holds the question.
create table holdfast.interrupt (
    run_id        uuid not null references holdfast.run on delete cascade,
    interrupt_id  text not null,
    node          text,
    question      jsonb,
    asked_at      timestamptz not null default now(),
    answer        jsonb,
    answered_at   timestamptz,
    consumed_at   timestamptz,
    primary key (run_id, interrupt_id)
);

-- Mock faults that fired. A row is committed before its fault takes effect.
create table holdfast.fault (
    run_id      uuid not null references holdfast.run on delete cascade,
    rule        integer not null,
    ordinal     integer not null,
    rule_key    text not null,
    scenario    text not null,
    node        text,
    point       text not null,
    task_key    text,
    try         integer,
    action      text not null,
    detail      jsonb not null default '{}',
    attempt     bigint,
    fired_at    timestamptz not null default clock_timestamp(),
    primary key (run_id, rule, ordinal)
);

-- A run as readers see it: with its lease, its age, and whether its thread has moved on.
create view holdfast.run_seen as
select r.run_id as id, r.run_id::text as run_id, r.tenant, r.thread_id, r.workflow, r.definition, r.status,
       r.input, r.admission, r.fence, r.crashes, r.progress, r.crash_progress, r.run_key, r.tags, r.priority, r.owner,
       r.output, r.error, r.created_at, r.updated_at, r.started_at, r.progressed_at, r.ended_at,
       r.cancel_requested_at, r.tries_renewed_at, r.accepted_code,
       l.expires_at as lease_expires_at,
       coalesce(l.expires_at < clock_timestamp(), true) as lease_expired,
       extract(epoch from clock_timestamp() - coalesce(r.progressed_at, r.created_at))::float as age_seconds,
       exists (select 1 from holdfast.run n
                where n.thread_id = r.thread_id and n.created_at > r.created_at
                  and n.started_at is not null) as passed,
       exists (select 1 from holdfast.interrupt i
                where i.run_id = r.run_id and i.answered_at is not null
                  and i.consumed_at is null) as answered
  from holdfast.run r
  left join holdfast.lease l using (run_id);
