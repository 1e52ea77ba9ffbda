-- The registry of runs.
--
-- A caller's view always goes through the tenant. Writers lock in the order
-- thread, lease, run, the rest.

-- name: store_definition
insert into holdfast.definition
       (content_hash, text_hash, workflow, source, source_path, host, topology, fingerprints)
values (%(content_hash)s, %(text_hash)s, %(workflow)s, %(source)s, %(source_path)s, %(host)s,
        %(topology)s, %(fingerprints)s)
on conflict (content_hash) do nothing;

-- name: definition
select content_hash, text_hash, workflow, source, source_path, host, topology, fingerprints
  from holdfast.definition
 where content_hash = %(content_hash)s;

-- name: open_thread
-- Locks the thread row, so that two runs of one thread are admitted one after the other.
insert into holdfast.thread (thread_id, tenant, outside_id)
values (%(thread_id)s, %(tenant)s, %(outside_id)s)
on conflict (tenant, outside_id) do update set outside_id = excluded.outside_id
returning thread_id;

-- name: admit
-- No row back means that the key was used before.
insert into holdfast.run
       (run_id, tenant, thread_id, workflow, definition, input, admission, run_key, tags, priority)
values (%(run_id)s, %(tenant)s, %(thread_id)s, %(workflow)s, %(definition)s, %(input)s, %(admission)s,
        %(run_key)s, %(tags)s, %(priority)s)
on conflict (tenant, workflow, run_key) where run_key is not null do nothing
returning run_id::text;

-- name: run_by_key
select r.run_id::text as run_id, r.input
  from holdfast.run r
 where r.tenant = %(tenant)s and r.workflow = %(workflow)s and r.run_key = %(run_key)s;

-- name: run
select * from holdfast.run_seen where id = %(run_id)s;


-- name: runs_by_prefix
-- People type the first characters of an id, a thread's name, or `last`.
select r.run_id::text as run_id
  from holdfast.run r
 where r.tenant = %(tenant)s
   and (r.run_id::text like %(pattern)s || '%%' or r.thread_id = %(prefix)s or r.run_key = %(prefix)s)
 order by r.created_at desc
 limit 10;

-- name: last_run
select r.run_id::text as run_id
  from holdfast.run r
 where r.tenant = %(tenant)s
 order by r.created_at desc, r.run_id desc
 limit 1;

-- name: list
select *
  from holdfast.run_seen
 where tenant = %(tenant)s
   and (%(statuses)s::text[] is null or status = any(%(statuses)s::text[]))
   and (%(workflow)s::text is null or workflow = %(workflow)s)
   and (%(thread_id)s::text is null or thread_id = %(thread_id)s)
   and (%(tag)s::text is null or %(tag)s = any(tags))
   and (%(newer)s::interval is null or created_at > clock_timestamp() - %(newer)s::interval)
   and (%(older)s::interval is null or created_at < clock_timestamp() - %(older)s::interval)
 order by created_at desc, run_id desc
 limit %(limit)s;


-- name: unfinished
-- What recovery reads. Ended runs are in neither index, so this does not grow with history.
select *
  from holdfast.run_seen
 where status in ('pending', 'running', 'sleeping', 'waiting', 'paused', 'quarantined')
 order by priority desc, created_at, run_id;


-- name: failed
-- Failed runs that a next start may take up.
select *
  from holdfast.run_seen
 where status = 'failed'
 order by priority desc, created_at, run_id;


-- name: lock_lease
select run_id::text as run_id, fence, owner, expires_at < clock_timestamp() as expired
  from holdfast.lease
 where run_id = %(run_id)s
   for update;

-- name: lease
select run_id::text as run_id, fence, owner from holdfast.lease where run_id = %(run_id)s;

-- name: lock_run
select run_id::text as run_id, thread_id, status, fence, crashes, progress, crash_progress,
       created_at, cancel_requested_at,
       coalesce(not_before > clock_timestamp(), false) as not_yet
  from holdfast.run
 where run_id = %(run_id)s
   for update;

-- name: thread_is_taken
-- Another run of the thread is past pending and not ended, or an older one waits before this one.
select exists (
    select 1 from holdfast.run o
     where o.thread_id = %(thread_id)s and o.run_id <> %(run_id)s
       and (o.status in ('running', 'sleeping', 'waiting', 'paused', 'quarantined')
            or (o.status = 'pending' and (o.created_at, o.run_id) < (%(created_at)s, %(run_id)s::uuid)))
) as taken;

-- name: thread_has_moved_on
select exists (
    select 1 from holdfast.run n
     where n.thread_id = %(thread_id)s and n.created_at > %(created_at)s and n.started_at is not null
) as moved_on;

-- name: count_crash
update holdfast.run
   set crashes = %(crashes)s, crash_progress = progress, updated_at = clock_timestamp()
 where run_id = %(run_id)s;

