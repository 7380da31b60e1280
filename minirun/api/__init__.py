"""The Docker Engine API: HTTP requests translated to the calls that the command line makes.

https://docs.docker.com/reference/api/engine/ and https://github.com/moby/moby/blob/master/api/swagger.yaml
"""
