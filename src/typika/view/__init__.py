"""`typika view`: the report of a run in the browser, with clusters to change."""