-- name: take
update holdfast.run
   set status = 'running', fence = fence + 1, owner = %(owner)s,
       started_at = coalesce(started_at, clock_timestamp()), ended_at = null, error = null, wake_at = null,
       updated_at = clock_timestamp()
 where run_id = %(run_id)s
returning fence;

-- name: grant_lease
insert into holdfast.lease (run_id, thread_id, fence, owner, expires_at)
values (%(run_id)s, %(thread_id)s, %(fence)s, %(owner)s, clock_timestamp() + %(duration)s)
on conflict (run_id) do update
   set fence = excluded.fence, owner = excluded.owner, expires_at = excluded.expires_at;

-- name: close_attempts
-- An attempt that is still open when the next one begins ended with its process.
update holdfast.attempt
   set ended_at = clock_timestamp(), outcome = 'crashed'
 where run_id = %(run_id)s and ended_at is null and number < %(number)s;

-- name: open_attempt
insert into holdfast.attempt (run_id, number, owner, worker)
values (%(run_id)s, %(number)s, %(owner)s, %(worker)s);

-- name: decide
insert into holdfast.decision (run_id, made_by, action, reason, facts)
values (%(run_id)s, %(made_by)s, %(action)s, %(reason)s, %(facts)s);

-- name: tell
insert into holdfast.event (run_id, kind, payload) values (%(run_id)s, %(kind)s, %(payload)s);

-- name: renew_leases
-- A run that is missing from the answer was lost; the flag says that somebody wants it stopped.
with mine as (
    select run_id, fence
      from unnest(%(run_ids)s::uuid[], %(fences)s::bigint[]) as m(run_id, fence)
), renewed as (
    update holdfast.lease l
       set expires_at = clock_timestamp() + %(duration)s
      from mine
     where l.run_id = mine.run_id and l.fence = mine.fence
    returning l.run_id
)
select renewed.run_id::text as run_id, r.cancel_requested_at is not null as cancel
  from renewed join holdfast.run r using (run_id);

-- name: cancelled_among
select run_id::text as run_id
  from holdfast.run
 where run_id = any(%(run_ids)s::uuid[]) and cancel_requested_at is not null;

-- name: give_up_lease
delete from holdfast.lease where run_id = %(run_id)s and fence = %(fence)s returning run_id;

-- name: drop_lease
delete from holdfast.lease where run_id = %(run_id)s;

-- name: leave
-- The attempt is over: move the run to where its step, its end or its hand-back leads.
update holdfast.run
   set status = %(status)s, owner = null, output = %(output)s, error = %(error)s,
       ended_at = case when %(ended)s then clock_timestamp() end,
       crashes = case when %(status)s in ('succeeded', 'failed', 'waiting', 'cancelled') then 0 else crashes end,
       updated_at = clock_timestamp()
 where run_id = %(run_id)s and fence = %(fence)s and status = 'running'
returning run_id;

-- name: end_attempt
update holdfast.attempt
   set ended_at = clock_timestamp(), outcome = %(outcome)s, detail = %(detail)s
 where run_id = %(run_id)s and number = %(fence)s and ended_at is null;

-- name: move
-- A move that needs no lease, guarded by what the caller saw.
update holdfast.run
   set status = %(status)s,
       owner = null,
       ended_at = case when %(ended)s then clock_timestamp() end,
       error = case when %(status)s = 'quarantined' then %(error)s::jsonb
                    when %(status)s = 'failed' then error end,
       updated_at = clock_timestamp()
 where run_id = %(run_id)s and status = %(expected)s and fence = %(fence)s
returning run_id;

-- name: release
update holdfast.run
   set status = 'pending', crashes = 0, crash_progress = null, ended_at = null,
       accepted_code = coalesce(error -> 'fingerprints', accepted_code), error = null,
       updated_at = clock_timestamp()
 where run_id = %(run_id)s and status = 'quarantined'
returning run_id;

-- name: renew_tries
update holdfast.run
   set status = 'pending', crashes = 0, crash_progress = null, ended_at = null, error = null,
       tries_renewed_at = clock_timestamp(), updated_at = clock_timestamp()
 where run_id = %(run_id)s and status = 'failed'
returning run_id;

-- name: request_cancel
update holdfast.run
   set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), updated_at = clock_timestamp()
 where run_id = %(run_id)s and status = 'running'
returning run_id;

-- name: move_to_definition
update holdfast.run
   set definition = %(definition)s, updated_at = clock_timestamp()
 where run_id = %(run_id)s and fence = %(fence)s and status = 'running'
returning run_id;

-- name: ask
insert into holdfast.interrupt (run_id, interrupt_id, node, question)
values (%(run_id)s, %(interrupt_id)s, %(node)s, %(question)s)
on conflict (run_id, interrupt_id) do nothing;

-- name: answer
-- The first answer wins.
update holdfast.interrupt
   set answer = %(answer)s, answered_at = clock_timestamp()
 where run_id = %(run_id)s and interrupt_id = %(interrupt_id)s and answered_at is null
