-- oldest: 3
-- Which record the cursor stands behind, and not only its number: copies of a spool go on with the
-- same numbers for other records.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- It names its number, because an older flytrail moves the cursor and leaves this as it was.
ALTER TABLE flytrail.streams ADD COLUMN cursor_mark text;
COMMENT ON COLUMN flytrail.streams.cursor_mark IS 'a record of the spool, as number:checksums; of cursor_seq, or not known. A spool that has another one there is a copy';
COMMENT ON COLUMN flytrail.streams.epoch IS '1, and one more each time that the spool was adopted as a stream of its own: its volume was copied or restored';
