-- Bringing a database up to the version of this program.

-- name: try_lock
-- The lock is polled, never waited for: a waiting session is an open
-- transaction, and LangGraph's CREATE INDEX CONCURRENTLY waits for those.
select pg_try_advisory_lock(%(key)s) as locked;

-- name: unlock
select pg_advisory_unlock(%(key)s) as unlocked;

-- name: lock_holder
-- Who holds the migration lock, for the error message.
select a.pid, a.usename, a.application_name, a.client_addr::text as client_addr, a.state,
       left(a.query, 120) as query, extract(epoch from clock_timestamp() - a.backend_start)::float as age_seconds
  from pg_locks l
  join pg_stat_activity a using (pid)
 where l.locktype = 'advisory' and l.granted
   and l.classid = (%(key)s::bigint >> 32)::oid and l.objid = (%(key)s::bigint & 4294967295)::oid
   and l.database = (select oid from pg_database where datname = current_database())
 limit 1;

-- name: blockers
-- Who holds locks that a migration's statement waits for.
select a.pid, a.usename, a.application_name, a.client_addr::text as client_addr, a.state,
       left(a.query, 120) as query, extract(epoch from clock_timestamp() - a.backend_start)::float as age_seconds
  from pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and a.xact_start is not null
 order by a.xact_start
 limit 1;

-- name: has_schema_version
select to_regclass('holdfast.schema_version') is not null as present;

-- name: has_checkpoint_migrations
select to_regclass('public.checkpoint_migrations') is not null as present;

-- name: create_schema_version
create schema if not exists holdfast;
create table if not exists holdfast.schema_version (
    version     integer primary key,
    name        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default clock_timestamp()
);

-- name: applied
select version, name, checksum from holdfast.schema_version order by version;

-- name: record
insert into holdfast.schema_version (version, name, checksum) values (%(version)s, %(name)s, %(checksum)s);

-- name: checkpoint_version
-- -1 where nothing was applied yet.
select coalesce(max(v), -1) as version from public.checkpoint_migrations;

-- name: invalid_indexes
-- A CREATE INDEX CONCURRENTLY that was interrupted leaves one of these, and IF NOT EXISTS then skips it.
select n.nspname as schema, c.relname as name
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not i.indisvalid and n.nspname = 'public'
   and t.relname in ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes');
