"""The client of image registries (OCI distribution 1.1, Docker's registry API v2).

client.py is the front door: `open_client().repository(reference)` gives manifests and blobs, and takes them. The image
room and the command line call it, and import it inside the function that needs it: urllib3 takes about 80 ms. It calls
config, errors and, for credential helpers, kernel.
"""
