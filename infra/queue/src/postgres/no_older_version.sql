-- New tables serve no program of an older version, so they need nothing that is kept for those.
DROP INDEX fluxus_queue.message_ready;
