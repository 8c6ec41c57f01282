"""The model hub over a real socket, for tests: what `huggingface_hub` asks of it to download a model.

A repository's information and files at a revision, content by ranges behind a redirect to another host, the hub's error
codes, and faults on order. Not: Xet, other kinds of repositories, anything that writes.
"""
