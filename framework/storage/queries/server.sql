-- The server itself: its sessions, its clock, and what a reader asks of saved work.

-- name: terminate_backends
-- Ends one process's sessions, told apart by their application_name, and waits
-- for each as long as it is told. A role may always end its own.
select pg_terminate_backend(pid, %(wait_ms)s::bigint) as ended
  from pg_stat_activity
 where application_name = left(%(name)s, 63) and usename = current_user and pid <> pg_backend_pid();

-- name: server_facts
select current_setting('server_version') as version,
       clock_timestamp() as now,
       pg_is_in_recovery() as read_only,
       current_setting('synchronous_commit') as synchronous_commit,
       current_setting('fsync') as fsync,
       current_database() as database,
       current_user as role,
       pg_database_size(current_database()) as size_bytes;

-- name: applied_migrations
select count(*) as applied from holdfast.schema_version;

-- name: saved_nodes
-- Nodes whose result is committed. The timeline alone does not say it: its rows
-- are not written before the result, nor the result before them.
select distinct n.node
  from holdfast.node_run n
 where n.run_id = %(run_id)s and n.outcome in ('succeeded', 'continued')
   and exists (select 1 from checkpoint_writes w
                where w.thread_id = %(thread_id)s and w.task_id = substring(n.task_key from '[^:]*$'));
