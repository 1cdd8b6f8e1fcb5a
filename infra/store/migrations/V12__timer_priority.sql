-- The message of a timer goes with its claim's priority. What older programs set has the lowest.
ALTER TABLE timer ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 9);
