# The image of skein: one static binary, nothing else, and no root. It writes no file, unless --revocations or --acme say so:
# then give them a volume that user 65532 may write to.
#
#   docker build --tag skein .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --publish 127.0.0.1:8000:8000 skein
#
# The version is the commit's, for which .git is a part of the context.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
# The flags are those of make build.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /out/skein ./cmd/skein
RUN go -C packaging run . licenses .. /out && cp LICENSE /out/ && mkdir /out/certs

FROM scratch
# For TLS to others, such as a NATS of one's own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/LICENSE /out/THIRD_PARTY_LICENSES.txt /
COPY --from=build /out/skein /skein
# A new volume that is mounted here gets this owner.
COPY --from=build --chown=65532:65532 /out/certs /certs
USER 65532:65532
EXPOSE 8000 6201
# Whether the process serves, and not /readyz: to restart a node that waits for others helps nobody.
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s CMD ["/skein", "health", "http://127.0.0.1:8000/healthz"]
ENTRYPOINT ["/skein"]
CMD ["serve", "--addr=:8000"]
