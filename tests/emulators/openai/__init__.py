"""A server that speaks OpenAI's chat completions over real sockets, and lies, stalls and breaks off when it is told to.

Written from the published protocol: `GET /v1/models`, `POST /v1/chat/completions` with a picture as a data URL, answers
as server-sent events or in one piece. It runs no model: it says the size of the picture that it was sent, so that a
test knows whose text it reads. HTTP is written by hand here, since a polite library could not break it.

Not covered: other routes, tools, several answers to one request, log probabilities, and the wording of errors, which
differs between servers.
"""
