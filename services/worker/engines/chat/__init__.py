"""A client of servers that speak OpenAI's chat completions: requests, answers, retries, throttling."""