returning interrupt_id;

-- name: interrupts
select interrupt_id, node, question, asked_at, answer, answered_at, consumed_at
  from holdfast.interrupt
 where run_id = %(run_id)s
 order by asked_at, interrupt_id;

-- name: consume_answers
update holdfast.interrupt
   set consumed_at = clock_timestamp()
 where run_id = %(run_id)s and consumed_at is null and answered_at is not null
   and not interrupt_id = any(%(still_open)s);

-- name: attempts
select number, owner, worker, started_at, ended_at, outcome, detail
  from holdfast.attempt
 where run_id = %(run_id)s
 order by number;

-- name: node_runs
select node, task_key, try, visit, step, attempt, started_at, ended_at, outcome, error
  from holdfast.node_run
 where run_id = %(run_id)s
 order by started_at, node, try;

-- name: decisions
select made_at, made_by, action, reason, facts
  from holdfast.decision
 where run_id = %(run_id)s
 order by id;

-- name: last_decision
select action, reason from holdfast.decision where run_id = %(run_id)s order by id desc limit 1;

-- name: events
select at, kind, payload from holdfast.event where run_id = %(run_id)s order by id;

-- name: faults
select rule, ordinal, rule_key, scenario, node, point, task_key, try, action, detail, attempt, fired_at
  from holdfast.fault
 where run_id = %(run_id)s
 order by fired_at, rule, ordinal;

-- name: record_fault
insert into holdfast.fault
       (run_id, rule, ordinal, rule_key, scenario, node, point, task_key, try, action, detail, attempt)
values (%(run_id)s, %(rule)s, %(ordinal)s, %(rule_key)s, %(scenario)s, %(node)s, %(point)s, %(task_key)s,
        %(try)s, %(action)s, %(detail)s, %(attempt)s)
on conflict (run_id, rule, ordinal) do nothing;

-- name: repair_heads
-- A router of a wrapped graph that raised left its task's error beside its
-- outputs, and LangGraph would take the task for done. Without those rows the
-- task runs again; answers to interrupts stay.
with held as materialized (
    select run_id from holdfast.lease where run_id = %(run_id)s and fence = %(fence)s for share
), head as (
    select distinct on (checkpoint_ns) thread_id, checkpoint_ns, checkpoint_id
      from checkpoints
     where thread_id = %(thread_id)s
     order by checkpoint_ns, checkpoint_id desc
), bad as (
    select w.thread_id, w.checkpoint_ns, w.checkpoint_id, w.task_id
      from checkpoint_writes w
      join head using (thread_id, checkpoint_ns, checkpoint_id)
     group by 1, 2, 3, 4
    having bool_or(w.channel = '__error__') and not bool_or(w.channel = '__error_source_node__')
)
delete from checkpoint_writes w
 using bad b
 where (w.thread_id, w.checkpoint_ns, w.checkpoint_id, w.task_id)
     = (b.thread_id, b.checkpoint_ns, b.checkpoint_id, b.task_id)
   and w.channel not in ('__resume__', '__interrupt__')
   and exists (select 1 from held);

-- name: drop_orphan_writes
-- Task writes of a first checkpoint that was never committed.
with held as materialized (
    select run_id from holdfast.lease where run_id = %(run_id)s and fence = %(fence)s for share
)
delete from checkpoint_writes w
 where w.thread_id = %(thread_id)s
   and exists (select 1 from held)
   and not exists (select 1 from checkpoints c
                    where c.thread_id = w.thread_id and c.checkpoint_ns = w.checkpoint_ns
                      and c.checkpoint_id = w.checkpoint_id);

-- name: prunable
select r.run_id::text as run_id, r.thread_id
  from holdfast.run r
 where r.ended_at < clock_timestamp() - %(age)s::interval and r.status in ('succeeded', 'cancelled', 'failed')
 order by r.ended_at
 limit %(limit)s;

-- name: delete_run
-- The attempts, the timeline and the rest go with it.
delete from holdfast.run
 where run_id = %(run_id)s and status in ('succeeded', 'cancelled', 'failed', 'pending')
returning thread_id;

-- name: delete_empty_thread
-- A thread without runs takes its checkpoints along, all in the transaction of the caller.
delete from holdfast.thread t
 where t.thread_id = %(thread_id)s
   and not exists (select 1 from holdfast.run r where r.thread_id = t.thread_id)
returning thread_id;

-- name: delete_checkpoints
delete from checkpoints where thread_id = %(thread_id)s;

-- name: delete_blobs
delete from checkpoint_blobs where thread_id = %(thread_id)s;

-- name: delete_writes
delete from checkpoint_writes where thread_id = %(thread_id)s;

-- name: delete_unused_definitions
delete from holdfast.definition d
 where not exists (select 1 from holdfast.run r where r.definition = d.content_hash);

-- name: counts
select status, count(*) as runs from holdfast.run where tenant = %(tenant)s group by status order by status;
