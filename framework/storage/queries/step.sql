-- Writes of a running graph: checkpoints, task writes, and the timeline that rides with them.

-- name: save_batch
-- Everything that the runs of this process have ready, in one statement and one commit.
--
-- `held` locks the lease rows in run order and keeps the runs whose fence is
-- still theirs; a row is written only for those. A claim updates the lease
-- row, so it either waits for this statement or is seen by it: after the wait
-- PostgreSQL checks the fence again. Rows of a run that lost its lease are
-- left out, and the result tells which runs were held. Threads without a run
-- carry no run id: they are written unless a lease names their thread.
with given as (
    select g.run_id, g.fence
      from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as g(run_id, fence)
), locked as materialized (
    select l.run_id, l.fence
      from holdfast.lease l
     where l.run_id in (select given.run_id from given)
     order by l.run_id
       for share
), held as materialized (
    select locked.run_id from locked join given using (run_id, fence)
), free as materialized (
    select f.thread_id
      from unnest(%(free_threads)s::text[]) as f(thread_id)
     where not exists (select 1 from holdfast.lease l where l.thread_id = f.thread_id)
), blobs as (
    insert into checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    select r.thread_id, r.ns, r.channel, r.version, r.type, r.blob
      from unnest(%(b_run)s::uuid[], %(b_thread)s::text[], %(b_ns)s::text[], %(b_channel)s::text[],
                  %(b_version)s::text[], %(b_type)s::text[], %(b_blob)s::bytea[])
           as r(run_id, thread_id, ns, channel, version, type, blob)
     where r.run_id in (select run_id from held)
        or (r.run_id is null and r.thread_id in (select thread_id from free))
    on conflict (thread_id, checkpoint_ns, channel, version) do nothing
), plain_writes as (
    insert into checkpoint_writes
           (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    select r.thread_id, r.ns, r.checkpoint_id, r.task_id, r.task_path, r.idx, r.channel, r.type, r.blob
      from unnest(%(w_run)s::uuid[], %(w_thread)s::text[], %(w_ns)s::text[], %(w_checkpoint)s::text[],
                  %(w_task)s::text[], %(w_path)s::text[], %(w_idx)s::int[], %(w_channel)s::text[],
                  %(w_type)s::text[], %(w_blob)s::bytea[])
           as r(run_id, thread_id, ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
     where r.run_id in (select run_id from held)
        or (r.run_id is null and r.thread_id in (select thread_id from free))
    on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) do nothing
), special_writes as (
    insert into checkpoint_writes
           (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    select r.thread_id, r.ns, r.checkpoint_id, r.task_id, r.task_path, r.idx, r.channel, r.type, r.blob
      from unnest(%(s_run)s::uuid[], %(s_thread)s::text[], %(s_ns)s::text[], %(s_checkpoint)s::text[],
                  %(s_task)s::text[], %(s_path)s::text[], %(s_idx)s::int[], %(s_channel)s::text[],
                  %(s_type)s::text[], %(s_blob)s::bytea[])
           as r(run_id, thread_id, ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
     where r.run_id in (select run_id from held)
        or (r.run_id is null and r.thread_id in (select thread_id from free))
    on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    do update set channel = excluded.channel, type = excluded.type, blob = excluded.blob
), saved as (
    insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    select r.thread_id, r.ns, r.id, r.parent, r.body, r.metadata
      from unnest(%(c_run)s::uuid[], %(c_thread)s::text[], %(c_ns)s::text[], %(c_id)s::text[],
                  %(c_parent)s::text[], %(c_body)s::text[]::jsonb[], %(c_metadata)s::text[]::jsonb[])
           as r(run_id, thread_id, ns, id, parent, body, metadata)
     where r.run_id in (select run_id from held)
        or (r.run_id is null and r.thread_id in (select thread_id from free))
    on conflict (thread_id, checkpoint_ns, checkpoint_id)
    do update set checkpoint = excluded.checkpoint, metadata = excluded.metadata
), timeline as (
    insert into holdfast.node_run
           (run_id, task_key, try, node, visit, step, attempt, started_at, ended_at, outcome, error)
    select r.run_id, r.task_key, r.try, r.node, r.visit, r.step, r.attempt,
           clock_timestamp() - r.started_ago, clock_timestamp() - r.ended_ago, r.outcome, r.error
      from unnest(%(n_run)s::uuid[], %(n_key)s::text[], %(n_try)s::int[], %(n_node)s::text[],
                  %(n_visit)s::int[], %(n_step)s::int[], %(n_attempt)s::bigint[],
                  %(n_started)s::interval[], %(n_ended)s::interval[], %(n_outcome)s::text[],
                  %(n_error)s::text[]::jsonb[])
           as r(run_id, task_key, try, node, visit, step, attempt, started_ago, ended_ago, outcome, error)
     where r.run_id in (select run_id from held)
    on conflict (run_id, task_key, try)
    do update set ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error
), progressed as (
    update holdfast.run
       set progress = progress + 1, progressed_at = clock_timestamp()
     where run_id in (select run_id from held)
       and run_id = any(%(progress)s::uuid[])
)
select array(select run_id::text from held) as held,
       array(select thread_id from free) as free;
