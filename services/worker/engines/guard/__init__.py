"""What stands between a generative model and the page's owner: tries, loops, the fallback, trust."""
