-- The message of a timer goes with its claim's priority. What older programs set has the lowest.
-- Rows that are there have the default, and need not be read to see that.
ALTER TABLE timer ADD COLUMN priority smallint NOT NULL DEFAULT 0;
ALTER TABLE timer ADD CONSTRAINT timer_priority_check CHECK (priority BETWEEN 0 AND 9) NOT VALID;
