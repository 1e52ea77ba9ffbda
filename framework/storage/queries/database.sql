-- The database as a whole: what `db` shows, and what a restore needs.

-- name: facts
select current_setting('server_version') as server_version, current_database() as database,
       current_user::text as role, pg_database_size(current_database()) as size_bytes,
       current_setting('fsync') = 'on' as fsync;

-- name: langgraph_tables
-- Those of LangGraph's four tables that are there.
select c.relname::text as name
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'public' and c.relkind in ('r', 'p')
   and c.relname in ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes', 'checkpoint_migrations')
 order by c.relname;

-- name: has_run_table
select to_regclass('holdfast.run') is not null as present;

-- name: has_runs
select exists (select 1 from holdfast.run) as present;

-- name: clear
-- The first part of a restore's one transaction. What is ours goes as a whole, so that tables which a
-- newer program added do not stand in the way; other tables of the database are left alone.
set lock_timeout = '5s';
set client_min_messages = warning;
drop schema if exists holdfast cascade;
drop table if exists public.checkpoints, public.checkpoint_blobs, public.checkpoint_writes,
    public.checkpoint_migrations cascade;
