"""Jobs as their watchers see them: one reader of the storage for each job, whatever their number."""
