FROM busybox
COPY . /all
ENTRYPOINT ["ls", "/all"]
