-- A batch begins all claims of a page at once, so the page needs room for a second version of each:
-- with less, most of these updates went to another page, and to every index.
ALTER TABLE claim SET (fillfactor = 50);
