"""The interfaces of other services, so that their clients work with this one as they are (requirement R83).

A folder for each interface. In it, modules that make its answers from pages are pure; `door` has its routes.
"""
