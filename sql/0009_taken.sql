-- oldest: 3
-- Nothing: another branch has this number. Remove this file when that one is merged.

SELECT 1;
