"""Cloud Tasks, small and honest: its gRPC interface for the unmodified client, and its pushes over HTTP.

It follows what Google has written down of `google.cloud.tasks.v2` and of HTTP targets:

- delivery at least once, in no order that one may count on (`Faults` doubles, delays and forgets answers by seed);
- rate as a token bucket, concurrent dispatches, back-off (minimum, doublings, then linear, maximum);
- a task goes when it is answered 2xx, or without a word when attempts and retry duration are both used up;
- the dispatch deadline: the queue stops listening and tries again while the first call goes on;
- 429 and 503 slow the queue, `Retry-After` is heard; any answer but 2xx is tried again;
- names: `ALREADY_EXISTS` while a task lives and for an hour after; a deleted queue's name for seven days;
- limits of names, sizes, times and deadlines; the `X-CloudTasks-*` headers; headers that a task may not set;
- OIDC tokens signed with RS256 by a key of its own, which it publishes as a JWKS;
- create, get, list, update, pause, resume, purge and delete queues; create, get, list, run and delete tasks.

Not covered, and answered `UNIMPLEMENTED` where it can be asked for: App Engine tasks, OAuth tokens, routing and headers
set on a queue, retry settings of a single task, batches of tasks, IAM, CMEK, locations, filters. Not imitated: quotas,
permissions, the slow start of an idle queue, throttling by error rate, redirects (a 3xx is a failure here), retention
(31 days), eventual visibility of purges and changes of a queue, latency. Where Google requires `https` for a token's
target, plain `http` is taken: the targets are on this machine. Nothing outlives the process.
"""
