"""What a browser is shown: pages, pictures and words, made from the answers of `gateway.history`.
No question to the store is asked here.
"""
