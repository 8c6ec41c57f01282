"""What the audit calls each request of web, and which requests are events when they are allowed.

What shows or changes a document or a user's jobs is one. What clients repeat every second (status, lists, how far an
upload is), and events, which show no text, are one only when they are refused, and so are the calls of the queue.
"""

from collections.abc import Mapping

from services.serving.audit import Rule

#: By method and path of the route. Other requests get what all may see: the page, its files, probes, descriptions.
ACTIONS: Mapping[tuple[str, str], Rule] = {
    ("POST", "/upload"): Rule("job.create"),
    ("POST", "/api/uploads"): Rule("upload.begin"),
    ("HEAD", "/api/uploads/{upload_id}"): Rule("upload.status", when_allowed=False),
    ("PATCH", "/api/uploads/{upload_id}"): Rule("upload.append", when_allowed=False),
    ("DELETE", "/api/uploads/{upload_id}"): Rule("upload.delete"),
    ("POST", "/api/direct-uploads"): Rule("upload.begin"),
    ("DELETE", "/api/direct-uploads/{upload_id}"): Rule("upload.delete"),
    ("POST", "/api/direct-uploads/{upload_id}/complete"): Rule("job.create"),
    ("GET", "/api/jobs"): Rule("job.list", when_allowed=False),
    ("DELETE", "/api/jobs/{job_id}"): Rule("job.delete"),
    ("GET", "/api/jobs/{job_id}/status"): Rule("job.status", when_allowed=False),
    ("GET", "/api/v1/jobs/{job_id}/status"): Rule("job.status", when_allowed=False),
    ("GET", "/api/jobs/{job_id}/events"): Rule("job.events", when_allowed=False),
    ("GET", "/api/jobs/{job_id}/pages/{n}"): Rule("page.read"),
    ("GET", "/api/jobs/{job_id}/pages/{n}/image"): Rule("page.view"),
    ("GET", "/api/jobs/{job_id}/result"): Rule("result.read"),
    ("GET", "/api/jobs/{job_id}/webhooks"): Rule("webhook.list", when_allowed=False),
    ("GET", "/api/webhooks"): Rule("webhook.secrets"),
    ("POST", "/api/jobs/{job_id}/cancel"): Rule("job.cancel"),
    ("POST", "/api/jobs/{job_id}/retry"): Rule("job.retry"),
    ("GET", "/storage/{user_hash}/{session_id}/{filename}"): Rule("file.read"),
    ("POST", "/v1/ocr"): Rule("document.read"),
    ("POST", "/v1/files"): Rule("file.create"),
    ("GET", "/v1/files"): Rule("file.list", when_allowed=False),
    ("GET", "/v1/files/{file_id}"): Rule("file.describe", when_allowed=False),
    ("DELETE", "/v1/files/{file_id}"): Rule("file.delete"),
    ("GET", "/v1/files/{file_id}/url"): Rule("file.describe", when_allowed=False),
    ("GET", "/v1/files/{file_id}/content"): Rule("file.read"),
    ("PUT", "/process"): Rule("document.read"),
    ("POST", "/mcp"): Rule("mcp.call"),
    ("GET", "/cache/info"): Rule("cache.read", when_allowed=False),
    ("GET", "/metrics"): Rule("metrics.read", when_allowed=False),
    ("POST", "/internal/extract"): Rule("queue.push", when_allowed=False),
    ("POST", "/internal/webhooks"): Rule("queue.push", when_allowed=False),
    ("POST", "/internal/sweep"): Rule("queue.sweep", when_allowed=False),
    ("POST", "/internal/queues/{queue}/tasks"): Rule("queue.enqueue", when_allowed=False),
}
